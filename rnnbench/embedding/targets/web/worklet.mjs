// In the thread of the sound card: what the microphone gives goes to the worker, and what comes
// back is played. A ring holds it, since the worker does not come in time with the card.

import { Ring } from "./ring.mjs";

class Wire extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.lead = processorOptions.lead; // samples that are kept before it plays
    this.ring = new Ring(4 * this.lead + 4096);
    this.playing = false;
    this.missed = 0;
    this.port.onmessage = ({ data }) => {
      this.worker = data;
      this.worker.onmessage = ({ data: samples }) => this.ring.push(samples);
    };
  }

  process([input], [output]) {
    if (!this.worker) return true;
    if (input[0]) this.worker.postMessage(input[0].slice());
    this.playing ||= this.ring.length >= this.lead;
    if (!this.playing) return true; // an output is silent until it is written
    if (this.ring.take(output[0]) < output[0].length) {
      this.playing = false;
      this.missed += 1;
      this.worker.postMessage({ missed: this.missed });
    }
    return true;
  }
}

registerProcessor("wire", Wire);
