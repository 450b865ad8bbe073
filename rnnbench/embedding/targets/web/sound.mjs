// Sound as samples of one channel at the rate that a model wants.

import { mono, readWav } from "./wav.mjs";

// {samples, said}: of a file; `said` is what was done to them, in words.
export async function samplesOf(file, rate) {
  const raw = await file.arrayBuffer();
  let found;
  try {
    found = readWav(raw);
  } catch (error) {
    if (/\.wav$/i.test(file.name)) throw new Error(`${file.name}: ${error.message}`);
    found = await decoded(raw, rate, file.name); // whatever else the browser knows
  }
  const { channels } = found;
  if (channels[0].length === 0) throw new Error(`${file.name} has no samples: give a longer one`);
  const one = mono(channels);
  const samples = found.rate === rate ? one : await resampled(one, found.rate, rate);
  const done = [
    channels.length > 1 ? `the mean of its ${channels.length} channels` : "",
    found.rate === rate ? "" : `from ${found.rate} to ${rate} samples a second`,
  ].filter(Boolean);
  return { samples, said: done.length ? ` (${done.join(", ")})` : "" };
}

async function decoded(raw, rate, name) {
  const context = new OfflineAudioContext(1, 1, rate);
  const buffer = await context.decodeAudioData(raw).catch(() => {
    throw new Error(`${name} is no sound that this browser reads: give a WAV file`);
  });
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) =>
    buffer.getChannelData(channel),
  );
  return { rate, channels };
}

async function resampled(samples, from, to) {
  const length = Math.max(1, Math.round((samples.length * to) / from));
  const context = new OfflineAudioContext(1, length, to);
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: from });
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0);
}

// Two seconds of tones that come and go, each higher than the one before, with a little noise.
export function madeUp(rate) {
  let phase = 0,
    seed = 1;
  return Float32Array.from({ length: 2 * rate }, (_, i) => {
    const quarter = Math.floor((4 * i) / rate);
    phase += (2 * Math.PI * Math.min(220 * 1.5 ** quarter, rate / 4)) / rate;
    seed = (16807 * seed) % 2147483647; // Park and Miller: the same noise each time
    const loud = Math.sin((Math.PI * ((4 * i) % rate)) / rate) ** 2;
    return 0.5 * loud * Math.sin(phase) + 0.05 * ((2 * seed) / 2147483647 - 1);
  });
}
