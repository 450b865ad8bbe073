// Models that read columns of numbers: the forecast after each row of a CSV, against what came.

import { number, readCsv } from "./csv.mjs";
import { alone, dropZone, duration, el, fail, frame, labelled, say } from "./dom.mjs";
import { fed, valuesAt } from "./feed.mjs";
import { textOf } from "./files.mjs";
import { Plot } from "./plot.mjs";

const SAMPLES = ["samples/weather.csv"];

// {features[t][f], actual[t], lost}: normalised as in training; a return needs the row before.
function encode(about, rows) {
  const columns = about.columns.map((name) => rows.map((row, i) => numberOf(row, name, i)));
  const returns = about.transform === "return";
  const lost = returns ? 1 : 0;
  const value = (column, i) => (returns ? 100 * (column[i + 1] / column[i] - 1) : column[i]);
  const steps = Array.from({ length: Math.max(0, rows.length - lost) }, (_, i) => i);
  const features = steps.map((i) =>
    columns.map((column, f) => (value(column, i) - about.mean[f]) / about.std[f]),
  );
  const target = returns
    ? columns[0]
    : columns[Math.max(0, about.columns.indexOf(about.target.column))];
  if (features.length === 0)
    throw new Error(`${rows.length} rows are too few: give ${lost + 1} or more`);
  return { features, actual: steps.map((i) => value(target, i)), lost };
}

function numberOf(row, name, i) {
  if (!Object.hasOwn(row, name))
    throw new Error(`no column ${name}: there are ${Object.keys(row).join(", ")}`);
  return number(row[name], name, i);
}

export async function columnsDemo(model) {
  const about = model.about.metadata,
    unit = about.target.unit ?? "";
  const plot = new Plot(),
    note = el("output", { className: "facts" });
  const next = el("output", { className: "big" }),
    nextLabel = el("p", { className: "hint" });
  const series = el("select", { onchange: update }),
    range = el("select", { onchange: draw });
  for (const [text, value] of [
    ["the last 60", 60],
    ["the last 180", 180],
    ["all", 0],
  ])
    range.append(new Option(text, value));
  const paste = el("textarea", {
    rows: 6,
    spellcheck: false,
    placeholder: `${["date", ...about.columns].join(",")}\n…`,
  });
  const replay = el(
    "button",
    { type: "button", className: "main", onclick: live },
    "Replay, step by step",
  );
  const source = el("p", { className: "hint" });
  let all = new Map(),
    done = null;

  function use(text, from) {
    try {
      const rows = readCsv(text);
      all = new Map();
      for (const row of rows) {
        const name = row.symbol ?? "";
        all.set(name, [...(all.get(name) ?? []), row]);
      }
      series.replaceChildren(...[...all.keys()].map((name) => new Option(name, name)));
      series.parentElement.hidden = all.size < 2;
      source.textContent = from;
      update();
    } catch (error) {
      fail(note, error);
    }
  }

  // Forecasts for the windows that end after steps `ends`, as one batch.
  async function forecasts({ features }, ends) {
    const window = Math.min(about.window, features.length);
    const x = fed(model, window, ends.length, (t, b, f) => features[ends[b] - window + t][f]);
    const outputs = await model.run({ ...model.start(ends.length, window), ...x });
    return ends.map(
      (_, b) => valuesAt(model, outputs, -1, b)[0] * about.target.std + about.target.mean,
    );
  }

  async function update() {
    try {
      const rows = all.get(series.value) ?? [...all.values()][0];
      const data = encode(about, rows);
      const window = Math.min(about.window, data.features.length);
      const ends = Array.from({ length: data.features.length - window + 1 }, (_, i) => i + window);
      await alone(async () => {
        const start = performance.now();
        const values = await forecasts(data, ends);
        done = { rows, data, ends, values, seconds: (performance.now() - start) / 1000 };
        draw();
      });
    } catch (error) {
      fail(note, error);
    }
  }

  function draw(count = Infinity, seconds = null) {
    if (!done) return;
    const { rows, data, ends, values } = done;
    const wanted = Number(range.value) || ends.length;
    const first = Math.max(0, ends.length - wanted);
    const own = ends.slice(first),
      end = Number.isFinite(count) ? count : own.length;
    const label = (step) =>
      rows[step + data.lost]?.date ||
      (step < data.features.length ? `row ${step + data.lost + 1}` : "next");
    plot.show({
      title: `Forecast and actual ${about.target.column}`,
      unit,
      x: rows[0]?.date === undefined ? "row" : "date",
      y: unit ? `${about.target.column} in ${unit}` : about.target.column,
      labels: own.map(label),
      length: own.length,
      lines: [
        { name: "forecast", values: own.slice(0, end).map((_, i) => values[first + i]) },
        { name: "what it was", values: own.slice(0, end).map((step) => data.actual[step] ?? null) },
      ],
    });
    next.textContent = `${values.at(-1).toFixed(1)} ${unit}`;
    const last = rows.at(-1).date;
    nextLabel.textContent = `${about.target.column} forecast for the step after ${last || "the last row"}`;
    const known = own
      .slice(0, end)
      .flatMap((step, i) =>
        step < data.actual.length
          ? [
              [
                values[first + i],
                data.actual[step],
                about.transform === "return" ? 0 : data.actual[step - 1],
              ],
            ]
          : [],
      );
    const mean = (pick) => known.reduce((sum, row) => sum + Math.abs(pick(row)), 0) / known.length;
    const simple = about.baseline
      ? `; forecasting “${about.baseline}” ${mean(([, was, before]) => before - was).toFixed(2)} ${unit}`
      : "";
    const off = known.length
      ? `Off by ${mean(([said, was]) => said - was).toFixed(2)} ${unit} on average${simple}. `
      : "";
    say(
      note,
      `${off}${duration((seconds ?? done.seconds) / (seconds === null ? ends.length : end) / about.window)} per step`,
    );
  }

  async function live() {
    if (!done) return;
    await alone(async (signal) => {
      const wanted = Number(range.value) || done.ends.length;
      const own = done.ends.slice(-wanted);
      let seconds = 0;
      for (let i = 0; i < own.length && !signal.aborted; i++) {
        const start = performance.now();
        await forecasts(done.data, [own[i]]);
        seconds += (performance.now() - start) / 1000;
        draw(i + 1, seconds);
        await frame();
      }
      draw();
    }).catch((error) => fail(note, error));
  }

  range.value = innerWidth < 600 ? "60" : "180";
  const own = el(
    "details",
    {},
    el("summary", {}, "Your own data"),
    el(
      "p",
      { className: "hint" },
      `A CSV with the columns ${about.columns.join(", ")}; a column date labels the rows. ${about.window} rows before each forecast are read.`,
    ),
    labelled("Paste it here", paste, true),
    el(
      "button",
      { type: "button", onclick: () => use(paste.value, "The rows that you pasted.") },
      "Forecast these rows",
    ),
    dropZone(
      "or drop a CSV file here",
      ".csv,text/csv",
      false,
      async ([file]) => file && use(await file.text(), `From ${file.name}.`),
    ),
  );
  const section = el(
    "section",
    {},
    el("h2", {}, "Forecast against what came"),
    source,
    el("div", {}, next, nextLabel),
    el("div", { className: "row" }, labelled("Series", series), labelled("Show", range), replay),
    plot.element,
    note,
    own,
  );
  series.parentElement.hidden = true;
  const sample = await fitting(about.columns);
  if (sample)
    use(
      sample,
      `Seattle's weather in 2015${about.task === "weather" ? ", which the model did not see in training" : ""}.`,
    );
  else {
    own.open = true;
    say(note, "Paste or drop a CSV to see a forecast.");
  }
  return section;
}

async function fitting(columns) {
  for (const name of SAMPLES) {
    const text = await textOf(name).catch(() => "");
    const header = text.split(/\r?\n/, 1)[0].split(",");
    if (columns.every((column) => header.includes(column))) return text;
  }
  return null;
}
