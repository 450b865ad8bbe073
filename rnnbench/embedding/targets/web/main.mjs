// Drives the page in a headless Chromium, over a server of its own on 127.0.0.1.
// node main.mjs --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { readArrays } from "./arrays.mjs";
import { dataOf, program, readPair, shown, write } from "./program.mjs";
import { summary } from "./verify.mjs";

const USAGE = "node main.mjs --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]";
const HERE = dirname(fileURLToPath(import.meta.url));
const BROWSER = process.env.CHROMIUM ?? "chromium";
const LIMIT_S = 100;
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

// The pages' answers to a job, one after the other in the same browser.
async function ask(job, ...pages) {
  const answered = Promise.withResolvers?.() ?? withResolvers();
  const answers = [];
  const take = (answer) => {
    answers.push(answer);
    if (answer.error) answered.reject(new Error(answer.error));
    if (answers.length === pages.length) answered.resolve(answers);
    return { next: answer.error ? undefined : pages[answers.length] };
  };
  const server = createServer((request, response) => serve(request, response, job, take));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const profile = mkdtempSync(join(tmpdir(), "page-"));
  const page = `http://127.0.0.1:${server.address().port}/${pages[0]}#drive`;
  const browser = spawn(
    BROWSER,
    [
      "--headless",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--remote-debugging-port=0",
      page, // keeps it open until it is told to end
    ],
    { stdio: "ignore", detached: true },
  );
  browser.on("error", (error) =>
    answered.reject(
      new Error(`cannot start ${BROWSER} (${error.code}): set CHROMIUM to a Chromium or Chrome`),
    ),
  );
  browser.on("exit", (code) =>
    answered.reject(new Error(`${BROWSER} ended with code ${code} before the page answered`)),
  );
  const limit = setTimeout(
    () => answered.reject(new Error(`the page did not answer in ${LIMIT_S} s`)),
    1000 * LIMIT_S,
  );
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => answered.reject(new Error(`stopped by ${signal}`)));
  }
  try {
    return await answered.promise;
  } finally {
    clearTimeout(limit);
    await end(browser);
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

async function serve(request, response, job, take) {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin"); // for a finer clock
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  if (path === "/drive" && request.method === "POST") {
    const parts = [];
    for await (const part of request) parts.push(part);
    response.end(JSON.stringify(take(JSON.parse(Buffer.concat(parts).toString("utf8")))));
  } else if (path === "/drive") {
    response.setHeader("Content-Type", TYPES[".json"]);
    response.end(JSON.stringify(job));
  } else {
    send(response, join(HERE, path));
  }
}

function send(response, file) {
  try {
    if (!file.startsWith(HERE + sep)) throw new Error("outside");
    const raw = readFileSync(file);
    response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
    response.end(raw);
  } catch {
    response.statusCode = 404;
    response.end();
  }
}

// Ends the browser with its helpers, which are a process group of their own.
async function end(browser) {
  if (browser.pid === undefined || browser.exitCode !== null) return;
  const gone = new Promise((resolve) => browser.once("exit", resolve));
  process.kill(process.platform === "win32" ? browser.pid : -browser.pid, "SIGKILL");
  await gone;
}

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

async function main(words) {
  for (const name of ["vendor", "standalone.html"]) {
    if (!existsSync(join(HERE, name)))
      throw new Error(`there is no ${name}: run npm install --ignore-scripts && node build.mjs`);
  }
  if (words[0] === "--verify") {
    const [{ result }, standalone] = await ask({ how: "verify" }, "index.html", "standalone.html");
    result.rows.push(...standalone.result.rows.filter((row) => !row.ok));
    if (words[1]) write(words[1], JSON.stringify(result, null, 1) + "\n");
    console.log(summary(result.rows).join("\n"));
    return result.rows.every((row) => row.ok) ? 0 : 1;
  }
  const { header, raw } = readPair(words[0]);
  const data = dataOf(words[1]);
  const name = data.split(/[\\/]/).at(-1);
  const packed = Buffer.from(raw).toString("base64");
  const job = { how: words[2] ? "stream" : "run", header, raw: packed, data: name };
  const [answer] = await ask(job, "index.html");
  write(data, Buffer.from(answer.raw, "base64"));
  write(words[1], answer.header);
  console.log(shown(outputsOf(answer)).join("\n"));
  return 0;
}

function outputsOf({ header, raw }) {
  const bytes = Buffer.from(raw, "base64");
  const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const entries = readArrays(JSON.parse(header), whole);
  return Object.fromEntries(entries.map((entry) => [entry.name, entry]));
}

await program(USAGE, main);
