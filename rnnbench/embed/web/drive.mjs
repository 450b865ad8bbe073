// What main.mjs asks of the page, and what the page answers: `index.html#drive`.

import { inputsOf, readArrays, writeArrays } from "./arrays.mjs";
import { goldenCases } from "./cases.mjs";
import { resultOf } from "./verify.mjs";

export async function drive(loading) {
  const job = await (await fetch("drive")).json();
  let answer;
  try {
    answer = await done(job, await loading);
  } catch (error) {
    answer = { error: String(error.message ?? error).split("\n")[0] };
  }
  await fetch("drive", { method: "POST", body: JSON.stringify(answer) });
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
