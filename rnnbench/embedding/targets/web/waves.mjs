// What a plot has room for of many samples.

const POINTS = 1500; // of a waveform

// A waveform, by its least and its greatest where a picture has no place for every sample.
export function line(name, samples) {
  if (samples.length <= 2 * POINTS) return { name, values: [...samples] };
  const values = [];
  for (let i = 0; i < POINTS; i++) {
    const from = Math.floor((i * samples.length) / POINTS),
      to = Math.floor(((i + 1) * samples.length) / POINTS);
    let [low, high] = [Infinity, -Infinity];
    for (let k = from; k < to; k++) {
      low = Math.min(low, samples[k]);
      high = Math.max(high, samples[k]);
    }
    values.push(low, high);
  }
  return { name, values };
}

// The same of other values: every so many of them.
export function thinned(lines) {
  const every = Math.ceil((lines[0]?.values.length ?? 0) / (2 * POINTS));
  if (every <= 1) return { lines };
  const values = (all) => all.filter((_, i) => i % every === 0);
  const thin = lines.map((one) => ({ name: one.name, values: values(one.values) }));
  return { lines: thin, more: `one value in ${every} is drawn` };
}

export function rows(values, width) {
  return Array.from({ length: values.length / width }, (_, t) =>
    values.subarray(t * width, (t + 1) * width),
  );
}

// The last parts that have so many samples.
export function latest(parts, samples) {
  let count = 0,
    from = parts.length;
  while (from > 0 && count < samples) count += parts[--from].samples.length;
  return parts.slice(from);
}
