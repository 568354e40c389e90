// Answers to a sound that has not ended yet, as sbn_runtime's listen.py gives them.
import { fail } from "./error.js";
import { asAudio, isRate, joined, LevelPicture, Resampler, soundOf, Spectrum } from "./sound.js";

const EVERY_S = 0.1;

/** Classifies the last second or so of a sound, again and again while it comes in. */
export class Listener {
  constructor(model, { every = EVERY_S, rate, ...draw } = {}) {
    if (!(every > 0)) fail(`every must be a number of seconds above 0, not ${every}`);
    this.model = model;
    this.sound = soundOf(model.metadata.preprocess);
    this.rate = rate ?? this.sound.rate;
    if (!isRate(this.rate)) fail(`rate must be a number of samples a second, not ${rate}`);
    this.resampler = new Resampler(this.rate, this.sound.rate);
    this.framesBetween = Math.max(1, rounded((every * this.sound.rate) / this.sound.hop));
    this.draw = draw;
    this.spectrum = new Spectrum(this.sound);
    this.picture = new LevelPicture(this.sound);
    this.rest = new Float64Array(0);
    this.frames = 0;
  }

  /** The answers that fall due with more samples. */
  push(samples) {
    const { window, hop, rate } = this.sound;
    this.rest = joined(this.rest, this.resampler.push(asAudio(samples)));
    const answers = [];
    let begin = 0;
    for (; begin + window <= this.rest.length; begin += hop) {
      this.picture.append(this.spectrum.levels(this.spectrum.powers(this.rest, begin)));
      this.frames += 1;
      if (this.frames % this.framesBetween) continue;
      const pixels = this.picture.levels.slice();
      const found = this.model.classify(this.model.normalise(pixels), this.draw);
      answers.push({ seconds: ((this.frames - 1) * hop + window) / rate, pixels, ...found });
    }
    this.rest = this.rest.slice(begin);
    return answers;
  }
}

/** To the nearest whole number, halves to even ones, as Python does. */
function rounded(value) {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 ? near - 1 : near;
}
