// Opens the model beside the page, in WebAssembly.

import { bytesOf, moduleOf, textOf } from "./files.mjs";
import { Model } from "./model.mjs";

const RUNTIME = "vendor/ort.wasm.bundle.min.mjs";
const WASM = "vendor/ort-wasm-simd-threaded.wasm";

// {model, version, bytes, load_s}
export async function load() {
  const about = JSON.parse(await textOf("model.json"));
  const [ort, wasm, artifact] = await Promise.all([
    moduleOf(RUNTIME),
    bytesOf(WASM),
    bytesOf(about.artifact),
  ]);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
  const options = { executionProviders: ["wasm"] };
  if (about.external_data) {
    options.externalData = [
      { path: about.external_data, data: await bytesOf(about.external_data) },
    ];
  }
  const start = performance.now();
  const session = await ort.InferenceSession.create(new Uint8Array(artifact), options).catch(
    (error) => {
      throw new Error(`${about.artifact} is not ONNX that onnxruntime runs: ${error.message}`);
    },
  );
  const load_s = (performance.now() - start) / 1000;
  return {
    model: new Model(ort, session, about),
    version: ort.env.versions.web,
    bytes: artifact.byteLength,
    load_s,
  };
}
