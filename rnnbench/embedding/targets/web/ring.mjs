// Samples in the order in which they came, in a memory that does not grow.

export class Ring {
  constructor(size) {
    this.data = new Float32Array(size);
    this.start = 0;
    this.length = 0;
  }

  get free() {
    return this.data.length - this.length;
  }

  // Keeps samples, and the latest where not all have room; how many were lost.
  push(samples) {
    const size = this.data.length;
    const kept = samples.length > size ? samples.subarray(samples.length - size) : samples;
    const lost = Math.max(0, kept.length - this.free);
    this.drop(lost);
    const end = (this.start + this.length) % size;
    const first = kept.subarray(0, size - end);
    this.data.set(first, end);
    this.data.set(kept.subarray(first.length), 0);
    this.length += kept.length;
    return lost + samples.length - kept.length;
  }

  // The oldest samples, as many as `into` has room for, or as there are; how many.
  take(into) {
    const count = Math.min(into.length, this.length);
    const first = Math.min(count, this.data.length - this.start);
    into.set(this.data.subarray(this.start, this.start + first));
    into.set(this.data.subarray(0, count - first), first);
    this.drop(count);
    return count;
  }

  drop(count) {
    this.start = (this.start + count) % this.data.length;
    this.length -= count;
  }
}
