// Any model: a golden case or a file of one's own, at once or streamed, plotted as it comes.

import { inputsOf, readArrays, writeArrays } from "./arrays.mjs";
import { alone, dropZone, duration, el, fail, frame, halt, labelled, offer, say } from "./dom.mjs";
import { bytesOf, textOf } from "./files.mjs";
import { callSeconds, compared, proof } from "./model.mjs";
import { linesOf, stepsOf } from "./outputs.mjs";
import { Plot } from "./plot.mjs";

const MOST = 512; // values of a step in a plot

const some = (values) => values.subarray(0, MOST);

export async function goldenCases() {
  return readArrays(
    JSON.parse(await textOf("golden/cases.json")),
    await bytesOf("golden/cases.bin"),
  );
}

export function casesPanel(model, golden) {
  let entries = golden,
    outputs = null;
  const choice = el("select", {}),
    port = el("select", { onchange: draw });
  const row = el("input", { type: "number", className: "short", min: 1, value: 1, onchange: draw });
  const plot = new Plot(),
    note = el("output", { className: "facts" });
  const save = el(
    "button",
    { type: "button", hidden: true, onclick: download },
    "Save the outputs",
  );
  for (const { name } of model.about.outputs) port.append(new Option(name, name));
  const run = el(
    "button",
    { type: "button", className: "main", onclick: () => work(whole) },
    "Run",
  );
  const live = el(
    "button",
    { type: "button", disabled: !model.timed.length, onclick: () => work(stream) },
    "Stream it live",
  );
  const stop = el("button", { type: "button", disabled: true, onclick: halt }, "Stop");

  function list(own) {
    entries = own;
    choice.replaceChildren(
      ...[...new Set(entries.map((entry) => entry.case))].map((name) => {
        const shapes = Object.values(inputsOf(entries, name))
          .slice(0, 1)
          .map((a) => a.shape.join(" × "));
        return new Option(`${name} (${shapes})`, name);
      }),
    );
    const longest = entries.find((entry) => entry.case === "longer");
    if (longest) choice.value = "longer";
  }

  async function work(how) {
    try {
      await alone((signal) => {
        stop.disabled = false;
        return how(inputsOf(entries, choice.value), signal);
      });
    } catch (error) {
      fail(note, error);
    }
    stop.disabled = true;
  }

  async function whole(inputs) {
    const start = performance.now();
    outputs = await model.run(inputs);
    let seconds = (performance.now() - start) / 1000;
    draw();
    if (seconds < 0.3) seconds = await callSeconds(model, inputs, 5, 2); // the first call is slower
    const steps = lengthOf(inputs);
    say(
      note,
      `${steps ? `${steps} steps in ` : ""}${duration(seconds)}${steps ? `, ${duration(seconds / steps)} per step` : ""}${against(outputs)}`,
    );
  }

  async function stream(inputs, signal) {
    const parts = [],
      steps = lengthOf(inputs);
    let seen = [],
      shown = "";
    note.ariaLive = "off"; // nobody wants to hear every step
    let start = performance.now(),
      seconds = 0;
    for await (const part of model.stream(inputs)) {
      seconds += (performance.now() - start) / 1000;
      parts.push(part);
      const chosen = `${port.value} ${row.value}`;
      const fresh = chosen === shown ? [part] : parts;
      if (chosen !== shown) [seen, shown] = [[], chosen];
      seen.push(...fresh.map((one) => some(picked(one[port.value], portOf(port.value))[0])));
      history(part, seen, steps);
      say(note, `step ${parts.length} of ${steps}, ${duration(seconds / parts.length)} per step`);
      await frame();
      if (signal.aborted) return void (note.ariaLive = "polite");
      start = performance.now();
    }
    note.ariaLive = "polite";
    outputs = model.together(parts);
    save.hidden = false;
    const matched = model.about.streams
      ? against(outputs)
      : "; a stream of this model is not the same as one call";
    say(note, `${steps} steps, one at a time: ${duration(seconds / steps)} per step${matched}`);
  }

  function against(given) {
    const wanted = entries.filter(
      (entry) => entry.case === choice.value && entry.part === "out" && entry.allowed > 0,
    );
    if (wanted.length === 0) return "";
    const found = wanted.map((exact) => compared(given[exact.name], exact));
    return `; ${found.every(({ ok }) => ok) ? "" : "off: "}${proof(found)}`;
  }

  // An output over time; one without time over its values.
  function draw() {
    if (!outputs) return;
    save.hidden = false;
    const chosen = portOf(port.value),
      output = outputs[chosen.name];
    const { name } = chosen,
      steps = picked(output, chosen);
    const over =
      chosen.time_axis < 0
        ? {
            lines: [{ name, values: [...steps[0]] }],
            labels: Array.from(steps[0], (_, i) => `[${i}]`),
            x: "place in the output",
          }
        : { lines: linesOf(name, steps.map(some)), x: "step" };
    plot.show({ title: `Output ${name}`, y: name, more: more(output, chosen), ...over });
  }

  // The same while it comes: outputs without time are kept at every step.
  function history(part, seen, length) {
    const chosen = portOf(port.value),
      { name } = chosen;
    const lines = linesOf(name, seen);
    const said = { length, lines, x: "step", y: name };
    plot.show({ title: `Output ${name}`, more: more(part[name], chosen, true), ...said });
  }

  // That the plot has the first of many values only.
  function more({ shape }, { time_axis, batch_axis }, streaming = false) {
    const size = shape.reduce(
      (product, n, axis) => (axis === time_axis || axis === batch_axis ? product : product * n),
      1,
    );
    return size > MOST && (streaming || time_axis >= 0) ? `the first ${MOST} of ${size}` : "";
  }

  // The values of each step of the chosen sequence.
  function picked(array, chosen) {
    const last = (array.shape[chosen.batch_axis] ?? 1) - 1;
    return stepsOf(array, chosen, Math.max(0, Math.min(last, Number(row.value) - 1)));
  }

  function portOf(name) {
    return model.about.outputs.find((output) => output.name === name);
  }

  function lengthOf(inputs) {
    const [first] = model.timed;
    return first ? inputs[first.name].shape[first.time_axis] : 0;
  }

  async function open(files) {
    try {
      const header = files.find((file) => file.name.endsWith(".json")),
        data = files.find((file) => !file.name.endsWith(".json"));
      if (!header || !data)
        throw new Error("give two files: the header (.json) and its data (.bin)");
      list(readArrays(JSON.parse(await header.text()), await data.arrayBuffer()));
      say(note, `${header.name}: ${choice.options.length} case(s), ready to run`);
    } catch (error) {
      fail(note, error);
    }
  }

  function download() {
    const { header, raw } = writeArrays(outputs, "output.bin");
    offer("output.json", new Blob([header]));
    offer("output.bin", new Blob([raw]));
  }

  list(golden);
  const section = el(
    "section",
    {},
    el("h2", {}, "Any input"),
    el(
      "p",
      { className: "hint" },
      "A golden case, or arrays from a file of your own; streamed, the states are handed on from step to step.",
    ),
    el(
      "div",
      { className: "row" },
      labelled("Case", choice),
      labelled("Output", port),
      labelled("Sequence", row),
      run,
      live,
      stop,
    ),
    plot.element,
    note,
    save,
    el(
      "details",
      {},
      el("summary", {}, "Your own arrays"),
      dropZone(
        "Drop both files here, the header (.json) and its data (.bin)",
        ".json,.bin",
        true,
        open,
      ),
    ),
  );
  return { section, run: () => work(whole) };
}
