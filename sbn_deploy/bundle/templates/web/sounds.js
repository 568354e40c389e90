// A recording, or what the microphone hears, and what the model says of it.
const SURE = 0.8;
const STEADY = 3; // answers in a row that say the same
const MOST_HEARD = 8;
// Longer recordings are not listened to from end to end: the page would stand still.
const LONGEST_HEARD_S = 60;
// Decoders of browsers give sounds at this rate.
const DECODED_RATE = 48000;
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});`;

class SoundPage extends Page {
  constructor(model) {
    super(model, "sound");
    this.nothing = "Nothing to hear yet.";
    this.levels = null; // that are shown
    this.microphone = null; // while it is on
    this.sound = soundOf(model.metadata.preprocess);
    this.board = $("board");
    [this.board.width, this.board.height] = [this.sound.frames, this.sound.bands];
    const { frames, hop, window, rate, bands, low, high } = this.sound;
    const seconds = (((frames - 1) * hop + window) / rate).toFixed(1);
    const hertz = [low, high].map((value) => Math.round(value).toLocaleString("en"));
    $("hint").textContent =
      `What the network hears: ${seconds} s, ${bands} bands from ${hertz[0]} Hz (below) to ${hertz[1]} Hz`;
    $("microphone").addEventListener("click", () => (this.microphone ? this.stop() : this.start()));
    this.clear();
  }

  get hurried() {
    return this.microphone !== null;
  }

  clear() {
    this.stop();
    this.levels = null;
    this.forget();
    $("file").value = "";
    this.look();
  }

  /** Nothing has been heard yet. */
  forget() {
    this.said = [];
    $("heard").replaceChildren();
    $("heard-title").hidden = true;
  }

  /** The answer to a file is that of `sbn predict`, what was heard in it that of `sbn listen`. */
  async read(file) {
    const recording = await recordingOf(await file.arrayBuffer());
    this.clear();
    this.levels = this.model.pixels(recording);
    this.look();
    const { samples, rate } = recording;
    if (samples.length > LONGEST_HEARD_S * rate) return;
    const listener = new Listener(this.model, { rate, ...this.options });
    for (const answer of listener.push(samples)) this.note(answer);
  }

  async start() {
    this.clear();
    $("microphone").disabled = true; // while the browser asks
    try {
      this.microphone = await this.opened();
      $("microphone").textContent = "Stop";
    } catch (error) {
      show(new Error(`The microphone cannot be opened: ${error.message}`));
    }
    $("microphone").disabled = false;
  }

  async opened() {
    if (!navigator.mediaDevices) {
      throw new Error("the page must be opened as a file, or come over https");
    }
    // As it is: the recordings to train on were not cleaned either.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const context = new AudioContext();
    // A page that was opened as a file may not read a blob of its own.
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(TAP)}`);
    const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((error) => {
      context.close();
      throw error;
    });
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    const listener = new Listener(this.model, { rate: context.sampleRate, ...this.options });
    tap.port.onmessage = ({ data }) => {
      if (this.microphone?.tap !== tap) return;
      for (const answer of listener.push(data.map((value) => Math.min(Math.max(value, -1), 1)))) {
        this.levels = answer.pixels;
        this.tell(answer);
        this.clock(this.model.normalise(this.pixels()));
        this.note(answer);
      }
    };
    context.createMediaStreamSource(stream).connect(tap);
    return { stream, context, tap };
  }

  stop() {
    if (!this.microphone) return;
    const { stream, context } = this.microphone;
    this.microphone = null;
    for (const track of stream.getTracks()) track.stop();
    context.close();
    $("microphone").textContent = "Listen";
  }

  /** Lists what was said with certainty for a while. */
  note({ seconds, label, probability, unknown, className }) {
    const sure = probability >= SURE && !unknown ? label : null;
    this.said = [...this.said, sure].slice(-STEADY - 1);
    const [before, ...last] = this.said.length > STEADY ? this.said : [null, ...this.said];
    if (sure === null || last.length < STEADY || before === sure) return;
    if (last.some((one) => one !== sure)) return;
    const item = element("li", "");
    item.append(element("strong", "", className), element("span", "share", `${seconds.toFixed(1)} s`));
    $("heard").prepend(item);
    while ($("heard").children.length > MOST_HEARD) $("heard").lastChild.remove();
    $("heard-title").hidden = false;
  }

  /** Draws the levels, the lowest band below. */
  pixels() {
    const { frames, bands } = this.sound;
    const image = new ImageData(frames, bands);
    for (let i = 0; i < frames * bands; ++i) {
      const [band, frame] = [Math.floor(i / frames), i % frames];
      const level = this.levels ? this.levels[i] : 0;
      const colour = [1.4 * level - 60, 1.2 * level - 90, 60 + 0.8 * level, 255];
      image.data.set(colour, 4 * ((bands - 1 - band) * frames + frame));
    }
    this.board.getContext("2d").putImageData(image, 0, 0);
    return this.levels;
  }
}

/** The samples of a file: of WAV as in Python, of others as the browser decodes them. */
async function recordingOf(bytes) {
  try {
    return readWav(bytes);
  } catch (error) {
    const context = new OfflineAudioContext(1, 1, DECODED_RATE);
    const decoded = await context.decodeAudioData(bytes).catch(() => {
      throw error;
    });
    const channels = Array.from({ length: decoded.numberOfChannels }, (_, c) =>
      decoded.getChannelData(c),
    );
    const samples = Float64Array.from({ length: decoded.length }, (_, i) => {
      const sum = channels.reduce((total, channel) => total + channel[i], 0);
      return Math.min(Math.max(sum / channels.length, -1), 1);
    });
    return { samples, rate: DECODED_RATE };
  }
}

open(SoundPage);
