// Arrays by name in a pair of files: NAME.json says what is where in NAME.bin (little-endian).
// An array is {dtype, shape, data}: data is a typed array, the last dimension fastest.

export const FORMAT = "rnnbench-cases-1";

// float16 has no typed array of its own everywhere: its bits are kept.
export const TYPES = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

export function typeOf(dtype, name) {
  if (Object.hasOwn(TYPES, dtype)) return TYPES[dtype];
  throw new Error(`${name} is ${dtype}: this reads ${Object.keys(TYPES).join(", ")}`);
}

// The entries of a header, each with its `data`; and with `limits`, how far off each element may be,
// where that is not `allowed` for all. `raw` is an ArrayBuffer with all numbers.
export function readArrays(header, raw) {
  if (header?.format !== FORMAT || !Array.isArray(header.arrays)) {
    throw new Error(`format ${header?.format}, and this reads ${FORMAT}`);
  }
  return header.arrays.map((entry) => {
    const { offset, bytes, allowed_offset } = entry;
    const Type = typeOf(entry.dtype, entry.name);
    const data = part(entry, Type, offset, raw);
    if (data.byteLength !== bytes) throw misfit(entry);
    if (allowed_offset === undefined) return { ...entry, data };
    const Limit = entry.dtype === "float64" ? Float64Array : Float32Array;
    return { ...entry, data, limits: part(entry, Limit, allowed_offset, raw) };
  });
}

// As many numbers as an entry has, from an offset of the data file on.
function part(entry, Type, offset, raw) {
  const end = offset + count(entry.shape) * Type.BYTES_PER_ELEMENT;
  if (!(offset >= 0 && end <= raw.byteLength)) throw misfit(entry);
  return new Type(raw.slice(offset, end));
}

function misfit({ name, dtype, shape }) {
  return new Error(`${name}: ${dtype}[${shape}] does not fit the data file`);
}

// {header, raw}: both files for arrays by name, as the outputs of one case.
export function writeArrays(arrays, dataName, caseName = "result") {
  const lines = [],
    parts = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(arrays)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const entry = { case: caseName, part: "out", name, dtype, shape, offset, bytes: bytes.length };
    lines.push(line({ ...entry, allowed: 0, stream: 0 }));
    parts.push(bytes);
    offset += bytes.length;
  }
  const raw = new Uint8Array(offset);
  offset = 0;
  for (const part of parts) {
    raw.set(part, offset);
    offset += part.length;
  }
  const start = `{"format": "${FORMAT}", "data": ${JSON.stringify(dataName)}, "arrays": [\n`;
  return { header: `${start}${lines.join(",\n")}\n]}\n`, raw };
}

// The inputs of one case, by name.
export function inputsOf(entries, caseName = entries[0]?.case) {
  const own = entries.filter((entry) => entry.case === caseName && entry.part === "in");
  return Object.fromEntries(own.map((entry) => [entry.name, entry]));
}

// The values as ordinary numbers.
export function numbers({ dtype, data }) {
  return Float64Array.from(data, dtype === "float16" ? half : Number);
}

export function zeros(dtype, shape, name) {
  return { dtype, shape, data: new (typeOf(dtype, name))(count(shape)) };
}

// Steps start..stop-1 of an axis.
export function cut({ dtype, shape, data }, axis, start, stop) {
  const inner = count(shape.slice(axis + 1)),
    outer = count(shape.slice(0, axis));
  const end = Math.min(stop, shape[axis]);
  const width = (end - start) * inner;
  const part = new data.constructor(outer * width);
  for (let i = 0; i < outer; i++) {
    const from = (i * shape[axis] + start) * inner;
    part.set(data.subarray(from, from + width), i * width);
  }
  return { dtype, shape: shape.with(axis, end - start), data: part };
}

// The reverse: arrays one after the other along an axis.
export function join(arrays, axis) {
  const [{ dtype, shape, data }] = arrays;
  const inner = count(shape.slice(axis + 1)),
    outer = count(shape.slice(0, axis));
  const length = arrays.reduce((sum, array) => sum + array.shape[axis], 0);
  const whole = new data.constructor(outer * length * inner);
  let before = 0;
  for (const array of arrays) {
    const width = array.shape[axis] * inner;
    for (let i = 0; i < outer; i++) {
      whole.set(array.data.subarray(i * width, (i + 1) * width), (i * length + before) * inner);
    }
    before += array.shape[axis];
  }
  return { dtype, shape: shape.with(axis, length), data: whole };
}

export function count(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

// As Python writes it, for readers that go by sscanf.
function line(entry) {
  const value = (v) => (Array.isArray(v) ? `[${v.join(", ")}]` : JSON.stringify(v));
  return `{${Object.entries(entry)
    .map(([key, v]) => `"${key}": ${value(v)}`)
    .join(", ")}}`;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1,
    exponent = (bits >> 10) & 31,
    fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
