// Text as a model reads it.

import { dataPort, fed } from "./feed.mjs";

// Ids of a text; a character that is not in the alphabet becomes the stand-in, where there is one.
export function encode({ alphabet, unknown }, text) {
  const places = new Map([...alphabet].map((character, place) => [character, place]));
  return [...text].map((character) => {
    const place = places.get(character) ?? places.get(unknown);
    if (place === undefined) {
      throw new Error(`“${character}” is not in the alphabet: use ${[...alphabet].join(", ")}`);
    }
    return place;
  });
}

// How a model's text is read: {read(text) -> {ids, pieces}, hint, example, unit}. By the characters
// of an alphabet or the words of a vocabulary, where its maker named them; otherwise by the ids.
export function readerOf(about, high) {
  if (typeof about?.alphabet === "string" && about.alphabet) {
    const read = (text) => ({ ids: encode(about, text), pieces: [...text] });
    const example = [...(about.question ?? about.alphabet)].slice(0, 20).join("");
    return { read, example, unit: "character", hint: `Type some of ${about.alphabet}` };
  }
  const words = about?.vocabulary;
  if (Array.isArray(words) && words.every((word) => typeof word === "string") && words.length)
    return wordReader(words, about.unknown);
  const read = (text) => {
    const pieces = text.split(/[\s,]+/).filter(Boolean);
    return { ids: pieces.map((piece) => idOf(piece, high)), pieces };
  };
  const most = high ? `0 to ${high - 1}` : "0 on";
  const example = Array.from({ length: 8 }, (_, i) => (high ? (i * 7) % high : i)).join(" ");
  return { read, example, unit: "id", hint: `Type ids, whole numbers from ${most}.` };
}

function wordReader(words, unknown) {
  const places = new Map(words.map((word, place) => [word, place]));
  const read = (text) => {
    const pieces = text.split(/\s+/).filter(Boolean);
    const ids = pieces.map((piece) => places.get(piece) ?? places.get(unknown));
    const lost = pieces.find((_, i) => ids[i] === undefined);
    if (lost !== undefined) throw new Error(`“${lost}” is not in the vocabulary`);
    return { ids, pieces };
  };
  const some = words.slice(0, 8).join(" ");
  const hint = `Type words of its vocabulary, such as ${some}`;
  return { read, example: some, unit: "word", hint };
}

function idOf(piece, high) {
  const id = /^\d+$/.test(piece) ? Number(piece) : NaN;
  if (!Number.isSafeInteger(id) || (high && id >= high))
    throw new Error(
      `“${piece}” is no id: give whole numbers from 0 ${high ? `to ${high - 1}` : "on"}`,
    );
  return id;
}

// What feeds a text that follows a state.
export function inputsFor(model, ids, state) {
  const whole = dataPort(model).dtype.startsWith("int");
  const x = fed(model, ids.length, 1, (t, b, f) => (whole ? ids[t] : Number(ids[t] === f)));
  return { ...model.start(1, ids.length), ...state, ...x };
}

export function following(model, outputs) {
  return Object.fromEntries(
    Object.entries(model.about.states).map(([input, output]) => [input, outputs[output]]),
  );
}
