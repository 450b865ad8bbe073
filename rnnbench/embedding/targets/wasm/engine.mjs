// model.wasm: its functions, and the memory that they work in. In a page and in Node.js.

import { count, typeOf } from "./arrays.mjs";
import { Model } from "./model.mjs";

const ALIGN = 64; // a cache line
const POINTER = 4;

class Tensor {
  constructor(type, data, dims) {
    Object.assign(this, { type, data, dims });
  }
}

// What model.mjs calls: `run` gives the outputs for inputs by name.
class Session {
  constructor(functions, about) {
    this.functions = functions;
    this.about = about;
    this.inputNames = about.inputs.map((port) => port.name);
    this.outputNames = about.outputs.map((port) => port.name);
  }

  run(feeds) {
    const { about, functions } = this;
    const found = sizesOf(about, feeds);
    const dims = Object.keys(about.dims).map((dim) => BigInt(found[dim]));
    this.at = functions.__heap_base.value;
    const inputs = this.room(about.inputs.length * POINTER);
    const elements = this.room(about.outputs.length * POINTER);
    functions.model_output_elements(elements, ...dims);
    const workspace = this.room(functions.model_workspace_size(...dims) >>> 0);
    about.inputs.forEach(({ name }, i) => {
      const { data } = feeds[name];
      const at = this.room(data.byteLength);
      this.bytes().set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
      this.view().setUint32(inputs + i * POINTER, at, true);
    });
    // A pointer, and eight bytes for each dimension.
    const places = [];
    const struct = this.room(
      about.outputs.reduce((size, { rank }) => size + 8 + 8 * Math.max(rank, 1), 0),
    );
    let field = struct;
    about.outputs.forEach(({ name, dtype, rank }, i) => {
      const most = this.view().getUint32(elements + i * POINTER, true);
      const at = this.room(most * typeOf(dtype, name).BYTES_PER_ELEMENT);
      this.view().setUint32(field, at, true);
      places.push({ name, dtype, rank, at, shape: field + 8 });
      field += 8 + 8 * Math.max(rank, 1);
    });
    functions.model_run(inputs, struct, workspace, ...dims);
    return Object.fromEntries(places.map((place) => [place.name, this.output(place)]));
  }

  output({ name, dtype, rank, at, shape }) {
    const view = this.view();
    const dims = Array.from({ length: rank }, (_, d) =>
      Number(view.getBigInt64(shape + 8 * d, true)),
    );
    const Type = typeOf(dtype, name);
    const end = at + count(dims) * Type.BYTES_PER_ELEMENT;
    return new Tensor(dtype, new Type(this.functions.memory.buffer.slice(at, end)), dims);
  }

  // So many bytes behind what is taken; the memory grows where it has to.
  room(bytes) {
    const { memory } = this.functions;
    const at = Math.ceil(this.at / ALIGN) * ALIGN;
    this.at = at + bytes;
    const missing = this.at - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  bytes() {
    return new Uint8Array(this.functions.memory.buffer);
  }

  view() {
    return new DataView(this.functions.memory.buffer);
  }
}

// The size of each dimension, which every shape has to agree with: C reads what it is told. A shape
// such as `envs*time` is linear in a dimension that it alone has.
function sizesOf(about, feeds) {
  const found = {};
  const axes = about.inputs.flatMap(({ name, shape }) =>
    shape.map((declared, axis) => ({ name, declared, size: feeds[name].dims[axis] })),
  );
  for (const _ of Object.keys(about.dims)) {
    for (const { declared, size } of axes) {
      const missing = [...new Set(namesOf(declared))].filter((name) => !(name in found));
      if (missing.length !== 1) continue;
      const [none, one] = [0, 1].map((n) => valueOf(declared, { ...found, [missing[0]]: n }));
      if (one !== none) found[missing[0]] = Math.floor((size - none) / (one - none));
    }
  }
  for (const { name, declared, size } of axes) {
    const wanted = valueOf(declared, found);
    if (size !== wanted)
      throw new Error(
        `input ${JSON.stringify(name)}: its ${declared} is ${size}, and must be ${wanted}`,
      );
  }
  for (const [dim, { min, multiple_of }] of Object.entries(about.dims)) {
    if (!(found[dim] >= min) || found[dim] % multiple_of)
      throw new Error(
        `${dim} is ${found[dim]}: it must be ${min} or more, a multiple of ${multiple_of}`,
      );
  }
  return found;
}

function namesOf(size) {
  return typeof size === "string" ? (size.match(/[A-Za-z_]\w*/g) ?? []) : [];
}

// A number, a name, or a sum of products of them.
function valueOf(size, dims) {
  if (typeof size !== "string") return size;
  const factor = (word) => (/^\d+$/.test(word.trim()) ? Number(word) : dims[word.trim()]);
  const product = (part) => part.split("*").map(factor).reduce((a, b) => a * b, 1);
  return size.split("+").map(product).reduce((a, b) => a + b, 0);
}

// about: what model.json says; bytes: of model.wasm.
export async function opened(about, bytes) {
  const { instance } = await WebAssembly.instantiate(bytes, {}).catch((error) => {
    throw new Error(`model.wasm cannot be loaded (${error.message}): build it again`);
  });
  return new Model({ Tensor }, new Session(instance.exports, about), about);
}
