// node main.mjs --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inputsOf, readArrays, writeArrays } from "./arrays.mjs";
import { load, version } from "./load.mjs";
import { program } from "./program.mjs";
import { resultOf, summary } from "./verify.mjs";

const USAGE = "node main.mjs --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]";
const GOLDEN = fileURLToPath(new URL("golden/cases.json", import.meta.url));

function read(path) {
  const header = JSON.parse(readFileSync(path, "utf8"));
  const raw = readFileSync(join(dirname(path), header.data ?? ""));
  return readArrays(header, raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
}

async function main(words) {
  const start = performance.now();
  const model = await load();
  const seconds = (performance.now() - start) / 1000;
  if (words[0] === "--verify") {
    const versions = { "onnxruntime-node": version, node: process.versions.node };
    const result = await resultOf("node", versions, seconds, model, read(GOLDEN));
    if (words[1]) writeFileSync(words[1], JSON.stringify(result, null, 1) + "\n");
    console.log(summary(result.rows).join("\n"));
    return result.rows.every((row) => row.ok) ? 0 : 1;
  }
  const inputs = inputsOf(read(words[0]));
  const outputs = await (words[2] ? model.streamed(inputs) : model.run(inputs));
  const data = words[1].replace(/(\.json)?$/, ".bin");
  const { header, raw } = writeArrays(outputs, data.split(/[\\/]/).at(-1));
  writeFileSync(data, raw);
  writeFileSync(words[1], header);
  return 0;
}

await program(USAGE, main);
