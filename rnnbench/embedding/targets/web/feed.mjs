// Values by step, sequence and feature, in whatever order the model wants its axes.

import { numbers, zeros } from "./arrays.mjs";

export function dataPort(model) {
  return model.about.inputs.find((port) => port.role === "data");
}

// Whether the model reads one sequence of rows of numbers, or of ids.
export function readsRows(model) {
  const port = onlySequence(model);
  return Boolean(port) && port.dtype.startsWith("float") && featuresOf(port) >= 1;
}

export function readsIds(model) {
  const port = onlySequence(model);
  return Boolean(port) && /^int(32|64)$/.test(port.dtype) && featuresOf(port) === 1;
}

function onlySequence(model) {
  const data = model.about.inputs.filter((port) => port.role === "data");
  return data.length === 1 && readsSequences(model) ? data[0] : null;
}

// How many values a step has, all of them behind the axes of time and batch; NaN: otherwise.
export function featuresOf({ shape, time_axis, batch_axis }) {
  const behind = shape.slice(Math.max(time_axis, batch_axis) + 1);
  const axes = [time_axis, batch_axis].filter((axis) => axis >= 0).length;
  if (axes + behind.length !== shape.length || behind.length > 1) return NaN;
  return behind.reduce((size, n) => size * n, 1);
}

// Whether the model reads plain sequences: any number of steps.
export function readsSequences(model) {
  const port = dataPort(model);
  return Boolean(port) && port.time_axis >= 0 && port.dtype !== "float16";
}

// Inputs for `batch` sequences of `time` steps; value(t, b, f) is a feature, or an id.
export function fed(model, time, batch, value) {
  const port = dataPort(model);
  const shape = port.shape.map((size, axis) =>
    axis === port.time_axis ? time : axis === port.batch_axis ? batch : size,
  );
  const array = zeros(port.dtype, shape, port.name);
  const place = placeOf(shape, port);
  const features = array.data.length / (time * (port.batch_axis >= 0 ? batch : 1));
  const own = port.dtype === "int64" ? BigInt : Number;
  for (let t = 0; t < time; t++) {
    for (let b = 0; b < batch; b++) {
      for (let f = 0; f < features; f++) array.data[place(t, b) + f] = own(value(t, b, f));
    }
  }
  return { [port.name]: array };
}

// The first output's values at step `t` of sequence `b`; the last step for t = -1.
export function valuesAt(model, outputs, t, b = 0) {
  const port = model.about.outputs[0];
  const { shape } = outputs[port.name];
  const values = numbers(outputs[port.name]);
  const axes = [port.time_axis, port.batch_axis].filter((axis) => axis >= 0);
  const width = shape.reduce((size, n, axis) => (axes.includes(axis) ? size : size * n), 1);
  const step = port.time_axis < 0 ? 0 : t < 0 ? shape[port.time_axis] + t : t;
  const start = placeOf(shape, port)(step, b);
  return values.subarray(start, start + width);
}

function placeOf(shape, { time_axis, batch_axis }) {
  const stride = (axis) => (axis < 0 ? 0 : shape.slice(axis + 1).reduce((size, n) => size * n, 1));
  const [t, b] = [stride(time_axis), stride(batch_axis)];
  return (time, batch) => time * t + batch * b;
}

export function chances(scores, variety = 1) {
  const best = Math.max(...scores);
  const raised = Array.from(scores, (score) => Math.exp((score - best) / variety));
  const sum = raised.reduce((total, value) => total + value, 0);
  return raised.map((value) => value / sum);
}

export function bestOf(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}
