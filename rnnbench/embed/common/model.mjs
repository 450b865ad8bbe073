// The model: load it once, then call it with whole sequences, or step by step.

import { cut, join, numbers, typeOf, zeros } from "./arrays.mjs";

export class Model {
  // ort: onnxruntime-node or onnxruntime-web; session: its InferenceSession;
  // about: what model.json says.
  constructor(ort, session, about) {
    this.about = about;
    this.session = session;
    this.ort = ort;
    this.timed = about.inputs.filter((port) => port.time_axis >= 0);
  }

  // Outputs by name, for inputs by name; each is {dtype, shape, data}.
  async run(inputs) {
    const feeds = {};
    for (const name of this.session.inputNames) {
      if (!Object.hasOwn(inputs, name)) throw new Error(`no input ${name}: give ${this.names()}`);
      const { dtype, shape, data } = inputs[name];
      feeds[name] = new this.ort.Tensor(dtype, data, shape);
    }
    const outputs = await this.session.run(feeds);
    return Object.fromEntries(this.session.outputNames.map((name) => [name, plain(outputs[name])]));
  }

  // Yields the outputs of `steps` steps after another; the states are handed on. Inputs with a
  // time axis are the whole sequence; the others, and the states to start from, are as for `run`.
  async *stream(inputs, steps = 1) {
    const [first] = this.timed;
    if (!first) throw new Error("no input has a time axis: there is nothing to stream");
    for (const port of this.about.inputs) {
      if (!Object.hasOwn(inputs, port.name))
        throw new Error(`no input ${port.name}: give ${this.names()}`);
    }
    const length = inputs[first.name].shape[first.time_axis];
    const part = { ...inputs };
    for (let start = 0; start < length; start += steps) {
      const stop = Math.min(start + steps, length);
      for (const { name, time_axis } of this.timed)
        part[name] = cut(inputs[name], time_axis, start, stop);
      for (const { name, role } of this.about.inputs) {
        if (role === "lengths") part[name] = filled(inputs[name], stop - start);
      }
      const outputs = await this.run(part);
      for (const [input, output] of Object.entries(this.about.states))
        part[input] = outputs[output];
      yield outputs;
    }
  }

  // The outputs of a stream put together, as one call with everything would give them.
  async streamed(inputs, steps = 1) {
    const parts = [];
    for await (const outputs of this.stream(inputs, steps)) parts.push(outputs);
    return this.together(parts);
  }

  together(parts) {
    const axes = new Map(this.about.outputs.map((port) => [port.name, port.time_axis]));
    return Object.fromEntries(
      Object.keys(parts.at(-1) ?? {}).map((name) => {
        const axis = axes.get(name) ?? -1;
        return [
          name,
          axis >= 0
            ? join(
                parts.map((part) => part[name]),
                axis,
              )
            : parts.at(-1)[name],
        ];
      }),
    );
  }

  // The states that a sequence starts from, for so many at a time; and whole lengths.
  start(batch, time) {
    const sizes = { [this.about.batch_dim]: batch, [this.about.time_dim]: time };
    const made = {};
    for (const { name, dtype, shape, role } of this.about.inputs) {
      const sized = shape.map((size) => (typeof size === "string" ? (sizes[size] ?? 1) : size));
      if (role === "state") made[name] = zeros(dtype, sized, name);
      if (role === "lengths") made[name] = filled(zeros(dtype, sized, name), time);
    }
    return made;
  }

  names() {
    return this.about.inputs.map((port) => port.name).join(", ");
  }
}

// The time of one call in seconds: the best of some rounds of a few calls each, as a browser's
// clock is too coarse for a single one.
export async function callSeconds(model, inputs, rounds = 20, calls = 10) {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let call = 0; call < calls; call++) await model.run(inputs);
    best = Math.min(best, (performance.now() - start) / calls / 1000);
  }
  return best;
}

// How far an output is from what it should be; null where it is none, or has NaN.
export function errorOf(given, exact) {
  if (!given || given.dtype !== exact.dtype || String(given.shape) !== String(exact.shape))
    return null;
  const [a, b] = [numbers(given), numbers(exact)];
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i] - b[i]);
    if (!Number.isFinite(apart)) return null;
    if (apart > worst) worst = apart;
  }
  return worst;
}

function plain({ type, dims, data }) {
  const Type = typeOf(type, "an output");
  const own = data instanceof Type ? data : new Type(data.buffer, data.byteOffset, data.length);
  return { dtype: type, shape: [...dims], data: own };
}

function filled({ dtype, shape, data }, value) {
  const Type = data.constructor;
  const same = new Type(data.length).fill(Type === BigInt64Array ? BigInt(value) : value);
  return { dtype, shape, data: same };
}
