/** What everything here throws: one line that says what is wrong and how to mend it. */
export class SbnError extends Error {}

export type ElementType = "float32" | "uint8" | "int8" | "int16" | "int32" | "int64" | "uint64";

export type Numbers =
  | Float32Array
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | BigUint64Array;

/** An input or output as the file declares it; a size that is null is that of the batch. */
export interface TensorInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | null)[];
}

/** An output of a run. */
export interface Tensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: Exclude<Numbers, Uint8ClampedArray>;
}

/** A picture, such as ImageData: 1 to 4 bytes a pixel (grey, grey and alpha, RGB, RGBA), 0 to 255. */
export interface Picture {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** A sound: one channel, int16 or floats from -1 to 1, and how many samples a second has. */
export interface Recording {
  readonly samples: Int16Array | Float32Array | Float64Array;
  readonly rate: number;
}

/** The samples of a WAV file of whole numbers (PCM), channels averaged. Throws SbnError for others. */
export function readWav(file: ArrayBuffer | ArrayBufferView): Recording;

/** Where bytes are: themselves, or a URL that is fetched (in Node.js a file: URL is read). */
export type Source = ArrayBuffer | ArrayBufferView | string | URL;

export interface LoadOptions {
  /** sbn.wasm, by default the file beside sbn.js. */
  wasm?: Source | WebAssembly.Module;
  /** "wasm" or "scalar"; by default the faster. Both give the same bits. */
  kernels?: string;
}

/** For a model with noise alone. */
export interface DrawOptions {
  /** Noise samples, 1 to 65,536; by default the number that the model was exported with. */
  samples?: number;
  /** Of the noise, 0 to 2^63 - 1; by default the one that the model was exported with. */
  seed?: number | bigint;
}

/** A class and its uncertainty, from the networks that were averaged: members times samples. */
export interface Prediction {
  /** The most probable class. */
  readonly label: number;
  /** Its name, or its number where the file has no names. */
  readonly className: string;
  /** Of that class, 0 to 1. */
  readonly probability: number;
  /** Of each class; calibrated where the file is. */
  readonly probabilities: Float32Array;
  /** Of these, in nats: 0 to the logarithm of the number of classes. */
  readonly entropy: number;
  /** The part of the uncertainty in which the networks disagree, in nats; 0 of a single one. */
  readonly mutualInformation: number;
  /** Share of the networks whose own most probable class is `label`. */
  readonly agreement: number;
  /** Whether the picture is unlike those that a calibrated file knows; null where it cannot tell. */
  readonly unknown: boolean | null;
  /** Probabilities of each network, as they are: all samples of the first member, then the next. */
  readonly rows: readonly Float64Array[];
}

/** A model in memory of its own, which is given back with it. One call runs at a time. */
export class Model {
  private constructor();

  /** Loads a file of `sbn export`. Rejects with SbnError where it is damaged or not supported. */
  static load(source: Source, options?: LoadOptions): Promise<Model>;

  /** Without the numbers that `DrawOptions` sets. */
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** What the file says of itself, as docs/exported-file.md of sbn-deploy lists it. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** "classification", "multilabel", "regression", "segmentation", "image" or "none". */
  readonly task: string;
  /** Names of the classes; empty where the file has none. */
  readonly classes: readonly string[];
  /** Networks in the file. */
  readonly members: number;
  /** What is drawn unless a call says otherwise; null of a model without noise. */
  readonly noise: { readonly samples: number; readonly seed: bigint } | null;
  /** The kernels in use. */
  readonly kernels: string;
  /** Of sbn-deploy, which built sbn.wasm. */
  readonly version: string;

  /**
   * All outputs by name.
   *
   * @param x The input, or several by name, of the type and shape that `inputs` states, one image
   *   after the other. Throws SbnError for others, and for NaN.
   */
  run(x: Numbers | Readonly<Record<string, Numbers>>, options?: DrawOptions): Record<string, Tensor>;

  /**
   * What a picture of any size, or a recording, becomes in the size and range of the model's images:
   * bytes [height, width, channels], bit for bit as in Python; of a recording the levels of its
   * spectrum, [bands, frames], which may differ by rounding.
   */
  pixels(given: Picture | Recording): Uint8Array;

  /** The input that these become; a batch of one. */
  normalise(pixels: Uint8Array): Float32Array | Uint8Array;

  /** The input that a picture or a recording becomes; a batch of one. */
  preprocess(given: Picture | Recording): Float32Array | Uint8Array;

  /** The class of a picture or a recording. Throws SbnError for a model of another task. */
  predict(given: Picture | Recording, options?: DrawOptions): Prediction;

  /** The class of an input of `preprocess`. */
  classify(x: Float32Array | Uint8Array, options?: DrawOptions): Prediction;
}

/** An answer to a sound that goes on. */
export interface Heard extends Prediction {
  /** From the start of the sound to the end of what was heard. */
  readonly seconds: number;
  /** What the network was given: levels [bands, frames], the lowest band first. */
  readonly pixels: Uint8Array;
}

export interface ListenOptions extends DrawOptions {
  /** Seconds between answers, rounded to whole frames; 0.1 by default. */
  every?: number;
  /** Samples a second of what is pushed; by default the model's. */
  rate?: number;
}

/**
 * Classifies the last second or so of a sound, again and again while it comes in. Answers do not
 * depend on how it is cut into pieces; until a picture is full, silence stands before it.
 */
export class Listener {
  /** Throws SbnError for a model that takes no sounds. */
  constructor(model: Model, options?: ListenOptions);

  /** The answers that fall due with more samples: int16, or floats from -1 to 1. */
  push(samples: Int16Array | Float32Array | Float64Array): Heard[];
}
