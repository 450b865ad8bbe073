// Copies the runtime into vendor/, and writes standalone.html: the page with everything in it, which
// also opens without a server. Nothing is compiled; index.html and the modules are served as they are.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const RUNTIME = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];

process.on("uncaughtException", (error) => {
  console.error(`error: ${error.message}: can this folder be written?`);
  process.exit(2);
});
process.chdir(dirname(fileURLToPath(import.meta.url)));
if (!existsSync(`node_modules/onnxruntime-web/dist/${RUNTIME[0]}`)) {
  console.error("error: there is no onnxruntime-web: run npm install --ignore-scripts first");
  process.exit(2);
}
mkdirSync("vendor", { recursive: true });
for (const name of RUNTIME)
  copyFileSync(`node_modules/onnxruntime-web/dist/${name}`, `vendor/${name}`);

const about = JSON.parse(readFileSync("model.json", "utf8"));
const threads = ["worker.mjs", "worklet.mjs"]; // scripts of their own, with all that they need
const samples = readdirSync("samples").map((name) => `samples/${name}`);
const names = [
  ...RUNTIME.map((name) => `vendor/${name}`),
  ...samples,
  "model.json",
  about.artifact,
  about.external_data,
  "golden/cases.json",
  "golden/cases.bin",
].filter(Boolean);

// Modules in the order in which they need each other, each a scope of its own: its imports become
// constants, and its exports what it returns.
function modules(entry, seen = new Set()) {
  if (seen.has(entry)) return "";
  seen.add(entry);
  const text = readFileSync(entry, "utf8");
  const needed = [...text.matchAll(/^import [^;]*? from "\.\/(\w+)\.mjs";$/gm)].map(
    ([, name]) => name,
  );
  const before = needed.map((name) => modules(`${name}.mjs`, seen)).join("");
  const exports = [...text.matchAll(/^export (?:async )?(?:function\*?|class|const) (\w+)/gm)].map(
    ([, name]) => name,
  );
  const body = text
    .replace(/^import ([^;]*?) from "\.\/(\w+)\.mjs";$/gm, "const $1 = $2_mjs;")
    .replace(/^export /gm, "");
  if (exports.length === 0) return `${before}${body}`;
  const name = entry.replace(".", "_");
  return `${before}const ${name} = (() => {\n${body}return { ${exports.join(", ")} };\n})();\n`;
}

const quoted = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;");
const held = [...names, ...threads].map((name) => {
  const whole = threads.includes(name) ? modules(name) : readFileSync(name);
  const text = gzipSync(whole).toString("base64");
  return `<script type="text/plain" data-file="${quoted(name)}">${text}</script>\n`;
});
const page = readFileSync("index.html", "utf8")
  .replace("script-src 'self'", "script-src 'unsafe-inline' data:")
  .replace("style-src 'self'", "style-src 'unsafe-inline'")
  .replace(
    /<link rel="stylesheet"[^>]*>/,
    () => `<style>\n${readFileSync("style.css", "utf8")}</style>`,
  )
  .replace(/<script src="start.js"><\/script>\n/, "")
  .replace(
    /<script type="module"[^>]*><\/script>\n/,
    () => `${held.join("")}<script type="module">\n${modules("app.mjs")}</script>\n`,
  );
writeFileSync("standalone.html", page);
console.log(`standalone.html: ${(page.length / 2 ** 20).toFixed(1)} MiB`);
