// The page: loads the model and verifies it; `loadHere` is what a page of your own takes.

import { readArrays } from "./arrays.mjs";
import { opened } from "./engine.mjs";
import { resultOf, summary } from "./verify.mjs";

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`cannot load ${name} (${answer.status}): sh build.sh, and serve all`);
  return answer;
}

export async function loadHere() {
  const [about, bytes] = await Promise.all([fetched("model.json"), fetched("model.wasm")]);
  return opened(await about.json(), await bytes.arrayBuffer());
}

const said = document.getElementById("said");
if (said) {
  try {
    const model = await loadHere();
    const header = await (await fetched("golden/cases.json")).json();
    const raw = await (await fetched(`golden/${header.data}`)).arrayBuffer();
    const { rows, step_s } = await resultOf("wasm", {}, 0, model, readArrays(header, raw));
    said.textContent = [...summary(rows), `${(1e6 * step_s).toFixed(1)} us a call`].join("\n");
  } catch (error) {
    said.textContent = `error: ${error.message}`;
  }
  document.title = said.textContent.split("\n").at(-2) ?? said.textContent;
}
