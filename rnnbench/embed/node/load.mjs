// Opens the model beside this file.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { Model } from "./model.mjs";

const here = (name) => fileURLToPath(new URL(encodeURIComponent(name), import.meta.url));

export const version = ort.env.versions.node ?? ort.env.versions.common;

export async function load(threads = 1) {
  const about = JSON.parse(readFileSync(here("model.json"), "utf8"));
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: "sequential" };
  const session = await ort.InferenceSession.create(here(about.artifact), options);
  return new Model(ort, session, about);
}
