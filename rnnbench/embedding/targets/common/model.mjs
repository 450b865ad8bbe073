// The model: load it once, then call it with whole sequences, or step by step.

import { count, cut, join, numbers, typeOf, zeros } from "./arrays.mjs";

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
    this.check(inputs);
    const feeds = {};
    for (const name of this.session.inputNames) {
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
    this.check(inputs);
    const stream = new Stream(this, inputs);
    const length = inputs[first.name].shape[first.time_axis];
    for (let start = 0; start < length; start += steps) {
      const part = {};
      for (const { name, time_axis } of this.timed)
        part[name] = cut(inputs[name], time_axis, start, Math.min(start + steps, length));
      yield await stream.step(part);
    }
  }

  // The outputs of a stream put together, as one call with everything would give them.
  async streamed(inputs, steps = 1) {
    if (!this.about.streams)
      throw new Error(`${this.about.name} needs whole sequences: run it without --stream`);
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

  // Inputs of zeros; lengths are whole. Another dynamic size than batch and time is 1.
  zeros(batch, time) {
    const sizes = { [this.about.batch_dim]: batch, [this.about.time_dim]: time };
    const made = {};
    for (const { name, dtype, shape, role } of this.about.inputs) {
      const sized = shape.map((size) => (typeof size === "string" ? (sizes[size] ?? 1) : size));
      made[name] = zeros(dtype, sized, name);
      if (role === "lengths") made[name] = filled(made[name], time);
    }
    return made;
  }

  // The states that a sequence starts from, for so many at a time; and whole lengths.
  start(batch, time) {
    const made = this.zeros(batch, time);
    for (const { name, role } of this.about.inputs) if (role === "data") delete made[name];
    return made;
  }

  // Throws what is wrong with inputs, and what is right.
  check(inputs) {
    const sizes = new Map();
    for (const { name, dtype, shape } of this.about.inputs) {
      const given = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
      const quoted = JSON.stringify(name);
      if (!given?.shape) throw new Error(`input ${quoted} is missing: give ${this.names()}`);
      shape.forEach((dim, axis) => {
        if (typeof dim === "string" && !sizes.has(dim)) sizes.set(dim, given.shape[axis] ?? dim);
      });
      const wanted = shape.map((dim) => sizes.get(dim) ?? dim);
      if (given.dtype !== dtype || String(given.shape) !== String(wanted)) {
        throw new Error(
          `input ${quoted} is ${given.dtype}[${given.shape.join(", ")}]: give ` +
            `${dtype}[${wanted.join(", ")}], that is [${shape.join(", ")}]`,
        );
      }
      const size = count(given.shape);
      if (size === 0) throw new Error(`input ${quoted} is empty: give 1 or more of each size`);
      if (!(given.data instanceof typeOf(dtype, name)) || given.data.length !== size) {
        throw new Error(`input ${quoted} needs ${size} numbers in a ${typeOf(dtype, name).name}`);
      }
    }
  }

  names() {
    return this.about.inputs.map((port) => port.name).join(", ");
  }
}

// Steps as they come: `await stream.step({x: part})` keeps the states for the next.
export class Stream {
  // start: inputs to begin with, for their states and all that has no time axis; else zeros.
  constructor(model, start = null) {
    this.model = model;
    this.start = start;
    this.kept = null;
  }

  // The outputs of one step or a few: `part` has the inputs with a time axis, of these steps.
  async step(part) {
    const { about, timed } = this.model;
    for (const { name } of timed) {
      if (!part[name]?.shape)
        throw new Error(`input ${JSON.stringify(name)} is missing: give ${this.model.names()}`);
    }
    const [first] = timed;
    const batched = timed.find((port) => port.batch_axis >= 0);
    const batch = batched ? part[batched.name].shape[batched.batch_axis] : 1;
    this.kept ??= { ...(this.start ?? this.model.zeros(batch, 1)) };
    for (const { name, time_axis, role } of about.inputs) {
      if (time_axis >= 0) this.kept[name] = part[name];
      else if (role === "lengths")
        this.kept[name] = filled(this.kept[name], part[first.name].shape[first.time_axis]);
    }
    const outputs = await this.model.run(this.kept);
    for (const [input, output] of Object.entries(about.states)) this.kept[input] = outputs[output];
    return outputs;
  }

  // The next step begins a new sequence.
  reset() {
    this.kept = null;
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

// Of the element that is the worst for what it is allowed: how far it is from what it should be,
// and how far it may be. An error of null: there is no such output, or it has NaN.
export function compared(given, exact) {
  const none = { error: null, allowed: exact.allowed, ok: false };
  if (!given || given.dtype !== exact.dtype || String(given.shape) !== String(exact.shape))
    return none;
  const [a, b] = [numbers(given), numbers(exact)];
  let [error, allowed, share] = [0, exact.allowed, 0];
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i] - b[i]);
    if (!Number.isFinite(apart)) return none;
    const limit = exact.limits ? exact.limits[i] : exact.allowed;
    const own = limit > 0 ? apart / limit : apart <= limit ? 0 : Infinity;
    if (own > share || (own === share && apart > error))
      [error, allowed, share] = [apart, limit, own];
  }
  return { error, allowed, ok: error <= allowed };
}

// A line of proof: of all that was compared, what is the worst for what it is allowed.
export function proof(found) {
  if (found.some(({ error }) => error === null)) return "an output is missing, or no number";
  const share = ({ error, allowed }) =>
    error === 0 ? 0 : allowed > 0 ? error / allowed : Infinity;
  const worst = found.reduce((a, b) => (share(b) > share(a) ? b : a));
  return `error ${short(worst.error)}, allowed ${short(worst.allowed)}`;
}

export function short(number) {
  return number === 0 ? "0" : number.toExponential(1);
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
