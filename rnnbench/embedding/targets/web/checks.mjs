// Every golden case, verified in the page.

import { alone, el, fail, frame } from "./dom.mjs";
import { proof, short } from "./model.mjs";
import { verify } from "./verify.mjs";

export function verifyPanel(model, golden) {
  const note = el("output"),
    table = el("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Results" });
  const all = el("details", { hidden: true }, el("summary", {}, "Every result"), table);
  const bar = el("progress", { max: 1, value: 0, hidden: true, ariaLabel: "Verifying" });
  async function check() {
    bar.hidden = false;
    try {
      await alone(async () => {
        const rows = await verify(model, golden, async (done, all) => {
          bar.value = done / all;
          await frame();
        });
        const wrong = rows.filter((line) => !line.ok).length;
        note.className = wrong ? "error" : "good";
        note.textContent = wrong
          ? `${wrong} of ${rows.length} outputs are off: ${proof(rows)}`
          : `All ${rows.length} outputs are right: ${proof(rows)}`;
        const head = ["", "case", "how", "output", "error", "allowed"].map((text) =>
          el("th", { scope: "col" }, text),
        );
        const shown = (value) => (value === null ? "none" : short(value));
        table.replaceChildren(
          el(
            "table",
            {},
            el("thead", {}, el("tr", {}, ...head)),
            el(
              "tbody",
              {},
              ...rows.map((line) =>
                el(
                  "tr",
                  {},
                  ...[
                    line.ok ? "✓" : "✗ off",
                    line.case,
                    line.how,
                    line.output,
                    shown(line.error),
                    shown(line.allowed),
                  ].map((text, i) => el("td", { className: i > 3 ? "number" : "" }, text)),
                ),
              ),
            ),
          ),
        );
        all.hidden = false;
        all.open = wrong > 0;
      });
    } catch (error) {
      fail(note, error);
    }
    bar.hidden = true;
  }
  const section = el(
    "section",
    {},
    el("h2", {}, "Is it right?"),
    el(
      "p",
      { className: "hint" },
      "Every golden case, at once and streamed, against what PyTorch computes in double precision.",
    ),
    el(
      "div",
      { className: "row" },
      el("button", { type: "button", className: "main", onclick: check }, "Verify"),
      bar,
    ),
    note,
    all,
  );
  return { section, check };
}
