// The values of an output by step, as lines for a plot.

import { cut, numbers } from "./arrays.mjs";

// The values of every step of sequence `b`; of an output without time there is one.
export function stepsOf(array, { time_axis, batch_axis }, b = 0) {
  const own = batch_axis < 0 ? array : cut(array, batch_axis, b, b + 1);
  if (time_axis < 0) return [numbers(own)];
  return Array.from({ length: own.shape[time_axis] }, (_, t) =>
    numbers(cut(own, time_axis, t, t + 1)),
  );
}

// A line for each value of a step; `names` are those of the values, where there is one for each.
export function linesOf(name, steps, names = []) {
  const width = steps[0]?.length ?? 0;
  const label = (f) => `${name}[${names.length === width ? names[f] : f}]`;
  return Array.from({ length: width }, (_, f) => ({
    name: width === 1 ? name : label(f),
    values: steps.map((values) => values[f]),
  }));
}
