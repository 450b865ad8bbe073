// The worker that runs sound through the model, from the page's side.

import { bytesOf, workerOf } from "./files.mjs";
import { partsOf, RUNTIME } from "./load.mjs";

let worker = null; // once it is there, it stays
let last = 0;

async function opened() {
  worker ??= workerOf("worker.mjs");
  const made = await worker;
  if (!made.open) {
    made.open = Promise.all([bytesOf(RUNTIME), partsOf()]).then(([runtime, parts]) =>
      ask(made, { kind: "open", runtime, parts }),
    );
    made.open.catch(() => (worker = null));
  }
  await made.open;
  return made;
}

// Sends a message; resolves when it is done. `use` gets the parts that come before.
function ask(made, message, use = () => {}, signal = null, moved = []) {
  const id = (last += 1);
  return new Promise((resolve, reject) => {
    const finish = (settle, value) => {
      made.removeEventListener("message", take);
      made.removeEventListener("error", broken);
      settle(value);
    };
    const broken = () =>
      finish(reject, new Error("the worker of the page does not start in this browser"));
    const take = ({ data }) => {
      if (data.id !== id) return;
      if (data.kind === "part") use(data);
      else if (data.kind === "error") finish(reject, new Error(data.message));
      else finish(resolve);
    };
    made.addEventListener("message", take);
    made.addEventListener("error", broken);
    signal?.addEventListener("abort", () => {
      made.postMessage({ kind: "stop" });
      finish(resolve);
    });
    made.postMessage({ ...message, id }, moved);
  });
}

// Runs samples through the model; steps: in a block, or null for all at once.
export async function hearFile(samples, steps, use, signal) {
  const made = await opened();
  if (!signal.aborted) await ask(made, { kind: "file", samples, steps }, use, signal);
}

// Runs what comes from a port, until the signal: the parts that are on their way are waited for.
export async function hearPort(port, steps, use, signal) {
  const made = await opened();
  const ended = ask(made, { kind: "live", port, steps }, use, null, [port]);
  if (signal.aborted) made.postMessage({ kind: "end" });
  signal.addEventListener("abort", () => made.postMessage({ kind: "end" }));
  await ended;
}
