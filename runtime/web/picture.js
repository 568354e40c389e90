// From a picture to a network's input, in whole numbers up to the last step: docs/images.md of
// sbn-deploy defines each of them, and sbn_runtime's preprocess.py, raster.py and fit.py are the same.
import { fail } from "./error.js";

/** A file's `preprocess` with what older files leave out; throws where it is none of pictures. */
export function preprocessOf(fields) {
  if (!fields) fail("the model does not record how pictures become its input; use run()");
  if ("shape" in fields) fail("the model takes numbers, not pictures; use run()");
  if ((fields.interpolation ?? "area") !== "area") {
    fail(`the model takes pictures resized by ${fields.interpolation}, which is not supported`);
  }
  const { channels } = fields;
  if (channels !== 1 && channels !== 3) {
    fail(`the model takes ${channels} channels, not a picture's 1 or 3; use run()`);
  }
  return { ...fields, fit: fields.fit || "stretch", order: fields.order ?? "rgb" };
}

/**
 * A picture in the size, colours and range of a network: bytes [height, width, channels].
 *
 * @param picture `data`, `width` and `height`, as ImageData; data has 1 to 4 bytes a pixel: grey,
 *   grey and alpha, RGB, RGBA.
 */
export function fitted(picture, preprocess) {
  const colours = inChannels(picture, preprocess.channels);
  const { height, width, channels } = preprocess;
  const coloured = { data: colours, width: picture.width, height: picture.height };
  const pixels = fit(coloured, height, width, channels, preprocess.fit);
  const most = preprocess.pixel_max;
  return most === 255 ? pixels : pixels.map((v) => Math.floor((2 * most * v + 255) / 510));
}

/** Pixels [height, width, channels] as float32 [channels, height, width], normalised. */
export function normalised(pixels, preprocess) {
  const { height, width, channels, mean, std, order } = preprocess;
  const size = height * width;
  const result = new Float32Array(pixels.length);
  const most = preprocess.pixel_max;
  for (let c = 0; c < channels; ++c) {
    const from = order === "bgr" ? channels - 1 - c : c;
    const [centre, spread] = [Math.fround(mean[c]), Math.fround(std[c])];
    for (let i = 0; i < size; ++i) {
      const scaled = Math.fround(pixels[i * channels + from] / most);
      result[c * size + i] = Math.fround(scaled - centre) / spread;
    }
  }
  return result;
}

/** Pixels [height, width, channels] with their channels in the order of the network. */
export function ordered(pixels, { channels, order }) {
  if (order !== "bgr") return pixels;
  return pixels.map((_, i) => pixels[i - (i % channels) + channels - 1 - (i % channels)]);
}

/** Grey or RGB on white, as many channels as the network takes. */
function inChannels({ data, width, height }, channels) {
  const pixels = width * height;
  const given = data?.length / pixels;
  if (!(pixels > 0) || ![1, 2, 3, 4].includes(given)) {
    fail("a picture has data, width and height, with 1 to 4 bytes for each pixel");
  }
  const result = new Uint8ClampedArray(pixels * channels);
  const colours = given < 3 ? 1 : 3;
  const hasAlpha = given % 2 === 0;
  const one = [0, 0, 0];
  for (let i = 0; i < pixels; ++i) {
    const alpha = hasAlpha ? data[i * given + given - 1] : 255;
    for (let c = 0; c < colours; ++c) {
      const value = data[i * given + c];
      one[c] = alpha === 255 ? value : Math.floor((value * alpha + 255 * (255 - alpha) + 127) / 255);
    }
    if (channels < colours) {
      result[i] = (19595 * one[0] + 38470 * one[1] + 7471 * one[2] + 32768) >> 16;
    } else {
      for (let c = 0; c < channels; ++c) result[i * channels + c] = one[c % colours];
    }
  }
  return result;
}

/** size * above / below, rounded, halves up; 1 to `most`. */
function scaled(size, above, below, most) {
  return Math.min(most, Math.max(1, Math.floor((2 * size * above + below) / (2 * below))));
}

function fit(picture, height, width, channels, how) {
  const rows = picture.height;
  const columns = picture.width;
  if (how === "crop") {
    const inner = [scaled(height, columns, width, rows), scaled(width, rows, height, columns)];
    const top = Math.floor((rows - inner[0]) / 2);
    const left = Math.floor((columns - inner[1]) / 2);
    const part = new Uint8ClampedArray(inner[0] * inner[1] * channels);
    copy(picture.data, [top, left], columns, part, [0, 0], inner[1], inner, channels);
    return resized(part, ...inner, channels, height, width);
  }
  if (how === "stretch") return resized(picture.data, rows, columns, channels, height, width);
  const inner = [scaled(rows, width, columns, height), scaled(columns, height, rows, width)];
  const top = Math.floor((height - inner[0]) / 2);
  const left = Math.floor((width - inner[1]) / 2);
  const result = new Uint8Array(height * width * channels);
  const part = resized(picture.data, rows, columns, channels, ...inner);
  copy(part, [0, 0], inner[1], result, [top, left], width, inner, channels);
  return result;
}

/** Copies `size` rows and columns between pictures that are so many columns wide. */
function copy(from, [fromTop, fromLeft], fromWidth, to, [toTop, toLeft], toWidth, size, channels) {
  for (let y = 0; y < size[0]; ++y) {
    const begin = ((fromTop + y) * fromWidth + fromLeft) * channels;
    const row = from.subarray(begin, begin + size[1] * channels);
    to.set(row, ((toTop + y) * toWidth + toLeft) * channels);
  }
}

function resized(pixels, rows, columns, channels, height, width) {
  if (rows === height && columns === width) return Uint8Array.from(pixels);
  const down = along(pixels, 1, rows, columns * channels, height);
  const across = along(down.sums, height, columns, channels, width);
  const whole = down.total * across.total;
  return Uint8Array.from(across.sums, (sum) => Math.floor((2 * sum + whole) / (2 * whole)));
}

/**
 * The weighted sums over the middle axis of [outer, size, inner], as [outer, wanted, inner], and
 * what the weights of each add up to. All numbers are whole and below 2^53.
 */
function along(values, outer, size, inner, wanted) {
  const sums = new Float64Array(outer * wanted * inner);
  const add = (index, pixel, weight) => {
    const inside = Math.min(Math.max(pixel, 0), size - 1);
    for (let o = 0; o < outer; ++o) {
      const to = (o * wanted + index) * inner;
      const from = (o * size + inside) * inner;
      for (let i = 0; i < inner; ++i) sums[to + i] += weight * values[from + i];
    }
  };
  for (let index = 0; index < wanted; ++index) {
    if (wanted <= size) {
      const begin = index * size;
      const end = begin + size;
      for (let pixel = Math.floor(begin / wanted); pixel * wanted < end; ++pixel) {
        add(index, pixel, Math.min((pixel + 1) * wanted, end) - Math.max(pixel * wanted, begin));
      }
    } else {
      const place = (2 * index + 1) * size - wanted;
      const pixel = Math.floor(place / (2 * wanted));
      const part = place - 2 * wanted * pixel;
      add(index, pixel, 2 * wanted - part);
      add(index, pixel + 1, part);
    }
  }
  return { sums, total: wanted <= size ? size : 2 * wanted };
}
