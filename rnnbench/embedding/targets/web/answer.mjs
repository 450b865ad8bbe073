// Models that answer each character.

import { alone, duration, el, fail, labelled, say } from "./dom.mjs";
import { bestOf, chances, valuesAt } from "./feed.mjs";
import { encode, inputsFor } from "./letters.mjs";
import { callSeconds } from "./model.mjs";

export function answerDemo(model) {
  const about = model.about.metadata,
    letters = [...about.alphabet];
  const input = el("input", {
    type: "text",
    value: about.question ?? about.alphabet,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: false,
    maxLength: 200,
  });
  const table = el("table", { className: "grid" }),
    note = el("output", { className: "facts" });
  const keys = letters.map((letter) =>
    el(
      "button",
      {
        type: "button",
        className: "key",
        ariaLabel: `type ${letter}`,
        onclick: () => write(input.value + letter),
      },
      letter,
    ),
  );
  const back = el(
    "button",
    {
      type: "button",
      ariaLabel: "delete the last character",
      onclick: () => write(input.value.slice(0, -1)),
    },
    "⌫",
  );
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
        show(
          text,
          text.map((_, t) => chances(valuesAt(model, outputs, t))),
        );
        say(
          note,
          `${text.length} steps in ${duration(seconds)}, ${duration(seconds / text.length)} per step`,
        );
      });
    } catch (error) {
      fail(note, error);
    }
    return undefined;
  }
  function show(text, scores) {
    const said = scores.map((chance) => letters[bestOf(chance)]);
    table.replaceChildren(
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { className: "side", scope: "row" }, "You type"),
          ...text.map((c) => el("th", { scope: "col" }, c)),
        ),
      ),
      el(
        "tbody",
        {},
        ...letters.map((letter, i) =>
          el(
            "tr",
            {},
            el("th", { className: "side", scope: "row" }, letter),
            ...scores.map((chance) => cell(chance[i])),
          ),
        ),
      ),
      el(
        "tfoot",
        {},
        el(
          "tr",
          {},
          el("th", { className: "side", scope: "row" }, "It says"),
          ...said.map((c) => el("th", {}, c)),
        ),
      ),
    );
  }
  function cell(chance) {
    const shade = el("i", {});
    shade.style.opacity = chance.toFixed(3);
    return el("td", {}, shade, el("span", {}, `${Math.round(100 * chance)}%`));
  }
  input.addEventListener("input", update);
  update();
  const learned =
    about.question && about.answer
      ? `It learned to say “${about.answer}” to “${about.question}”; try anything else of its alphabet. `
      : "";
  return el(
    "section",
    {},
    el("h2", {}, "Talk to it"),
    el(
      "p",
      { className: "hint" },
      `${learned}The answer to each character depends on all those before it.`,
    ),
    labelled("Your text", input, true),
    el("div", { className: "row" }, ...keys, back),
    el(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "How likely each answer is" },
      table,
    ),
    note,
  );
}
