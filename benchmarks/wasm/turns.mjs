// The project without a runtime and onnxruntime-web in turns, in one process, one thread: seconds of a call
// [ours, theirs], a round each. `read` gives the bytes of a file of either project.

import { opened as ownOpened } from "./own/engine.mjs";
import { opened as ortOpened } from "./web/open.mjs";

const ROUNDS = 15;
const BLOCK_MS = 25; // a page's clock ticks every 0.1 ms

export async function turns(ort, read, batch, steps) {
  const text = async (name) => JSON.parse(new TextDecoder().decode(await read(name)));
  const about = await text("web/model.json");
  const wasm = await read("web/vendor/ort-wasm-simd-threaded.wasm");
  const own = await ownOpened(await text("own/model.json"), await read("own/model.wasm"));
  const artifact = await read(`web/${about.artifact}`);
  const { model: other } = await ortOpened(ort, { about, wasm, artifact });
  const inputs = own.zeros(batch, steps);
  for (const { data } of Object.values(inputs)) data.forEach((_, i) => (data[i] = ((i * 37) % 19) / 19 - 0.5));
  const [a, b] = [await own.run(inputs), await other.run(inputs)];
  for (const name of Object.keys(a)) {
    const off = Math.max(...a[name].data.map((value, i) => Math.abs(value - b[name].data[i])));
    if (!(off < 1e-4)) throw new Error(`${name} is off by ${off}`);
  }
  const timed = async (model, calls) => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) await model.run(inputs);
    return (performance.now() - start) / 1000 / calls;
  };
  const sides = [];
  for (const model of [own, other]) {
    let calls = 1;
    while ((await timed(model, calls)) * calls * 1000 < BLOCK_MS) calls *= 2;
    sides.push([model, calls]);
  }
  const found = [];
  for (let round = -1; round < ROUNDS; round++) {
    const took = [Infinity, Infinity];
    for (let turn = 0; turn < 4; turn++) {
      const which = (turn + (turn >> 1) + round + 1) & 1; // who comes first changes
      took[which] = Math.min(took[which], await timed(...sides[which]));
    }
    if (round >= 0) found.push(took);
  }
  return found;
}
