// From a recording to the picture of its log-mel spectrum: docs/sound.md of sbn-deploy defines each
// step, and sbn_runtime's sound.py is the same. Samples are numbers from -1 to 1.
import { fail } from "./error.js";

const QUIETEST = 1e-10; // power below it counts as this: -100 dB
const LOBES = 16; // zero crossings of the resampling filter on each side
const KAISER = 8;
const LONGEST_S = 3600;
const LARGEST = 1 << 16; // sizes in samples, bands and frames, and rates up to ten times as much
const PCM = 1;
const EXTENSIBLE = 0xfffe;

/** How the recordings of a file become pictures; throws where it takes none, or says nonsense. */
export function soundOf(fields) {
  const sound = fields?.sound;
  if (!sound) fail("the model takes no sounds");
  const { rate, window, hop, bands, low, high, frames, quietest, loudest } = sound;
  const sizes = [window, hop, bands, frames];
  const possible =
    sizes.every((size) => Number.isInteger(size) && size > 0 && size <= LARGEST) &&
    window > 1 &&
    bands * Math.max(frames, window) <= 1 << 22 &&
    frames * hop <= 1 << 22 &&
    isRate(rate) &&
    0 <= low && low < high && high <= rate / 2 &&
    Number.isFinite(quietest) && Number.isFinite(loudest) && quietest < loudest;
  if (!possible) fail(`the model says that its sounds are impossible: ${JSON.stringify(sound)}`);
  return sound;
}

export function isRate(rate) {
  return Number.isInteger(rate) && rate > 0 && rate <= 10 * LARGEST;
}

/** Samples of a caller, int16 or floats, as numbers from -1 to 1. */
export function asAudio(samples) {
  if (samples instanceof Int16Array) return Float64Array.from(samples, (value) => value / 32768);
  if (!(samples instanceof Float32Array || samples instanceof Float64Array)) {
    fail("samples are an Int16Array, or floats from -1 to 1 in a Float32Array or Float64Array");
  }
  if (!samples.every((value) => Math.abs(value) <= 1)) {
    fail("samples must be finite, and floats from -1 to 1; divide whole numbers by half their range");
  }
  return Float64Array.from(samples);
}

/** A recording `{ samples, rate }` of a caller, as samples at the rate of a model. */
export function recordingAt(recording, rate) {
  if (!ArrayBuffer.isView(recording?.samples) || !isRate(recording.rate)) {
    fail("the model takes recordings: { samples, rate }, or what readWav(bytes) gives");
  }
  const audio = asAudio(recording.samples);
  if (!audio.length) fail("the recording has no samples");
  return resampled(audio, recording.rate, rate);
}

/** The power spectrum of frames, summed in triangles on the mel scale. */
export class Spectrum {
  /** @param sound of `soundOf`. */
  constructor(sound) {
    this.sound = sound;
    const { window, bands, rate } = sound;
    const angles = Float64Array.from({ length: window }, (_, n) => (2 * Math.PI * n) / window);
    this.cosines = angles.map(Math.cos);
    this.sines = angles.map(Math.sin);
    this.weights = this.cosines.map((value) => 0.5 - 0.5 * value); // a periodic Hann window
    this.total = this.weights.reduce((sum, weight) => sum + weight * weight, 0);
    const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
    const [low, high] = [mel(sound.low), mel(sound.high)];
    const peaks = Array.from({ length: bands + 2 }, (_, b) =>
      700 * (10 ** ((low + ((high - low) * b) / (bands + 1)) / 2595) - 1),
    );
    this.triangles = Array.from({ length: bands }, (_, band) => {
      const [left, middle, right] = peaks.slice(band, band + 3);
      const shares = new Map(); // of the frequencies that have one
      for (let k = 0; k <= window / 2; ++k) {
        const hertz = (k * rate) / window;
        const share = Math.min((hertz - left) / (middle - left), (right - hertz) / (right - middle));
        if (share > 0) shares.set(k, share);
      }
      return shares;
    });
    this.frequencies = [...new Set(this.triangles.flatMap((shares) => [...shares.keys()]))];
  }

  /** Of the frame that begins at a sample, by band; silence follows the end. */
  powers(audio, begin) {
    const { cosines, sines, weights } = this;
    const size = weights.length;
    const frame = weights.map((weight, n) => weight * (audio[begin + n] ?? 0));
    const power = new Float64Array(Math.floor(size / 2) + 1);
    for (const k of this.frequencies) {
      let real = 0;
      let imaginary = 0;
      for (let n = 0, turn = 0; n < size; ++n) {
        real += frame[n] * cosines[turn];
        imaginary += frame[n] * sines[turn];
        turn += k;
        if (turn >= size) turn -= size;
      }
      power[k] = real * real + imaginary * imaginary;
    }
    return Float64Array.from(this.triangles, (shares) => {
      let sum = 0;
      for (const [k, share] of shares) sum += share * power[k];
      return sum / this.total;
    });
  }

  /** Of powers, from 0 to 255. */
  levels(powers) {
    const { quietest, loudest } = this.sound;
    return Uint8Array.from(powers, (power) => {
      const decibels = 10 * Math.log10(Math.max(power, QUIETEST));
      const scaled = ((decibels - quietest) / (loudest - quietest)) * 255;
      return Math.round(Math.min(Math.max(scaled, 0), 255));
    });
  }

  /**
   * Levels of a recording at the model's rate, bytes [bands, frames], the lowest band first. A
   * shorter one is followed by silence; of a longer one the frames around its greatest power are
   * taken, the first of equals.
   */
  picture(audio) {
    const { window, hop, frames } = this.sound;
    const count = Math.max(1, Math.ceil((audio.length - window) / hop) + 1);
    const powers = Array.from({ length: count }, (_, frame) => this.powers(audio, frame * hop));
    const sums = [0];
    for (const power of powers) sums.push(sums.at(-1) + power.reduce((sum, one) => sum + one, 0));
    let start = 0;
    const within = (first) => sums[first + frames] - sums[first];
    for (let first = 1; first + frames <= count; ++first) {
      if (within(first) > within(start)) start = first;
    }
    const picture = new LevelPicture(this.sound);
    powers.slice(start, start + frames).forEach((power, k) => picture.put(k, this.levels(power)));
    return picture.levels;
  }
}

/** Levels [bands, frames]. */
export class LevelPicture {
  constructor({ bands, frames }) {
    this.frames = frames;
    this.levels = new Uint8Array(bands * frames);
  }

  put(frame, levels) {
    levels.forEach((level, band) => (this.levels[band * this.frames + frame] = level));
  }

  /** Moves all to the left by a frame, and puts one at the end. */
  append(levels) {
    this.levels.copyWithin(0, 1);
    this.put(this.frames - 1, levels);
  }
}

/**
 * To another rate while a sound comes in, by a windowed sinc below both limits: sample n at
 * `want` is the same however the sound was cut into pieces.
 */
export class Resampler {
  constructor(have, want) {
    const step = gcd(have, want);
    this.up = want / step;
    this.down = have / step;
    this.lobe = Math.max(1, this.down / this.up); // so many samples of the recording
    this.reach = Math.ceil(LOBES * this.lobe);
    this.filters = new Map(); // by the place of a sample between two of the recording
    this.rest = new Float64Array(this.reach); // silence before the first
    this.start = -this.reach; // which sample the rest begins with
    this.given = 0;
    this.made = 0;
  }

  /** Those that are due. */
  push(audio) {
    if (this.up === this.down) return audio;
    this.given += audio.length;
    this.rest = joined(this.rest, audio);
    const last = this.given - this.reach - 2; // with all that its filter needs
    return this.make(last < 0 ? 0 : Math.floor(((last + 1) * this.up - 1) / this.down) + 1);
  }

  /** Those that remain when the sound has ended, which silence follows. */
  end() {
    if (this.up === this.down) return new Float64Array(0);
    this.rest = joined(this.rest, new Float64Array(this.reach + 1));
    return this.make(Math.ceil((this.given * this.up) / this.down));
  }

  make(until) {
    const made = new Float64Array(Math.max(0, until - this.made));
    for (let i = 0; i < made.length; ++i) {
      const place = this.made * this.down;
      const whole = Math.floor(place / this.up);
      const filter = this.filter(place - whole * this.up);
      const first = whole - this.reach - this.start;
      made[i] = filter.reduce((sum, weight, j) => sum + weight * this.rest[first + j], 0);
      this.made += 1;
    }
    const next = Math.floor((this.made * this.down) / this.up) - this.reach;
    const done = Math.max(0, Math.min(next - this.start, this.rest.length));
    this.rest = this.rest.slice(done);
    this.start += done;
    return made;
  }

  filter(between) {
    if (!this.filters.has(between)) {
      const weights = Float64Array.from({ length: 2 * this.reach + 2 }, (_, j) => {
        const distance = j - this.reach - between / this.up;
        return (sinc(distance / this.lobe) / this.lobe) * kaiser(distance / (LOBES * this.lobe));
      });
      this.filters.set(between, weights);
    }
    return this.filters.get(between);
  }
}

/** A whole recording at another rate. */
export function resampled(audio, have, want) {
  const resampler = new Resampler(have, want);
  return joined(resampler.push(audio), resampler.end());
}

export function joined(first, second) {
  const both = new Float64Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

function sinc(x) {
  return x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
}

/** The window at places from -1 to 1; 0 beyond. */
function kaiser(place) {
  return Math.abs(place) < 1 ? bessel(KAISER * Math.sqrt(1 - place * place)) / bessel(KAISER) : 0;
}

/** The modified Bessel function of order 0, by its series. */
function bessel(x) {
  let sum = 1;
  for (let k = 1, term = 1; term > 1e-17 * sum; ++k) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** The samples of a WAV file, its channels averaged, and their rate; throws for other files. */
export function readWav(file) {
  const bytes = ArrayBuffer.isView(file)
    ? new Uint8Array(file.buffer, file.byteOffset, file.byteLength)
    : new Uint8Array(file);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") refuse("it is no WAV file");
  let form = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [kind, size] = [name(at), view.getUint32(at + 4, true)];
    const end = Math.min(at + 8 + size, bytes.length);
    if (kind === "fmt ") form = formOf(view, at + 8, end);
    if (kind === "data") {
      if (!form) refuse("its samples come before it says what they are");
      return { samples: samplesOf(view, at + 8, end, form), rate: form.rate };
    }
    at += 8 + size + (size % 2);
  }
  return refuse("it holds no samples");
}

function refuse(why) {
  fail(`not a readable sound: ${why}; give WAV files with whole-number (PCM) samples`);
}

function formOf(view, at, end) {
  if (end - at < 16) refuse("it is cut off");
  const extended = view.getUint16(at, true) === EXTENSIBLE && end - at >= 26;
  const kind = view.getUint16(extended ? at + 24 : at, true);
  const channels = view.getUint16(at + 2, true);
  const rate = view.getUint32(at + 4, true);
  const width = Math.ceil(view.getUint16(at + 14, true) / 8);
  if (kind !== PCM) refuse(`its samples have the format ${kind}`);
  if (!channels || !isRate(rate)) refuse(`it has ${channels} channels, ${rate} samples a second`);
  if (width < 1 || width > 4) refuse(`its samples have ${8 * width} bits`);
  return { channels, rate, width };
}

function samplesOf(view, at, end, { channels, rate, width }) {
  const count = Math.floor((end - at) / (channels * width));
  if (!count) refuse("it holds no samples");
  if (count > LONGEST_S * rate) refuse(`it is longer than ${LONGEST_S} s`);
  const half = 2 ** (8 * width - 1);
  const read = {
    1: (place) => view.getUint8(place) - 128,
    2: (place) => view.getInt16(place, true),
    3: (place) => view.getUint16(place, true) + 65536 * view.getInt8(place + 2),
    4: (place) => view.getInt32(place, true),
  }[width];
  return Float64Array.from({ length: count }, (_, index) => {
    let sum = 0;
    for (let c = 0; c < channels; ++c) sum += read(at + (index * channels + c) * width) / half;
    return sum / channels;
  });
}
