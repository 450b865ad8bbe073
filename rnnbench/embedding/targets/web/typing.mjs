// Models that read text, or ids: what comes out after each, as it is typed.

import { alone, duration, el, fail, labelled, say } from "./dom.mjs";
import { dataPort } from "./feed.mjs";
import { inputsFor, readerOf } from "./letters.mjs";
import { linesOf, stepsOf } from "./outputs.mjs";
import { Plot } from "./plot.mjs";

export function typingDemo(model) {
  const { about } = model,
    reader = readerOf(about.metadata, dataPort(model).high);
  const text = el("textarea", {
    rows: 2,
    value: reader.example,
    spellcheck: false,
    autocapitalize: "off",
  });
  const choice = el("select", { onchange: () => draw() }),
    plot = new Plot(),
    note = el("output", { className: "facts" });
  for (const { name } of about.outputs) choice.append(new Option(name, name));
  let done = null;

  async function update() {
    try {
      const { ids, pieces } = reader.read(text.value);
      if (ids.length === 0) return say(note, reader.hint);
      await alone(async () => {
        const inputs = inputsFor(model, ids, {});
        const start = performance.now();
        const outputs = await model.run(inputs);
        const seconds = (performance.now() - start) / 1000;
        done = { outputs, pieces };
        draw();
        say(note, `${ids.length} steps in ${duration(seconds)}`);
      });
    } catch (error) {
      fail(note, error);
    }
    return undefined;
  }

  function draw() {
    if (!done) return;
    const chosen = about.outputs.find(({ name }) => name === choice.value);
    const steps = stepsOf(done.outputs[chosen.name], chosen);
    const over =
      chosen.time_axis >= 0
        ? { lines: linesOf(chosen.name, steps), labels: done.pieces, x: reader.unit }
        : {
            lines: [{ name: chosen.name, values: [...steps[0]] }],
            labels: Array.from(steps[0], (_, i) => `[${i}]`),
            x: "place in the output",
          };
    plot.show({ title: `Output ${chosen.name} as you type`, y: chosen.name, ...over });
  }

  text.addEventListener("input", update);
  update();
  return el(
    "section",
    { id: "typing" },
    el("h2", {}, "Type to it"),
    el("p", { className: "hint" }, reader.hint),
    labelled("Your text", text, true),
    el("div", { className: "row" }, labelled("Output", choice)),
    plot.element,
    note,
  );
}
