// node node.mjs BATCH STEPS

import { readFileSync } from "node:fs";
import * as ort from "./web/vendor/ort.wasm.bundle.min.mjs";
import { turns } from "./turns.mjs";

const [batch, steps] = process.argv.slice(2).map(Number);
const read = async (name) => readFileSync(new URL(name, import.meta.url));
console.log(JSON.stringify(await turns(ort, read, batch, steps)));
