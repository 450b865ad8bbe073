// Models that read rows of numbers: a CSV, its columns by name, and what comes out beside them.

import { cut } from "./arrays.mjs";
import { number, readTable, writeCsv } from "./csv.mjs";
import { alone, dropZone, duration, el, fail, frame, labelled, offer, say } from "./dom.mjs";
import { dataPort, featuresOf, fed } from "./feed.mjs";
import { LEAST_ROWS } from "./heat.mjs";
import { Stream } from "./model.mjs";
import { linesOf, stepsOf } from "./outputs.mjs";
import { Plot } from "./plot.mjs";

const CHUNK = 64; // rows between two pictures

export function rowsDemo(model) {
  const { about } = model,
    port = dataPort(model),
    wanted = featuresOf(port);
  const columns = el("input", { type: "text", spellcheck: false, autocapitalize: "off" });
  const choice = el("select", { onchange: draw });
  const beside = el("select", { onchange: draw });
  const plot = new Plot(),
    note = el("output", { className: "facts" }),
    source = el("p", { className: "hint" });
  const paste = el("textarea", {
    rows: 5,
    spellcheck: false,
    placeholder: "name,name,…\n0.5,1.5,…",
  });
  const run = el("button", { type: "button", className: "main", onclick: update }, "Run");
  const keep = el("button", { type: "button", hidden: true, onclick: save }, "Save as CSV");
  const shown = about.outputs.filter(({ time_axis }) => time_axis >= 0);
  for (const { name } of shown) choice.append(new Option(name, name));
  let table = null,
    done = null;

  function use(text, from) {
    try {
      table = readTable(text);
      const names = numericColumns(table);
      beside.replaceChildren(new Option("nothing", ""), ...names.map((name) => new Option(name)));
      columns.value = usualColumns(table, about.metadata?.columns, wanted).join(", ");
      source.textContent = `${from}: ${table.rows.length} rows of ${table.header.join(", ")}.`;
      update();
    } catch (error) {
      fail(note, error);
    }
  }

  async function update() {
    try {
      if (!table) return say(note, "Choose a CSV first.");
      const names = columns.value.split(",").map((name) => name.trim());
      const values = columnsOf(table, names, wanted);
      await alone((signal) => work(values, names, signal));
    } catch (error) {
      fail(note, error);
    }
    return undefined;
  }

  async function work(values, names, signal) {
    const start = performance.now();
    const { outputs, seconds } = await through(model, values, signal);
    if (signal.aborted) return;
    const spent = seconds ?? (performance.now() - start) / 1000;
    done = { outputs, names, table };
    draw();
    keep.hidden = shown.length === 0;
    const how = about.streams ? ", the states handed on" : "";
    const each = duration(spent / values.length);
    say(note, `${values.length} rows in ${duration(spent)}, ${each} per row${how}${once()}`);
  }

  // Outputs without time, which a plot over rows has no place for.
  function once() {
    const others = about.outputs.filter(
      ({ name, time_axis }) => time_axis < 0 && !Object.values(about.states).includes(name),
    );
    return others
      .map((one) => {
        const [values] = stepsOf(done.outputs[one.name], one);
        const some = [...values.subarray(0, 8)].map((value) => value.toPrecision(4));
        return `; ${one.name} ${some.join(", ")}${values.length > 8 ? ", …" : ""}`;
      })
      .join("");
  }

  function draw() {
    const chosen = shown.find(({ name }) => name === choice.value);
    if (!done || !chosen) return;
    const lines = linesFor(chosen);
    const label = labelsOf(done.table, done.names);
    const column = beside.value && lines.length < LEAST_ROWS - 1 ? [actual(beside.value)] : [];
    plot.show({
      title: `Output ${chosen.name} of each row`,
      lines: [...lines, ...column],
      labels: label.values,
      x: label.name,
      y: chosen.name,
    });
  }

  // An output of as many values as there are columns has their names, as `rnnbench run --csv` has it.
  function linesFor(port) {
    return linesOf(port.name, stepsOf(done.outputs[port.name], port), done.names);
  }

  // A column of the table, to compare a forecast with what came.
  function actual(name) {
    const place = done.table.header.indexOf(name);
    const values = done.table.rows.map((row) => (row[place] === "" ? NaN : Number(row[place])));
    return { name, values };
  }

  // The table as it was, its header kept, and the outputs as further columns.
  function save() {
    const made = shown
      .filter(({ name }) => !Object.values(about.states).includes(name))
      .flatMap(linesFor);
    const header = [...done.table.header, ...made.map(({ name }) => name)];
    const rows = done.table.rows.map((row, t) => [...row, ...made.map(({ values }) => values[t])]);
    offer(`${about.name}.csv`, new Blob([writeCsv([header, ...rows])], { type: "text/csv" }));
  }

  const section = el(
    "section",
    { id: "rows" },
    el("h2", {}, "Rows of numbers"),
    el(
      "p",
      { className: "hint" },
      `A CSV with a header; ${wanted} of its columns are ${port.name}, in this order, as they are.`,
    ),
    dropZone("A CSV file", ".csv,.tsv,.txt,text/csv", false, async ([file]) => {
      if (file) use(await file.text(), file.name);
    }),
    el(
      "details",
      {},
      el("summary", {}, "Or paste it"),
      labelled("Rows", paste, true),
      el(
        "button",
        { type: "button", onclick: () => use(paste.value, "What you pasted") },
        "Use these",
      ),
    ),
    source,
    labelled(`Columns (${wanted})`, columns, true),
    el(
      "div",
      { className: "row" },
      labelled("Output", choice),
      labelled("Beside it", beside),
      run,
      keep,
    ),
    plot.element,
    note,
  );
  choice.parentElement.hidden = shown.length < 2;
  columns.addEventListener("change", update);
  use(madeUpRows(wanted, about.metadata?.columns), "Made-up numbers");
  return section;
}

// The outputs for rows of numbers; in pieces where the model streams, so that the page lives on.
async function through(model, values, signal) {
  const whole = fed(model, values.length, 1, (t, _, f) => values[t][f]);
  if (!model.about.streams)
    return { outputs: await model.run({ ...model.start(1, values.length), ...whole }) };
  const port = dataPort(model),
    stream = new Stream(model),
    parts = [];
  let seconds = 0;
  for (let at = 0; at < values.length && !signal.aborted; at += CHUNK) {
    const part = { [port.name]: cut(whole[port.name], port.time_axis, at, at + CHUNK) };
    const start = performance.now();
    parts.push(await stream.step(part));
    seconds += (performance.now() - start) / 1000;
    if (at % (16 * CHUNK) === 0) await frame();
  }
  return { outputs: model.together(parts), seconds };
}

// The columns that the model's maker named, or else the first that hold numbers.
function usualColumns(table, named, count) {
  if (Array.isArray(named) && named.every((name) => table.header.includes(name))) return named;
  return numericColumns(table).slice(0, count);
}

function numericColumns({ header, rows }) {
  return header.filter((_, i) => rows[0][i] !== "" && Number.isFinite(Number(rows[0][i])));
}

function columnsOf({ header, rows }, names, count) {
  const places = names.map((name) => header.indexOf(name));
  const lost = names.filter((_, i) => places[i] < 0 && names[i] !== "");
  if (lost.length) throw new Error(`no column ${lost.join(", ")}: there are ${header.join(", ")}`);
  if (names.length !== count || names.includes(""))
    throw new Error(
      `the model reads ${count} columns, and these are ${names.filter(Boolean).length}: name ${count}`,
    );
  return rows.map((row, t) => places.map((place, f) => number(row[place], names[f], t)));
}

// What stands below the plot: the first column that the model does not read, else the rows' numbers.
function labelsOf({ header, rows }, names) {
  const place = header.findIndex((name) => !names.includes(name));
  if (place < 0) return { name: "row" };
  return { name: header[place], values: rows.map((row) => row[place].slice(0, 16)) };
}

function madeUpRows(count, named) {
  const own = Array.isArray(named) && named.length === count ? named : null;
  const header = Array.from({ length: count }, (_, f) => own?.[f] ?? `column ${f + 1}`);
  const wave = (t, f) => Math.sin(t / (4 + 3 * (f % 7)) + f).toFixed(4);
  const rows = Array.from({ length: 120 }, (_, t) => header.map((_, f) => wave(t, f)));
  return writeCsv([header, ...rows]);
}
