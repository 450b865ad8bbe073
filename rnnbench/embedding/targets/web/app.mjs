// The page: loads the model, and shows what fits it.

import { answerDemo } from "./answer.mjs";
import { audioDemo } from "./audio.mjs";
import { casesPanel, goldenCases } from "./cases.mjs";
import { verifyPanel } from "./checks.mjs";
import { columnsDemo } from "./columns.mjs";
import { duration, el, fail } from "./dom.mjs";
import { drive } from "./drive.mjs";
import { readsIds, readsRows, readsSequences } from "./feed.mjs";
import { load } from "./load.mjs";
import { rowsDemo } from "./rows.mjs";
import { continueDemo } from "./text.mjs";
import { typingDemo } from "./typing.mjs";

const status = document.getElementById("status"),
  main = document.getElementById("main");

async function demoFor(model) {
  const { metadata } = model.about;
  if (model.about.sound) return audioDemo(model);
  if (!readsSequences(model)) return null;
  const scores = model.about.outputs[0].shape?.at(-1) === [...(metadata?.alphabet ?? "")].length;
  if (metadata?.alphabet && scores)
    return metadata.answer ? answerDemo(model) : continueDemo(model);
  if (metadata?.columns && metadata.target && metadata.window) return columnsDemo(model);
  if (readsIds(model)) return typingDemo(model);
  return readsRows(model) ? rowsDemo(model) : null;
}

function aboutPanel({ about }) {
  const shape = (port) => (port.shape ? `[${port.shape.join(", ")}]` : `rank ${port.rank}`);
  const row = (kind, port, state) =>
    el(
      "tr",
      {},
      ...[kind, port.name, port.dtype, shape(port), state].map((text) => el("td", {}, text)),
    );
  const fedBack = Object.fromEntries(
    Object.entries(about.states).map(([input, output]) => [output, input]),
  );
  const head = ["", "name", "type", "shape", ""].map((text) => el("th", { scope: "col" }, text));
  return el(
    "section",
    {},
    el("h2", {}, "What it takes and gives"),
    el(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Inputs and outputs" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...head)),
        el(
          "tbody",
          {},
          ...about.inputs.map((port) => row("input", port, port.role === "data" ? "" : port.role)),
          ...about.outputs.map((port) =>
            row(
              "output",
              port,
              Object.hasOwn(fedBack, port.name) ? `fed back as ${fedBack[port.name]}` : "",
            ),
          ),
        ),
      ),
    ),
  );
}

async function show({ model, version, bytes, load_s }) {
  const { name, metadata } = model.about;
  document.title = name;
  document.getElementById("name").textContent = name;
  const variant = metadata?.variant ? `${String(metadata.variant).toUpperCase()} · ` : "";
  const size =
    bytes < 2 ** 20
      ? `${(bytes / 1024).toFixed(bytes < 10240 ? 1 : 0)} KiB`
      : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  status.textContent = `${variant}${size} · loaded in ${duration(load_s)} · ONNX Runtime Web ${version}`;
  const golden = await goldenCases();
  const { section, check } = verifyPanel(model, golden);
  const cases = casesPanel(model, golden),
    demo = await demoFor(model);
  main.append(...[demo, cases.section, section, aboutPanel(model)].filter(Boolean));
  if (location.hash === "#verify") {
    section.scrollIntoView();
    await check();
  } else if (!demo || model.about.sound) await cases.run();
}

const loading = load();
if (location.hash === "#drive") {
  await drive(loading, show);
} else {
  await loading.then(show).catch((error) => fail(status, error));
}
