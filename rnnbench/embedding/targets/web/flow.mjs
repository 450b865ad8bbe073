// Sound through the model, block after block, the states handed on; or all at once, where the
// model needs whole sequences.

import { numbers, typeOf } from "./arrays.mjs";
import { Stream } from "./model.mjs";
import { Ring } from "./ring.mjs";

const KEPT_S = 2; // of sound that waits for the model

export class Flow {
  // steps: in a block, as `stepsOf` has them; null: all that comes is one block.
  constructor(model, steps) {
    const { frame, rate } = model.about.sound;
    this.model = model;
    this.block = steps === null ? Infinity : steps * frame;
    this.ring = new Ring(steps === null ? 0 : Math.max(Math.ceil(KEPT_S * rate), 4 * this.block));
    this.waiting = []; // without blocks
    this.stream = new Stream(model);
    this.lost = 0;
  }

  // Takes samples; where the model is too slow, the oldest that wait are lost.
  push(samples) {
    if (this.block === Infinity) this.waiting.push(samples);
    else this.lost += this.ring.push(samples);
  }

  get ready() {
    return this.ring.length >= this.block;
  }

  // The next block through the model; null where too little has come.
  async next() {
    return this.ready ? this.through(this.taken(this.block)) : null;
  }

  // What is left, less than a block: zeros after it fill the last step.
  async rest() {
    const samples = this.block === Infinity ? joined(this.waiting) : this.taken(this.ring.length);
    this.waiting = [];
    return samples.length ? this.through(samples) : null;
  }

  taken(count) {
    const samples = new Float32Array(count);
    this.ring.take(samples);
    return samples;
  }

  // {samples, values, width, seconds}: values are those of the output, `width` a step.
  async through(samples) {
    const { model } = this,
      { about } = model,
      { sound } = about;
    const steps = stepsOf(sound, samples.length);
    const inputs = soundInput(model, samples, steps);
    const start = performance.now();
    const outputs = await (this.block === Infinity
      ? model.run({ ...model.start(1, steps), ...inputs })
      : this.stream.step(inputs));
    const seconds = (performance.now() - start) / 1000;
    const port = heard(about);
    const values = Float32Array.from(numbers(outputs[port.name]));
    const width = port.time_axis < 0 ? values.length : values.length / steps;
    const own = port.time_axis < 0 ? width : Math.ceil(samples.length / sound.frame) * width;
    const end = sound.output ? samples.length : own;
    return { samples, values: values.subarray(0, end), width, seconds };
  }
}

// How many steps hold so many samples: as many as a call may have.
export function stepsOf({ frame, min, multiple_of }, samples) {
  return Math.ceil(Math.max(samples / frame, min) / multiple_of) * multiple_of;
}

// The output that is shown: sound, or else the first that is no state.
export function heard({ sound, outputs, states }) {
  const fedBack = Object.values(states);
  const own = outputs.filter(({ name }) => !fedBack.includes(name));
  return outputs.find(({ name }) => name === sound.output) ?? own[0] ?? outputs[0];
}

export function joined(parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function soundInput({ about }, samples, steps) {
  const port = about.inputs.find(({ name }) => name === about.sound.input);
  const shape = port.shape.map((size, axis) =>
    axis === port.time_axis ? steps : typeof size === "string" ? 1 : size,
  );
  const data = new (typeOf(port.dtype, port.name))(steps * about.sound.frame);
  data.set(samples);
  return { [port.name]: { dtype: port.dtype, shape, data } };
}
