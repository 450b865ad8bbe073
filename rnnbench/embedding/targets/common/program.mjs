// The command line that the programs share: what is understood, and how an error is told.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { FORMAT, numbers } from "./arrays.mjs";

const GIVE = "give the header of a pair of files, as input.json is one";

export async function program(usage, main) {
  const words = process.argv.slice(2);
  const known =
    words[0] === "--verify"
      ? words.length <= 2
      : words.length === 2 || (words.length === 3 && words[2] === "--stream");
  if (!known || (words[0] !== "--verify" && words[0].startsWith("-"))) {
    console.error(usage);
    process.exitCode = 2;
  } else {
    try {
      process.exitCode = await main(words);
    } catch (error) {
      console.error(`error: ${lineOf(error)}`);
      process.exitCode = 2;
    }
  }
}

// What an error says, in a line that a terminal can show.
export function lineOf(error) {
  return plain(String(error?.message ?? error).split("\n")[0]).slice(0, 500);
}

function plain(text) {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
}

// A pair of files: the header as it says, and an ArrayBuffer with all numbers.
export function readPair(path) {
  const header = parsed(path, opened(path).toString("utf8"));
  if (header?.format !== FORMAT || typeof header.data !== "string") {
    throw new Error(`${path} is no file of arrays (no format ${FORMAT} with its data): ${GIVE}`);
  }
  const raw = opened(join(dirname(path), header.data));
  return { header, raw: raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength) };
}

// The name of the data file that belongs to a header.
export function dataOf(path) {
  return path.replace(/(\.json)?$/, ".bin");
}

export function write(path, content) {
  try {
    writeFileSync(path, content);
  } catch (error) {
    throw new Error(`cannot write ${path} (${error.code}): give another file`);
  }
}

// A line for each output: its name, dtype and shape, and its first numbers.
export function shown(outputs) {
  return Object.entries(outputs).map(([name, array]) => {
    const all = numbers(array);
    const some = Array.from(all.subarray(0, 6), (number) => Number(number.toPrecision(5)));
    const more = all.length > 6 ? " ..." : "";
    return `${plain(name)} ${array.dtype}[${array.shape.join(", ")}]: ${some.join(" ")}${more}`;
  });
}

function opened(path) {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`cannot read ${path} (${error.code}): ${GIVE}`);
  }
}

function parsed(path, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${path} is no file of arrays (it is not JSON): ${GIVE}`);
  }
}
