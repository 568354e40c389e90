// From logits to an answer with its uncertainty, as sbn_runtime's uncertainty.py, calibration.py
// and ood.py define it. Rows are the class probabilities of each network that is averaged.

const SMALLEST = 1e-300;
const SHARE = 0.05; // of ordinary images that are refused as unknown

/** Probabilities of logits, a Float64Array. */
export function softmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const shares = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}

/** The mean of rows, a Float64Array. */
export function mean(rows) {
  const sums = new Float64Array(rows[0].length);
  for (const row of rows) row.forEach((p, k) => (sums[k] += p));
  return sums.map((sum) => sum / rows.length);
}

/** In nats; 0 log 0 is 0. */
export function entropy(probabilities) {
  const nats = probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  return Math.max(0, nats);
}

/** The first of the largest. */
export function largest(values) {
  return values.reduce((best, value, k) => (value > values[best] ? k : best), 0);
}

/**
 * What networks say of one image.
 *
 * @param rows Float64Array of probabilities for each network.
 * @param logits of each network, or null where a file has probabilities only.
 * @param calibration of the file, or null.
 */
export function summarize(rows, logits, calibration) {
  const average = mean(rows);
  const calibrated = calibration && tempered(average, calibration, rows.length);
  const probabilities = Float32Array.from(calibrated ?? average);
  const label = largest(probabilities);
  const whole = entropy(average);
  const own = rows.reduce((sum, row) => sum + entropy(row), 0) / rows.length;
  const agreeing = rows.filter((row) => largest(row) === label).length;
  return {
    label,
    probability: probabilities[label],
    probabilities,
    entropy: calibrated ? entropy(calibrated) : whole,
    mutualInformation: rows.length > 1 ? Math.min(Math.max(whole - own, 0), whole) : 0,
    agreement: agreeing / rows.length,
    unknown: calibration ? isUnknown(rows, logits, average, calibration) : null,
  };
}

function tempered(average, calibration, networks) {
  const temperature = at(calibration.networks, calibration.temperatures, networks);
  return softmax(
    average.map(
      (p, k) => (Math.log(Math.max(p, SMALLEST)) + calibration.offsets[k]) / temperature,
    ),
  );
}

/** The value of a table for a count of networks: between two that were measured it changes like 1/n. */
function at(counts, values, networks) {
  const found = counts.findIndex((count) => count >= networks);
  const above = found < 0 ? counts.length - 1 : found;
  const below = Math.max(above - 1, 0);
  if (above === below || counts[above] <= networks) return values[above];
  const a = 1 / counts[below];
  const b = 1 / counts[above];
  return values[below] + ((a - 1 / networks) / (a - b)) * (values[above] - values[below]);
}

/** Whether an image is unlike the ordinary ones; null where the file does not say how to tell. */
function isUnknown(rows, logits, average, calibration) {
  const known = calibration.unknown;
  const index = known ? known.shares.findIndex((share) => Math.abs(share - SHARE) < 1e-9) : -1;
  if (index < 0 || (known.score === "energy" && !logits)) return null;
  const thresholds = known.thresholds.map((row) => row[index]);
  const score = scoreOf(known.score, rows, logits, average);
  return score > at(calibration.networks, thresholds, rows.length);
}

function scoreOf(name, rows, logits, average) {
  const over = (values, of) => values.reduce((sum, value) => sum + of(value), 0) / values.length;
  switch (name) {
    case "energy":
      return -over(logits, (z) => {
        const top = z[largest(z)];
        return Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0)) + top;
      });
    case "entropy":
      return entropy(average);
    case "mutual_information":
      return entropy(average) - over(rows, entropy);
    default: // disagreement
      return over(rows, (row) => (largest(row) === largest(average) ? 0 : 1));
  }
}
