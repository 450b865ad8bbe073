// Opens the model beside the page.

import { bytesOf, moduleOf, textOf } from "./files.mjs";
import { opened } from "./open.mjs";

export const RUNTIME = "vendor/ort.wasm.bundle.min.mjs";
const WASM = "vendor/ort-wasm-simd-threaded.wasm";

// {model, version, bytes, load_s}
export async function load() {
  const [ort, parts] = await Promise.all([moduleOf(RUNTIME), partsOf()]);
  return opened(ort, parts);
}

// What a model is opened from: what model.json says, and the bytes of the other files.
export async function partsOf() {
  const about = JSON.parse(await textOf("model.json"));
  const [wasm, artifact, external] = await Promise.all([
    bytesOf(WASM),
    bytesOf(about.artifact),
    about.external_data ? bytesOf(about.external_data) : null,
  ]);
  return { about, wasm, artifact, external };
}
