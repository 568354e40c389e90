// Calls the JavaScript runtime as it is told on standard input, and prints what came of each call:
// {"value": …} or {"error": …}. Typed arrays are {"type", "data"}, with data in base64.
import { readFileSync } from "node:fs";

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

function decoded(value) {
  if (Array.isArray(value)) return value.map(decoded);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.data === "string") {
    const bytes = Buffer.from(value.data, "base64");
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    return new ARRAYS[value.type](copy);
  }
  if ("bigint" in value) return BigInt(value.bigint);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decoded(inner)]));
}

function encoded(value) {
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(encoded);
  if (ArrayBuffer.isView(value)) {
    const type = Object.keys(ARRAYS).find((name) => value instanceof ARRAYS[name]);
    const data = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    return { type: type ?? value.constructor.name, data };
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, encoded(inner)]));
}

async function outcome(body) {
  try {
    return { value: encoded((await body()) ?? null) };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

const { folder, wasm, jobs } = JSON.parse(readFileSync(0, "utf-8"));
const { Listener, Model } = await import(`${folder}/sbn.js`);
const { soundOf, Spectrum } = await import(`${folder}/sound.js`);

// What takes more than one call.
function listen(model, options, pieces) {
  const listener = new Listener(model, options);
  return pieces.flatMap((piece) => listener.push(piece));
}

function pictureOf(audio, sound) {
  return new Spectrum(soundOf({ sound })).picture(audio);
}
const results = [];
for (const { module, source, kernels, calls } of jobs) {
  let model = null;
  if (source !== undefined) {
    const loaded = await outcome(async () => {
      model = await Model.load(decoded(source), { wasm, kernels });
    });
    if (loaded.error) {
      results.push([loaded]);
      continue;
    }
  }
  const on = model ?? (await import(`${folder}/${module}`));
  const more = { listen: (...given) => listen(on, ...given), pictureOf };
  const said = [];
  for (const { name, given } of calls) {
    const called = more[name] ?? on[name];
    said.push(
      await outcome(() => (typeof called === "function" ? called.apply(on, decoded(given)) : called)),
    );
  }
  results.push(said);
}
console.log(JSON.stringify(results));
