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
