// Opens the model beside this file.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Model } from "./model.mjs";

const here = (name) => fileURLToPath(new URL(encodeURIComponent(name), import.meta.url));

// From 1.29 on, ONNX Runtime sends telemetry, unless it is asked not to.
process.env.ORT_DISABLE_TELEMETRY ??= "1";

const ort = await import("onnxruntime-node").catch((error) => {
  throw new Error(`cannot load onnxruntime-node (${error.code}): run npm install --ignore-scripts`);
});

export const TARGET = "node";
export const versions = {
  "onnxruntime-node": ort.env.versions.node ?? ort.env.versions.common,
  node: process.versions.node,
};

export async function load(threads = 1) {
  if (!existsSync(here("model.json"))) {
    throw new Error(`${here("model.json")} is not there: embed it again`);
  }
  const about = JSON.parse(readFileSync(here("model.json"), "utf8"));
  const file = here(about.artifact);
  if (!existsSync(file)) throw new Error(`${file} is not there: copy it from its bundle again`);
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: "sequential" };
  const session = await ort.InferenceSession.create(file, options).catch((error) => {
    throw new Error(`${file} is not ONNX that onnxruntime runs: ${error.message}`);
  });
  return new Model(ort, session, about);
}
