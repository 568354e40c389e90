// Runs the exported models of sbn-deploy: sbn.wasm with a few classes around it. sbn.d.ts has the
// types.
import { softmax, summarize } from "./answer.js";
import { fail } from "./error.js";
import { fitted, normalised, ordered, preprocessOf } from "./picture.js";
import { recordingAt, soundOf, Spectrum } from "./sound.js";

export { SbnError } from "./error.js";
export { Listener } from "./listen.js";
export { readWav } from "./sound.js";

// By the numbers of ONNX.
const TYPES = {
  1: { name: "float32", Array: Float32Array },
  2: { name: "uint8", Array: Uint8Array },
  3: { name: "int8", Array: Int8Array },
  5: { name: "int16", Array: Int16Array },
  6: { name: "int32", Array: Int32Array },
  7: { name: "int64", Array: BigInt64Array },
  13: { name: "uint64", Array: BigUint64Array },
};
const NUMBERS = ["seed", "samples", "first_sample"];
const MOST_SAMPLES = 65536;
// The sbn_tensor of sbn.h: name, type, rank, sizes.
const TENSOR_BYTES = 80;
const SIZES_AT = 16;

/** An instance of sbn.wasm. Its addresses are numbers; memory moves when it grows. */
class Library {
  constructor(instance) {
    this.functions = instance.exports;
    this.functions._initialize();
    this.tensor = this.allocate(TENSOR_BYTES);
  }

  allocate(bytes) {
    return this.functions.malloc(bytes) || fail(`the browser has no ${bytes} bytes of memory left`);
  }

  /** A copy of bytes that lives until `free`. */
  give(bytes) {
    const address = this.allocate(bytes.length);
    new Uint8Array(this.functions.memory.buffer).set(bytes, address);
    return address;
  }

  /** The text at an address, which ends with a zero byte; null of address 0. */
  text(address) {
    if (!address) return null;
    const memory = new Uint8Array(this.functions.memory.buffer);
    return new TextDecoder().decode(memory.slice(address, memory.indexOf(0, address)));
  }

  /** Throws the last error unless `result` is one. */
  check(result) {
    return result || fail(this.text(this.functions.sbn_last_error()));
  }

  /** What a function wrote as a sbn_tensor; an open size is null. */
  described() {
    const view = new DataView(this.functions.memory.buffer, this.tensor, TENSOR_BYTES);
    const rank = view.getInt32(8, true);
    const shape = Array.from({ length: rank }, (_, i) => {
      const size = Number(view.getBigInt64(SIZES_AT + 8 * i, true));
      return size < 0 ? null : size;
    });
    return { name: this.text(view.getUint32(0, true)), type: TYPES[view.getInt32(4, true)], shape };
  }
}

/** A loaded model. It has memory of its own, which goes with it. */
export class Model {
  #library;
  #context;
  #ports;
  #memory = new Map(); // of inputs, by index: address and bytes
  #spectrum; // of a model that takes sounds, once it was needed

  static async load(source, options = {}) {
    const [bytes, module] = await Promise.all([bytesOf(source), moduleOf(options.wasm)]);
    const library = new Library(await WebAssembly.instantiate(module, {}));
    return new Model(library, bytes, options.kernels ?? "");
  }

  /** Use `Model.load`. */
  constructor(library, bytes, kernels) {
    const { functions } = library;
    const name = library.give(new TextEncoder().encode(`${kernels}\0`));
    if (functions.sbn_set_isa(name)) fail(`there are no kernels ${JSON.stringify(kernels)}`);
    functions.free(name);
    const file = library.give(bytes);
    const model = library.check(functions.sbn_model_load(file, bytes.length));
    functions.free(file);
    this.#library = library;
    this.#context = library.check(functions.sbn_context_new(model));
    this.#ports = this.#describe(model, "input");
    const key = library.give(new TextEncoder().encode("sbn\0"));
    const said = library.text(functions.sbn_model_metadata(model, key));
    functions.free(key);

    this.metadata = parsed(said);
    this.inputs = this.#ports.filter((port) => !NUMBERS.includes(port.name)).map(typed);
    this.outputs = this.#describe(model, "output").map(typed);
    this.kernels = library.text(functions.sbn_isa());
    this.version = library.text(functions.sbn_version());
    const hasAnswer = this.outputs.some((port) => port.name === "probabilities");
    this.task = this.metadata.task ?? (hasAnswer ? "classification" : "none");
    this.classes = (this.metadata.classes ?? []).map(String);
    this.members = this.metadata.members ?? 1;
    const noisy = this.#ports.some((port) => port.name === "samples");
    this.noise = noisy
      ? { samples: this.metadata.samples ?? 1, seed: BigInt(this.metadata.noise_seed ?? 0) }
      : null;
  }

  /** All outputs by name, of a batch of inputs as the model takes them. */
  run(x, { samples, seed } = {}) {
    const { functions } = this.#library;
    const arrays = ArrayBuffer.isView(x) ? { [this.inputs[0].name]: x } : x;
    const unknown = Object.keys(arrays).filter((name) => !this.inputs.some((i) => i.name === name));
    if (unknown.length) {
      fail(`there is no input ${unknown[0]}; inputs are ${this.inputs.map((i) => i.name).join(", ")}`);
    }
    const batches = this.inputs.map((port) => batchOf(port, arrays[port.name]));
    if (batches.some((batch) => batch !== batches[0])) fail("the inputs have different batches");
    this.#draw(samples, seed);
    this.#ports.forEach((port, index) => {
      if (port.name in arrays) this.#set(index, arrays[port.name]);
    });
    this.#library.check(!functions.sbn_context_run(this.#context, BigInt(batches[0])));
    return Object.fromEntries(this.outputs.map(({ name }, index) => [name, this.#output(index)]));
  }

  /** What a picture, or a recording, becomes in the size and range of the model's images. */
  pixels(given) {
    const fields = this.metadata.preprocess;
    if (!fields?.sound) return fitted(given, preprocessOf(fields));
    const sound = soundOf(fields);
    this.#spectrum ??= new Spectrum(sound);
    return this.#spectrum.picture(recordingAt(given, sound.rate));
  }

  /** The input that these become, a batch of one. */
  normalise(pixels) {
    const preprocess = preprocessOf(this.metadata.preprocess);
    return this.inputs[0].type === "uint8"
      ? ordered(pixels, preprocess)
      : normalised(pixels, preprocess);
  }

  preprocess(given) {
    return this.normalise(this.pixels(given));
  }

  /** The class of a picture, or of a recording, and how certain that is. */
  predict(given, options = {}) {
    if (this.task !== "classification") {
      fail(`predict() is for classification, the task of this model is ${this.task}; use run()`);
    }
    return this.classify(this.preprocess(given), options);
  }

  /** The class of an input. */
  classify(x, options = {}) {
    const outputs = this.run(x, options);
    const { probabilities, logits, member_logits: members } = outputs;
    const classes = probabilities.shape[1];
    const calibration = this.metadata.calibration ?? null;
    const raw = members ?? (calibration && logits);
    const each = raw && split(raw.data, classes);
    const rows = each ? each.map(softmax) : [Float64Array.from(probabilities.data)];
    const found = summarize(rows, each ?? null, calibration);
    return { ...found, className: this.classes[found.label] ?? String(found.label), rows };
  }

  #describe(model, kind) {
    const { functions, tensor } = this.#library;
    const count = functions[`sbn_model_${kind}s`](model);
    return Array.from({ length: count }, (_, index) => {
      this.#library.check(!functions[`sbn_model_${kind}`](model, index, tensor));
      return this.#library.described();
    });
  }

  #draw(samples, seed) {
    if (!this.noise) {
      const given = samples !== undefined ? "samples" : seed !== undefined ? "seed" : null;
      if (given) {
        fail(`${given} does not apply: the model has no noise; export it with --activations stochastic`);
      }
      return;
    }
    const count = samples ?? this.noise.samples;
    if (!Number.isInteger(count) || count < 1 || count > MOST_SAMPLES) {
      fail(`samples must be a whole number from 1 to ${MOST_SAMPLES}, not ${count}`);
    }
    const numbers = { samples: BigInt(count), seed: seedOf(seed ?? this.noise.seed), first_sample: 0n };
    this.#ports.forEach((port, index) => {
      if (!(port.name in numbers)) return;
      const { functions } = this.#library;
      this.#library.check(
        !functions.sbn_context_set_number(this.#context, index, numbers[port.name]),
      );
    });
  }

  #set(index, array) {
    const { functions } = this.#library;
    let memory = this.#memory.get(index);
    if (!memory || memory.bytes < array.byteLength) {
      if (memory) functions.free(memory.address);
      this.#memory.delete(index);
      memory = { address: this.#library.allocate(array.byteLength), bytes: array.byteLength };
      this.#memory.set(index, memory);
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    new Uint8Array(functions.memory.buffer).set(bytes, memory.address);
    this.#library.check(!functions.sbn_context_set_input(this.#context, index, memory.address));
  }

  #output(index) {
    const { functions, tensor } = this.#library;
    const address = this.#library.check(
      functions.sbn_context_output(this.#context, index, tensor),
    );
    const { type, shape } = this.#library.described();
    const length = shape.reduce((product, size) => product * size, 1);
    const bytes = length * type.Array.BYTES_PER_ELEMENT;
    const copy = functions.memory.buffer.slice(address, address + bytes);
    return { type: type.name, shape, data: new type.Array(copy) };
  }
}

function typed({ name, type, shape }) {
  return { name, type: type.name, shape };
}

function parsed(text) {
  try {
    return text === null ? {} : JSON.parse(text);
  } catch {
    return fail("the metadata of the model is damaged: it is not JSON");
  }
}

/** How many images an array holds for an input. */
function batchOf(port, array) {
  const wanted = Object.values(TYPES).find((type) => type.name === port.type).Array;
  const sizes = port.shape.map((size) => size ?? "N").join(", ");
  const bytes = wanted === Uint8Array && array instanceof Uint8ClampedArray;
  if (!(array instanceof wanted) && !bytes) {
    fail(`input ${port.name} must be a ${wanted.name} of [${sizes}]`);
  }
  const one = port.shape.reduce((product, size) => product * (size ?? 1), 1);
  const batch = array.length / one;
  if (!Number.isInteger(batch) || batch < 1 || (port.shape[0] !== null && batch !== 1)) {
    fail(`input ${port.name} must have the shape [${sizes}], this has ${array.length} numbers`);
  }
  if (wanted === Float32Array && !array.every(Number.isFinite)) {
    fail(`input ${port.name} has NaN or infinity`);
  }
  return port.shape[0] === null ? batch : port.shape[0];
}

function seedOf(seed) {
  const whole = typeof seed === "bigint" || Number.isSafeInteger(seed);
  if (!whole || seed < 0 || BigInt(seed) >= 1n << 63n) {
    fail(`seed must be a whole number from 0 to 2^63 - 1, not ${seed}`);
  }
  return BigInt(seed);
}

/** Parts of `length` of an array. */
function split(array, length) {
  const count = array.length / length;
  return Array.from({ length: count }, (_, i) => array.subarray(i * length, (i + 1) * length));
}

/** The bytes of what a caller names: bytes, or where they can be read. */
async function bytesOf(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  }
  if (typeof source !== "string" && !(source instanceof URL)) {
    fail("a file is given as bytes (ArrayBuffer, Uint8Array) or as a URL");
  }
  const url = new URL(source, globalThis.document?.baseURI ?? import.meta.url);
  if (url.protocol === "file:" && globalThis.process?.versions?.node) {
    const { readFile } = await import("node:fs/promises");
    return readFile(url).catch((error) => fail(`${url}: cannot be read: ${error.message}`));
  }
  const answer = await fetch(url).catch((error) => fail(`${url}: cannot be read: ${error.message}`));
  if (!answer.ok) fail(`${url}: cannot be read: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

let compiled = null; // of the sbn.wasm beside this file, once for all models

async function moduleOf(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (source !== undefined) return compile(await bytesOf(source));
  compiled ??= bytesOf(new URL("./sbn.wasm", import.meta.url)).then(compile);
  return compiled.catch((error) => {
    compiled = null;
    throw error;
  });
}

async function compile(bytes) {
  return WebAssembly.compile(bytes).catch((error) =>
    fail(`sbn.wasm does not compile here, which takes a browser with SIMD: ${error.message}`),
  );
}
