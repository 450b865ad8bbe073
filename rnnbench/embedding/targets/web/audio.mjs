// Models that take sound: a WAV file or the microphone, as a stream, heard and plotted.

import { alone, dropZone, duration, el, fail, halt, labelled, offer, say } from "./dom.mjs";
import { heard, joined, stepsOf } from "./flow.mjs";
import { hearFile, hearPort } from "./hear.mjs";
import { lacking, openMicrophone } from "./mic.mjs";
import { linesOf } from "./outputs.mjs";
import { player } from "./player.mjs";
import { Plot } from "./plot.mjs";
import { madeUp, samplesOf } from "./sound.mjs";
import { writeCsv } from "./csv.mjs";
import { latest, line, rows, thinned } from "./waves.mjs";
import { writeWav } from "./wav.mjs";

const BLOCKS_S = [0.004, 0.008, 0.016, 0.032, 0.064, 0.128];
const USUAL_S = 0.016;
const MOST_S = 600; // that a recording keeps

export function audioDemo(model) {
  const { about } = model,
    { sound } = about,
    shown = heard(about);
  const plot = new Plot(),
    note = el("output", { className: "facts" });
  const factor = el("p", { className: "big" }),
    factorLabel = el("p", { className: "hint" });
  const block = el("select", {});
  const aloud = el("input", { type: "checkbox", checked: true });
  const before = player("What went in"),
    after = player(sound.output ? "What came out" : "");
  const microphone = el(
    "button",
    { type: "button", className: "main", onclick: () => work(live) },
    "Microphone",
  );
  const madeUpSound = el(
    "button",
    { type: "button", onclick: () => work(sample) },
    "A made-up sound",
  );
  const stop = el("button", { type: "button", disabled: true, onclick: halt }, "Stop");
  const table = el("button", { type: "button", hidden: true, onclick: save }, "Save as CSV");
  const steps = [...new Set(BLOCKS_S.map((s) => stepsOf(sound, Math.round(s * sound.rate))))];
  for (const count of steps) {
    const samples = count * sound.frame;
    block.append(new Option(`${samples} samples, ${duration(samples / sound.rate)}`, count));
  }
  block.value = stepsOf(sound, Math.round(USUAL_S * sound.rate));
  let parts = [];

  const blockOf = () => (about.streams ? Number(block.value) : null);
  // A block and a half, and 20 ms, in whole blocks: so much waits before it is played.
  const leadOf = () => {
    const size = (blockOf() ?? 1) * sound.frame;
    return Math.ceil(1.5 + (0.02 * sound.rate) / size) * size;
  };

  async function work(how) {
    try {
      await alone(async (signal) => {
        stop.disabled = false;
        block.disabled = true;
        parts = [];
        factor.textContent = factorLabel.textContent = "";
        for (const player of [before, after]) player.hide();
        table.hidden = true;
        say(note, "Starting…");
        await how(signal);
      });
    } catch (error) {
      fail(note, error);
    }
    stop.disabled = true;
    block.disabled = false;
  }

  const sample = (signal) => through(madeUp(sound.rate), "Tones in noise", signal);

  async function open([file]) {
    if (!file) return;
    await work(async (signal) => {
      const { samples, said } = await samplesOf(file, sound.rate);
      await through(samples, `${file.name}${said}`, signal);
    });
  }

  async function through(samples, name, signal) {
    const use = (part) => {
      parts.push(part);
      const done = parts.reduce((sum, { samples: own }) => sum + own.length, 0);
      say(note, `${name}: ${Math.round((100 * done) / samples.length)} %`);
      measure();
    };
    await hearFile(samples, blockOf(), use, signal);
    if (parts.length) show(signal.aborted ? `${name}, as far as it came` : name);
    if (aloud.checked && sound.output && !signal.aborted) after.play();
  }

  async function live(signal) {
    const device = await openMicrophone(sound.rate, leadOf());
    try {
      device.play(aloud.checked);
      aloud.onchange = () => device.play(aloud.checked);
      note.ariaLive = "off";
      say(note, "Listening: press Stop to end it.");
      const use = (part) => {
        parts.push(part);
        measure();
        picture(latest(parts, 3 * sound.rate));
        const late = sound.output ? `, heard ${duration(device.delay_s)} later` : "";
        say(note, `Listening, ${seconds()} s so far${late}${trouble(part, sound.rate)}`);
        if (seconds() >= MOST_S) halt();
      };
      await hearPort(device.port, blockOf(), use, signal);
    } finally {
      note.ariaLive = "polite";
      device.close();
    }
    if (parts.length) show("The microphone");
    else say(note, "Nothing came from the microphone.");
  }

  function measure() {
    const real = parts.reduce((sum, { samples }) => sum + samples.length, 0) / sound.rate;
    const spent = parts.reduce((sum, part) => sum + part.seconds, 0);
    const ratio = spent / real;
    factor.textContent = `real-time factor ${ratio.toPrecision(2)}`;
    const speed =
      ratio < 1
        ? `${(1 / ratio).toPrecision(2)} times as fast as the sound`
        : "slower than the sound: it cannot keep up";
    factorLabel.textContent = `${duration(spent)} for ${duration(real)} of sound: ${speed}`;
  }

  const seconds = () =>
    Math.floor(parts.reduce((sum, { samples }) => sum + samples.length, 0) / sound.rate);

  // The whole of it, once it has ended.
  function show(name) {
    const { samples, values } = picture(parts);
    before.give(writeWav(samples, sound.rate));
    if (sound.output) after.give(writeWav(values, sound.rate));
    else table.hidden = false;
    const how = about.streams ? `in blocks of ${block.selectedOptions[0].text}` : "all at once";
    say(
      note,
      `${name}: ${duration(samples.length / sound.rate)}, ${how}${trouble(parts.at(-1), sound.rate)}`,
    );
  }

  function picture(some) {
    const samples = joined(some.map((part) => part.samples)),
      values = joined(some.map((part) => part.values));
    const span = samples.length / sound.rate;
    const drawn = sound.output
      ? { y: "amplitude", lines: [line("in", samples), line("out", values)] }
      : { y: shown.name, ...thinned(linesOf(shown.name, rows(values, some[0].width))) };
    const count = Math.max(...drawn.lines.map((one) => one.values.length));
    const labels = Array.from({ length: count }, (_, i) => `${((i * span) / count).toFixed(2)} s`);
    plot.show({ title: `Sound and ${shown.name}`, labels, x: "time in seconds", ...drawn });
    return { samples, values };
  }

  function save() {
    const width = parts[0].width,
      values = rows(joined(parts.map((part) => part.values)), width);
    const span = parts.reduce((sum, { samples }) => sum + samples.length, 0) / sound.rate;
    const header = ["seconds", ...linesOf(shown.name, values).map((one) => one.name)];
    const lines = values.map((own, t) => [(t * span) / values.length, ...own]);
    offer(`${shown.name}.csv`, new Blob([writeCsv([header, ...lines])], { type: "text/csv" }));
  }

  const lacks = lacking();
  microphone.disabled = Boolean(lacks);
  const frames = sound.frame > 1 ? `, ${sound.frame} in a frame` : "";
  const states = about.streams
    ? "The states are handed on from block to block, in a worker beside this page."
    : "This model needs whole sequences: it runs once the sound has ended.";
  const section = el(
    "section",
    { id: "sound" },
    el("h2", {}, sound.output ? "Hear what it does" : "Let it listen"),
    el(
      "p",
      { className: "hint" },
      `One channel, ${sound.rate} samples a second${frames}. ${states}`,
    ),
    dropZone("A WAV file", ".wav,audio/*", false, open),
    el(
      "div",
      { className: "row" },
      about.streams ? labelled("Block", block) : "",
      microphone,
      madeUpSound,
      stop,
      sound.output
        ? el(
            "label",
            { className: "check" },
            aloud,
            "Play what comes out (of the microphone: to headphones)",
          )
        : "",
    ),
    lacks ? el("p", { className: "hint" }, lacks) : "",
    el("div", {}, factor, factorLabel),
    plot.element,
    note,
    el("div", { className: "players" }, before.element, after.element),
    table,
  );
  return section;
}

// What went wrong on the way, in words; only a model that is fast enough is helped by larger blocks.
function trouble({ samples, seconds, lost, missed }, rate) {
  const remedy = seconds < samples.length / rate ? ": take a larger block" : "";
  const said = [
    lost ? `${lost} samples were dropped, as the model is too slow` : "",
    missed ? `it stuttered ${missed} times${remedy}` : "",
  ].filter(Boolean);
  return said.map((text) => `; ${text}`).join("");
}
