// Models that read characters: an answer to each, or the text continued.

import { alone, duration, el, fail, frame, halt, labelled, say } from "./dom.mjs";
import { bestOf, chances, dataPort, fed, valuesAt } from "./feed.mjs";
import { callSeconds } from "./model.mjs";

// Ids of a text; a character that is not in the alphabet becomes the stand-in, where there is one.
function encode({ alphabet, unknown }, text) {
  const places = new Map([...alphabet].map((character, place) => [character, place]));
  return [...text].map((character) => {
    const place = places.get(character) ?? places.get(unknown);
    if (place === undefined) {
      throw new Error(`“${character}” is not in the alphabet: use ${[...alphabet].join(", ")}`);
    }
    return place;
  });
}

// What feeds a text that follows a state.
function inputsFor(model, ids, state) {
  const whole = dataPort(model).dtype.startsWith("int");
  const x = fed(model, ids.length, 1, (t, b, f) => (whole ? ids[t] : Number(ids[t] === f)));
  return { ...model.start(1, ids.length), ...state, ...x };
}

function following(model, outputs) {
  return Object.fromEntries(Object.entries(model.about.states).map(([input, output]) => [input, outputs[output]]));
}

export function answerDemo(model) {
  const about = model.about.metadata, letters = [...about.alphabet];
  const input = el("input", { type: "text", value: about.question ?? about.alphabet, autocomplete: "off", autocapitalize: "off", spellcheck: false, maxLength: 200 });
  const table = el("table", { className: "grid" }), note = el("output", { className: "facts" });
  const keys = letters.map((letter) => el("button", { type: "button", className: "key", ariaLabel: `type ${letter}`, onclick: () => write(input.value + letter) }, letter));
  const back = el("button", { type: "button", ariaLabel: "delete the last character", onclick: () => write(input.value.slice(0, -1)) }, "⌫");
  function write(text) {
    input.value = text;
    update();
  }
  async function update() {
    try {
      const text = [...input.value];
      if (text.length === 0) {
        table.replaceChildren();
        return say(note, `Type some of ${letters.join(", ")}.`);
      }
      const inputs = inputsFor(model, encode(about, input.value), {});
      await alone(async () => {
        const outputs = await model.run(inputs);
        const seconds = await callSeconds(model, inputs, 3, 5);
        show(text, text.map((_, t) => chances(valuesAt(model, outputs, t))));
        say(note, `${text.length} steps in ${duration(seconds)}, ${duration(seconds / text.length)} per step`);
      });
    } catch (error) {
      fail(note, error);
    }
    return undefined;
  }
  function show(text, scores) {
    const said = scores.map((chance) => letters[bestOf(chance)]);
    table.replaceChildren(
      el("thead", {}, el("tr", {}, el("th", { className: "side", scope: "row" }, "You type"), ...text.map((c) => el("th", { scope: "col" }, c)))),
      el("tbody", {}, ...letters.map((letter, i) => el("tr", {}, el("th", { className: "side", scope: "row" }, letter), ...scores.map((chance) => cell(chance[i]))))),
      el("tfoot", {}, el("tr", {}, el("th", { className: "side", scope: "row" }, "It says"), ...said.map((c) => el("th", {}, c)))),
    );
  }
  function cell(chance) {
    const shade = el("i", {});
    shade.style.opacity = chance.toFixed(3);
    return el("td", {}, shade, el("span", {}, `${Math.round(100 * chance)}%`));
  }
  input.addEventListener("input", update);
  update();
  const learned = about.question && about.answer ? `It learned to say “${about.answer}” to “${about.question}”; try anything else of its alphabet. ` : "";
  return el("section", {}, el("h2", {}, "Talk to it"),
    el("p", { className: "hint" }, `${learned}The answer to each character depends on all those before it.`),
    labelled("Your text", input, true), el("div", { className: "row" }, ...keys, back),
    el("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "How likely each answer is" }, table), note);
}

export function continueDemo(model) {
  const about = model.about.metadata, letters = [...about.alphabet];
  const prompt = el("textarea", { rows: 2, value: "The function returns", spellcheck: false, autocapitalize: "off" });
  const length = el("input", { type: "range", min: 20, max: 600, step: 20, value: 240 });
  const variety = el("input", { type: "range", min: 0, max: 1.2, step: 0.1, value: 0.5 });
  const lengthShown = el("span"), varietyShown = el("span");
  const said = el("div", { className: "said", role: "region", ariaLabel: "The text and its continuation", tabIndex: 0 });
  const note = el("output", { className: "facts" }), bars = el("div", { className: "bars" });
  const go = el("button", { type: "button", className: "main", onclick: update }, "Continue it again");
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
    let outputs = await model.run(inputsFor(model, ids, {})), seconds = 0, count = 0, text = "";
    const states = Object.keys(model.about.states).length > 0;
    while (count < Number(length.value) && !signal.aborted) {
      const scores = valuesAt(model, outputs, -1);
      const id = pick(scores, Number(variety.value));
      text += letters[id];
      ids.push(id);
      const start = performance.now();
      // Without states the whole text is read again: the network has to see it from the start.
      outputs = await model.run(inputsFor(model, states ? [id] : ids, states ? following(model, outputs) : {}));
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
    const order = chance.map((_, i) => i).sort((a, b) => chance[b] - chance[a]).slice(0, 5);
    bars.replaceChildren(...order.flatMap((i) => [
      el("code", {}, { " ": "␣", "\n": "⏎" }[letters[i]] ?? letters[i]),
      el("meter", { min: 0, max: 1, value: chance[i], ariaLabel: `chance of ${letters[i]}` }),
      el("span", {}, `${Math.round(100 * chance[i])}%`),
    ]));
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
  return el("section", {}, el("h2", {}, "Type, and it goes on"),
    el("p", { className: "hint" }, "One character at a time: each that it writes is what it reads next."),
    labelled("Your text", prompt, true),
    el("div", { className: "row" }, el("label", {}, lengthShown, length), el("label", {}, varietyShown, variety), go, stop),
    said, note, el("h3", { className: "hint" }, "What would come next"), bars);
}

// The most likely, or one by chance.
function pick(scores, variety) {
  if (variety === 0) return bestOf(scores);
  let left = Math.random();
  const chance = chances(scores, variety);
  const found = chance.findIndex((value) => (left -= value) <= 0);
  return found < 0 ? bestOf(scores) : found;
}
