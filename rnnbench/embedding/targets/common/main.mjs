// node main.mjs --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inputsOf, readArrays, writeArrays } from "./arrays.mjs";
import { dataOf, program, readPair, shown, write } from "./program.mjs";
import { resultOf, summary } from "./verify.mjs";

const USAGE = "node main.mjs --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]";
const GOLDEN = fileURLToPath(new URL("golden/cases.json", import.meta.url));

function read(path) {
  const { header, raw } = readPair(path);
  return readArrays(header, raw);
}

async function main(words) {
  const { load, TARGET, versions } = await import("./load.mjs"); // here, so that a missing package is a line
  const start = performance.now();
  const model = await load();
  const seconds = (performance.now() - start) / 1000;
  if (words[0] === "--verify") {
    if (!existsSync(GOLDEN)) throw new Error(`there is no ${GOLDEN} to verify with: embed it again`);
    const result = await resultOf(TARGET, versions, seconds, model, read(GOLDEN));
    if (words[1]) write(words[1], JSON.stringify(result, null, 1) + "\n");
    console.log(summary(result.rows).join("\n"));
    return result.rows.every((row) => row.ok) ? 0 : 1;
  }
  const inputs = inputsOf(read(words[0]));
  const outputs = await (words[2] ? model.streamed(inputs) : model.run(inputs));
  const data = dataOf(words[1]);
  const { header, raw } = writeArrays(outputs, data.split(/[\\/]/).at(-1));
  write(data, raw);
  write(words[1], header);
  console.log(shown(outputs).join("\n"));
  return 0;
}

await program(USAGE, main);
