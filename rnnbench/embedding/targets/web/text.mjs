// Models that continue a text.

import { alone, duration, el, fail, frame, halt, labelled, say } from "./dom.mjs";
import { bestOf, chances, valuesAt } from "./feed.mjs";
import { encode, following, inputsFor } from "./letters.mjs";

export function continueDemo(model) {
  const about = model.about.metadata,
    letters = [...about.alphabet];
  const prompt = el("textarea", {
    rows: 2,
    value: "The function returns",
    spellcheck: false,
    autocapitalize: "off",
  });
  const length = el("input", { type: "range", min: 20, max: 600, step: 20, value: 240 });
  const variety = el("input", { type: "range", min: 0, max: 1.2, step: 0.1, value: 0.5 });
  const lengthShown = el("span"),
    varietyShown = el("span");
  const said = el("div", {
    className: "said",
    role: "region",
    ariaLabel: "The text and its continuation",
    tabIndex: 0,
  });
  const note = el("output", { className: "facts" }),
    bars = el("div", { className: "bars" });
  const go = el(
    "button",
    { type: "button", className: "main", onclick: update },
    "Continue it again",
  );
  const stop = el("button", { type: "button", onclick: halt, disabled: true }, "Stop");
  let timer = 0;
  async function update() {
    clearTimeout(timer);
    try {
      if (prompt.value === "") return say(note, "Type one character or more.");
      const ids = encode(about, prompt.value);
      await alone((signal) => write(ids, signal));
    } catch (error) {
      fail(note, error);
    }
    return undefined;
  }
  async function write(ids, signal) {
    const added = el("mark");
    said.replaceChildren(prompt.value, added);
    stop.disabled = false;
    let outputs = await model.run(inputsFor(model, ids, {})),
      seconds = 0,
      count = 0,
      text = "";
    const states = Object.keys(model.about.states).length > 0;
    while (count < Number(length.value) && !signal.aborted) {
      const scores = valuesAt(model, outputs, -1);
      const id = pick(scores, Number(variety.value));
      text += letters[id];
      ids.push(id);
      const start = performance.now();
      // Without states the whole text is read again: the network has to see it from the start.
      outputs = await model.run(
        inputsFor(model, states ? [id] : ids, states ? following(model, outputs) : {}),
      );
      seconds += (performance.now() - start) / 1000;
      count += 1;
      if (count % 3 === 0) {
        added.textContent = text;
        said.scrollTop = said.scrollHeight;
        likely(valuesAt(model, outputs, -1));
        await frame();
      }
    }
    added.textContent = text;
    stop.disabled = true;
    say(note, `${count} characters, ${duration(seconds / count)} per step`);
    likely(valuesAt(model, outputs, -1));
  }
  function likely(scores) {
    const chance = chances(scores);
    const order = chance
      .map((_, i) => i)
      .sort((a, b) => chance[b] - chance[a])
      .slice(0, 5);
    bars.replaceChildren(
      ...order.flatMap((i) => [
        el("code", {}, { " ": "␣", "\n": "⏎" }[letters[i]] ?? letters[i]),
        el("meter", { min: 0, max: 1, value: chance[i], ariaLabel: `chance of ${letters[i]}` }),
        el("span", {}, `${Math.round(100 * chance[i])}%`),
      ]),
    );
  }
  function settings() {
    lengthShown.textContent = `Length: ${length.value} characters`;
    const v = Number(variety.value);
    varietyShown.textContent = `Variety: ${v === 0 ? "always the most likely" : v.toFixed(1)}`;
    clearTimeout(timer);
    timer = setTimeout(update, 250);
  }
  for (const control of [prompt, length, variety]) control.addEventListener("input", settings);
  settings();
  return el(
    "section",
    {},
    el("h2", {}, "Type, and it goes on"),
    el(
      "p",
      { className: "hint" },
      "One character at a time: each that it writes is what it reads next.",
    ),
    labelled("Your text", prompt, true),
    el(
      "div",
      { className: "row" },
      el("label", {}, lengthShown, length),
      el("label", {}, varietyShown, variety),
      go,
      stop,
    ),
    said,
    note,
    el("h3", { className: "hint" }, "What would come next"),
    bars,
  );
}

// The most likely, or one by chance.
function pick(scores, variety) {
  if (variety === 0) return bestOf(scores);
  let left = Math.random();
  const chance = chances(scores, variety);
  const found = chance.findIndex((value) => (left -= value) <= 0);
  return found < 0 ? bestOf(scores) : found;
}
