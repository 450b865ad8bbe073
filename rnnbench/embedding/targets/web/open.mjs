// Opens a model from the bytes of its files, in WebAssembly; in the page and in a worker.

import { Model } from "./model.mjs";

// ort: the runtime's module. {model, version, bytes, load_s}
export async function opened(ort, { about, wasm, artifact, external }) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
  const options = { executionProviders: ["wasm"] };
  if (external) options.externalData = [{ path: about.external_data, data: external }];
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
