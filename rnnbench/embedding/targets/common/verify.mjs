// Every golden case at once and, where it may be, step by step.

import { inputsOf } from "./arrays.mjs";
import { callSeconds, compared } from "./model.mjs";

// Rows as RESULT.json has them; `tell(done, all)` is called as they come.
export async function verify(model, entries, tell = () => {}) {
  const cases = [...new Set(entries.map((entry) => entry.case))];
  const rows = [];
  for (const [done, name] of cases.entries()) {
    const inputs = inputsOf(entries, name);
    const own = entries.filter((entry) => entry.case === name);
    const wanted = own.filter((entry) => entry.part === "out");
    const streams = model.about.streams && own.some((entry) => entry.stream);
    for (const how of streams ? ["whole", "stream"] : ["whole"]) {
      const outputs = await (how === "whole" ? model.run(inputs) : model.streamed(inputs));
      for (const exact of wanted) {
        const found = compared(outputs[exact.name], exact);
        rows.push({ case: name, how, output: exact.name, ...found });
      }
    }
    await tell(done + 1, cases.length);
  }
  return rows;
}

// What --verify writes.
export async function resultOf(target, versions, load_s, model, entries) {
  const rows = await verify(model, entries);
  const small = entries.some((entry) => entry.case === "batch-1-time-1")
    ? "batch-1-time-1"
    : undefined;
  const step_s = await callSeconds(model, inputsOf(entries, small));
  return { format: "rnnbench-result-1", target, versions, load_s, step_s, rows };
}

// A line for each that is wrong, and one for all.
export function summary(rows) {
  const wrong = rows.filter((row) => !row.ok);
  const worst = Math.max(0, ...rows.map((row) => row.error ?? 0));
  return [
    ...wrong.map((row) => `WRONG ${row.case} ${row.how} ${row.output}: off by ${row.error}`),
    `${rows.length - wrong.length} of ${rows.length} right, worst error ${worst.toExponential(1)}`,
  ];
}
