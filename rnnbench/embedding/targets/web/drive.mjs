// What main.mjs asks of the page, and what the page answers: `index.html#drive`.

import { inputsOf, readArrays, writeArrays } from "./arrays.mjs";
import { goldenCases } from "./cases.mjs";
import { alone } from "./dom.mjs";
import { resultOf } from "./verify.mjs";

// `show` makes the page that people see: where that fails, nothing is verified.
export async function drive(loading, show) {
  const job = await (await fetch("drive")).json();
  let answer;
  try {
    const loaded = await loading;
    await show(loaded);
    while (!answer) answer = await alone(() => done(job, loaded)); // a demonstration may come between
  } catch (error) {
    answer = { error: String(error.message ?? error).split("\n")[0] };
  }
  const posted = await fetch("drive", { method: "POST", body: JSON.stringify(answer) });
  const { next } = await posted.json();
  if (next) location.assign(`${next}#drive`);
}

async function done(job, { model, version, load_s }) {
  if (job.how === "verify") {
    const chromium = navigator.userAgent.match(/Chrom\w+\/([\d.]+)/)?.[1] ?? "unknown";
    const versions = { "onnxruntime-web": version, chromium };
    return { result: await resultOf("web", versions, load_s, model, await goldenCases()) };
  }
  const raw = Uint8Array.from(atob(job.raw), (character) => character.charCodeAt(0)).buffer;
  const inputs = inputsOf(readArrays(job.header, raw));
  const outputs = await (job.how === "stream" ? model.streamed(inputs) : model.run(inputs));
  const written = writeArrays(outputs, job.data);
  const text = Array.from(written.raw, (byte) => String.fromCharCode(byte)).join("");
  return { header: written.header, raw: btoa(text) };
}
