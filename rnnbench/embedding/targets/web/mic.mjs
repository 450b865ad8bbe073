// The microphone, at the rate of the model; and what the browser lacks for it, in one line.

import { workletOf } from "./files.mjs";

const QUIET = ["echoCancellation", "noiseSuppression", "autoGainControl"]; // the model hears it all

// Why there can be no microphone; "" where there can.
export function lacking() {
  if (!isSecureContext)
    return "A browser gives its microphone to https:// and to localhost only: open the page there, or use a WAV file.";
  if (!navigator.mediaDevices?.getUserMedia)
    return "This browser has no microphone for pages: use a WAV file.";
  if (typeof AudioWorkletNode === "undefined")
    return "This browser has no AudioWorklet, which the microphone needs: use a WAV file.";
  return "";
}

// {port, play(on), delay_s, close()}: the worker's end of the wire. lead: how many samples wait
// before they are played, so that it does not stutter.
export async function openMicrophone(rate, lead) {
  if (lacking()) throw new Error(lacking());
  const wanted = Object.fromEntries(QUIET.map((name) => [name, false]));
  const stream = await navigator.mediaDevices
    .getUserMedia({ audio: { channelCount: 1, ...wanted } })
    .catch((error) => {
      throw new Error(refused(error));
    });
  const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  const close = () => {
    for (const track of stream.getTracks()) track.stop();
    context.close();
  };
  try {
    await context.audioWorklet.addModule(await workletOf("worklet.mjs"));
    const node = new AudioWorkletNode(context, "wire", {
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { lead },
    });
    const volume = new GainNode(context);
    const { port1, port2 } = new MessageChannel();
    node.port.postMessage(port1, [port1]);
    context
      .createMediaStreamSource(stream)
      .connect(node)
      .connect(volume)
      .connect(context.destination);
    await context.resume();
    return {
      port: port2,
      play: (on) => volume.gain.setTargetAtTime(on ? 1 : 0, context.currentTime, 0.01),
      delay_s: lead / rate + context.baseLatency + (context.outputLatency || 0),
      close,
    };
  } catch (error) {
    close();
    throw new Error(
      `the microphone cannot be heard at ${rate} Hz here (${error.message}): use a WAV file`,
    );
  }
}

function refused({ name, message }) {
  if (name === "NotAllowedError")
    return "The microphone was not allowed: allow it in the browser's settings of this page, or use a WAV file.";
  if (name === "NotFoundError") return "There is no microphone: plug one in, or use a WAV file.";
  return `The microphone does not answer (${message || name}): use a WAV file.`;
}
