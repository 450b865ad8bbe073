// Opens the model beside this file, in Node.js.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { opened } from "./engine.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export const TARGET = "wasm";
export const versions = { node: process.versions.node };

export async function load() {
  for (const [name, how] of [
    ["model.json", "embed it again"],
    ["model.wasm", "sh build.sh"],
  ]) {
    if (!existsSync(here(name))) throw new Error(`${here(name)} is not there: ${how}`);
  }
  const about = JSON.parse(readFileSync(here("model.json"), "utf8"));
  return opened(about, readFileSync(here("model.wasm")));
}
