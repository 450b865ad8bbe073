// The worker of the page: a model of its own, and the sound that goes through it.
// A message is {kind, id, ...}: "open" with the files; "file" with samples; "live" with a port to the
// microphone's worklet; "end" of live, and "stop" of either. Answers, with the same id: "part", and
// then "done" or "error".

import { Flow, joined } from "./flow.mjs";
import { opened } from "./open.mjs";

const PART_S = 0.1; // of work between two answers

let model = null,
  job = null;

addEventListener("message", ({ data }) => {
  const work = { open, file, live, end, stop }[data.kind];
  work(data).catch((error) => {
    postMessage({ kind: "error", id: data.id, message: String(error.message) });
  });
});

// The runtime is imported from here: a module of another page may not be, in a page without a server.
async function open({ id, runtime, parts }) {
  const url = URL.createObjectURL(new Blob([runtime], { type: "text/javascript" }));
  ({ model } = await opened(await import(url), parts));
  postMessage({ kind: "done", id });
}

// All samples of a file, as fast as the model can.
async function file({ id, samples, steps }) {
  const mine = begin(id, steps);
  const { flow } = mine;
  for (let at = 0; at < samples.length && !mine.stopped;) {
    const room = flow.block === Infinity ? samples.length : flow.ring.free;
    const part = samples.subarray(at, at + room);
    flow.push(part);
    at += part.length;
    await drain(mine);
  }
  await finish(mine);
}

// Samples come from a port and go back to it; `end` ends it.
async function live({ id, port, steps }) {
  const mine = begin(id, steps);
  mine.port = port;
  const fail = (error) => {
    mine.stopped = true;
    postMessage({ kind: "error", id, message: String(error.message) });
  };
  port.onmessage = ({ data }) => {
    if (data instanceof Float32Array) mine.flow.push(data);
    else mine.missed = data.missed;
    mine.busy ??= drain(mine)
      .catch(fail)
      .finally(() => (mine.busy = null));
  };
}

async function end() {
  const mine = job;
  mine.port.onmessage = null;
  await mine.busy;
  await finish(mine);
}

async function stop() {
  if (!job) return;
  job.stopped = true;
  if (job.port) job.port.onmessage = null;
}

function begin(id, steps) {
  if (job) job.stopped = true;
  const flow = new Flow(model, steps);
  job = { id, flow, parts: [], told: performance.now(), missed: 0, busy: null, stopped: false };
  return job;
}

async function drain(mine) {
  while (mine.flow.ready && !mine.stopped) {
    const part = await mine.flow.next();
    if (mine.stopped) return;
    keep(mine, part);
    await turn(); // samples that came meanwhile are taken
  }
}

async function finish(mine) {
  if (mine.stopped) return;
  const rest = await mine.flow.rest();
  if (rest) keep(mine, rest);
  tell(mine);
  postMessage({ kind: "done", id: mine.id });
}

function keep(mine, part) {
  if (mine.port && model.about.sound.output) mine.port.postMessage(part.values.slice());
  mine.parts.push(part);
  if (performance.now() - mine.told > 1000 * PART_S) tell(mine);
}

function tell(mine) {
  const { id, parts, flow, missed } = mine;
  if (parts.length === 0) return;
  postMessage({
    kind: "part",
    id,
    samples: joined(parts.map((part) => part.samples)),
    values: joined(parts.map((part) => part.values)),
    width: parts[0].width,
    seconds: parts.reduce((sum, part) => sum + part.seconds, 0),
    lost: flow.lost,
    missed,
  });
  mine.parts = [];
  mine.told = performance.now();
}

// Until the messages that wait have been read; a timer would wait for longer.
const { port1, port2 } = new MessageChannel();
function turn() {
  return new Promise((resolve) => {
    port1.onmessage = resolve;
    port2.postMessage(null);
  });
}
