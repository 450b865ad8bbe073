// WAV files: https://www.rfc-editor.org/rfc/rfc2361, and Multimedia Programming Interface 1.0.

const PCM = 1,
  FLOAT = 3,
  EXTENSIBLE = 0xfffe; // the format is then the first number of its GUID

// {rate, channels}: samples from -1 to 1. Throws where it is no WAV file that this reads.
export function readWav(buffer) {
  const view = new DataView(buffer);
  const tag = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 12 || tag(0) !== "RIFF" || tag(8) !== "WAVE")
    throw new Error("it is no WAV file (RIFF, WAVE): give one");
  let format = null;
  for (let at = 12; at + 8 <= buffer.byteLength;) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === "fmt " && at + 24 <= buffer.byteLength) format = formatOf(view, at + 8);
    if (tag(at) === "data") {
      if (!format) throw new Error("its data comes before its format: save it again");
      const end = Math.min(at + 8 + size, buffer.byteLength); // a recorder that died left too much
      return { rate: format.rate, channels: channelsOf(view, format, at + 8, end) };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error("it has no data: save it again");
}

function formatOf(view, at) {
  const bits = view.getUint16(at + 14, true);
  let kind = view.getUint16(at, true);
  if (kind === EXTENSIBLE && at + 26 <= view.byteLength) kind = view.getUint16(at + 24, true);
  const known = { [PCM]: [8, 16, 24, 32], [FLOAT]: [32, 64] }[kind] ?? [];
  if (!known.includes(bits))
    throw new Error(`its samples are of kind ${kind} with ${bits} bits: save it as 16-bit PCM`);
  const count = view.getUint16(at + 2, true),
    rate = view.getUint32(at + 4, true);
  if (!count || !rate) throw new Error(`it has ${count} channels at ${rate} Hz: save it again`);
  return { kind, bits, count, rate };
}

function channelsOf(view, { kind, bits, count }, start, end) {
  const bytes = bits / 8,
    length = Math.floor((end - start) / (bytes * count));
  const read = {
    [`${PCM} 8`]: (at) => (view.getUint8(at) - 128) / 2 ** 7,
    [`${PCM} 16`]: (at) => view.getInt16(at, true) / 2 ** 15,
    [`${PCM} 24`]: (at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 2 ** 23,
    [`${PCM} 32`]: (at) => view.getInt32(at, true) / 2 ** 31,
    [`${FLOAT} 32`]: (at) => view.getFloat32(at, true),
    [`${FLOAT} 64`]: (at) => view.getFloat64(at, true),
  }[`${kind} ${bits}`];
  return Array.from({ length: count }, (_, channel) =>
    Float32Array.from({ length }, (_, i) => read(start + (i * count + channel) * bytes)),
  );
}

// One channel as float32, so that nothing is rounded.
export function writeWav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 4 * samples.length));
  const tag = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  tag(0, "RIFF");
  view.setUint32(4, 36 + 4 * samples.length, true);
  tag(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, FLOAT, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 4 * rate, true);
  view.setUint16(32, 4, true);
  view.setUint16(34, 32, true);
  tag(36, "data");
  view.setUint32(40, 4 * samples.length, true);
  samples.forEach((sample, i) => view.setFloat32(44 + 4 * i, sample, true));
  return new Blob([view.buffer], { type: "audio/wav" });
}

// The mean of the channels.
export function mono(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, c) => sum + c[i], 0) / channels.length);
}
