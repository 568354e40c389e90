// The page: a board to draw on or to drop a picture on, and what the model says of it.
const SAMPLES = 8;
const MOST_BARS = 10;
const MOST_MEMBERS = 16;
// Of a board's side: the pen of a model for small pictures of strokes.
const PEN = 0.085;
// Larger photos are made smaller when they are read: browsers do not offer larger boards.
const MOST_PIXELS = 16e6;

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

function embedded(id) {
  return Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
}

function show(failure) {
  $("failure").textContent = failure.message;
  $("failure").hidden = false;
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

class Page {
  constructor(model) {
    this.model = model;
    this.picture = null; // ImageData that is looked at
    this.seed = model.noise?.seed;
    this.pen = null; // where it is while it draws
    const { channels, height, width, fit } = model.metadata.preprocess;
    this.draws = channels === 1;
    this.board = $("board");
    this.board.height = Math.round((this.board.width * height) / width);
    this.context = this.board.getContext("2d", { willReadFrequently: true });
    this.board.classList.toggle("drawn", this.draws);
    $("invert-row").hidden = !this.draws;
    const drop = "drop a picture here, or choose one";
    $("hint").textContent = this.draws
      ? `Draw in the black field with mouse, finger or pen; or ${drop}.`
      : `${drop[0].toUpperCase()}${drop.slice(1)}.`;
    const how = { crop: "its middle", pad: "all of it on black" }[fit] ?? "all of it";
    $("seen-size").textContent = `What the network sees: ${how}, ${width}\u00a0×\u00a0${height} pixels`;
    const { arch, test_accuracy: accuracy } = model.metadata;
    const facts = [
      arch && `Architecture ${arch}`,
      plural(model.classes.length, "class", "classes"),
      model.members > 1 && `${model.members} members`,
      accuracy && `${percent(accuracy)} correct on its test images`,
      `sbn-deploy ${model.version}, ${model.kernels} kernels`,
    ];
    $("facts").textContent = facts.filter(Boolean).join(" · ");
    this.listen();
    this.clear();
  }

  listen() {
    $("clear").addEventListener("click", () => this.clear());
    $("invert").addEventListener("change", () => this.look());
    $("again").addEventListener("click", () => {
      this.seed = (this.seed + 1n) % (1n << 63n);
      this.look();
    });
    $("file").addEventListener("change", () => this.read($("file").files[0]));
    for (const name of ["dragover", "dragleave", "drop"]) {
      addEventListener(name, (event) => {
        event.preventDefault();
        $("stage").classList.toggle("over", name === "dragover");
        if (name === "drop") this.read(event.dataTransfer.files[0]);
      });
    }
    if (this.draws) this.listenToPen();
  }

  listenToPen() {
    const at = (event) => {
      const frame = this.board.getBoundingClientRect();
      return [
        ((event.clientX - frame.left) * this.board.width) / frame.width,
        ((event.clientY - frame.top) * this.board.height) / frame.height,
      ];
    };
    this.board.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      if (!this.drawing) this.clear();
      this.drawing = true;
      this.board.setPointerCapture(event.pointerId);
      this.pen = at(event);
      this.stroke(this.pen, this.pen);
    });
    this.board.addEventListener("pointermove", (event) => {
      if (!this.pen) return;
      const next = at(event);
      this.stroke(this.pen, next);
      this.pen = next;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.board.addEventListener(name, () => {
        this.pen = null;
        this.lookSoon();
      });
    }
  }

  stroke(from, to) {
    const pen = this.context;
    pen.strokeStyle = "#fff";
    pen.lineWidth = PEN * this.board.width;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    this.picture = pen.getImageData(0, 0, this.board.width, this.board.height);
    this.lookSoon();
  }

  /** Once a frame, however often the pen moves. */
  lookSoon() {
    this.waiting ??= requestAnimationFrame(() => this.look());
  }

  clear() {
    this.drawing = false;
    this.picture = null;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.board.width, this.board.height);
    $("file").value = "";
    this.look();
  }

  /** Shows a picture file, whose pixels the network gets as they are. */
  async read(file) {
    if (!file) return;
    try {
      const image = await createImageBitmap(file, {
        premultiplyAlpha: "none",
        colorSpaceConversion: "none",
      });
      this.clear();
      const size = image.width * image.height;
      const scale = Math.min(1, Math.sqrt(MOST_PIXELS / size));
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.floor(image.width * scale));
      canvas.height = Math.max(1, Math.floor(image.height * scale));
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      this.picture = context.getImageData(0, 0, canvas.width, canvas.height);
      const { width, height } = this.board;
      const shown = Math.min(width / image.width, height / image.height);
      const [w, h] = [image.width * shown, image.height * shown];
      this.context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
      this.look();
    } catch (error) {
      show(new Error(`${file.name}: is no picture that this browser can read (${error.message})`));
    }
  }

  look() {
    this.waiting = null;
    $("failure").hidden = true;
    try {
      this.answer();
    } catch (error) {
      show(error);
    }
  }

  answer() {
    const { model } = this;
    const picture = this.picture && this.inverted();
    this.see(picture);
    if (!picture) return this.silent();
    const options = model.noise ? { samples: SAMPLES, seed: this.seed } : {};
    const found = model.predict(picture, options);
    this.tell(found);
    this.compare(found);
    const ms = this.time(model.preprocess(picture), options);
    const what = plural(found.rows.length, "network");
    $("time").textContent = `${ms.toFixed(ms < 10 ? 2 : 0)} ms for ${what}, one thread`;
  }

  /** Milliseconds of a run. Clocks of browsers are coarse: several runs are timed together. */
  time(input, options) {
    const most = this.pen ? 1 : 20;
    const begin = performance.now();
    let runs = 0;
    let passed = 0;
    while (runs < most && passed < 30) {
      this.model.run(input, options);
      runs += 1;
      passed = performance.now() - begin;
    }
    return passed / runs;
  }

  inverted() {
    if (!this.draws || !$("invert").checked || this.drawing) return this.picture;
    const { data, width, height } = this.picture;
    return { data: data.map((v, i) => (i % 4 === 3 ? v : 255 - v)), width, height };
  }

  /** What the model is given, as a picture. */
  see(picture) {
    const preprocess = preprocessOf(this.model.metadata.preprocess, fail);
    const { channels, height, width, pixel_max: most } = preprocess;
    const seen = $("seen");
    [seen.width, seen.height] = [width, height];
    if (!picture) return;
    const pixels = fitted(picture, preprocess, fail);
    const colours = new ImageData(width, height);
    for (let i = 0; i < width * height; ++i) {
      for (let c = 0; c < 3; ++c) {
        colours.data[4 * i + c] = (255 * pixels[i * channels + (channels > 1 ? c : 0)]) / most;
      }
      colours.data[4 * i + 3] = 255;
    }
    seen.getContext("2d").putImageData(colours, 0, 0);
  }

  silent() {
    $("label").textContent = "–";
    $("certainty").textContent = "Nothing to look at yet.";
    $("bars").replaceChildren();
    $("row").replaceChildren();
    $("more").hidden = $("seeds").hidden = true;
    $("time").textContent = "";
    this.explain();
  }

  tell(found) {
    const { probabilities, label } = found;
    $("label").textContent = found.unknown ? `Unknown (perhaps ${found.className})` : found.className;
    const calibrated = this.model.metadata.calibration ? "calibrated" : "not calibrated";
    const unknown = found.unknown ? "The picture is unlike those that the model knows. " : "";
    $("certainty").textContent = `${unknown}${percent(found.probability)} certain (${calibrated})`;
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    // A few classes stay in their order, of many the most probable ones are shown.
    const few = order.length <= MOST_BARS;
    const shown = few ? [...probabilities.keys()] : order.slice(0, MOST_BARS);
    const longest = Math.max(...shown.map((k) => this.nameOf(k).length));
    $("bars").style.setProperty("--name", `${Math.min(longest + 1, 16)}ch`);
    $("bars").replaceChildren(
      ...shown.map((k) => {
        const item = element("li", k === label ? "best" : "");
        const bar = element("span", "");
        bar.style.width = `${100 * probabilities[k]}%`;
        const track = element("div", "track");
        track.append(bar);
        const name = element("span", "name", this.nameOf(k));
        name.title = name.textContent;
        item.append(name, track, element("span", "value", percent(probabilities[k])));
        return item;
      }),
    );
    $("more").hidden = few;
    $("more").textContent = `The ${MOST_BARS} most probable of ${order.length} classes.`;
  }

  nameOf(label) {
    return this.model.classes[label] ?? String(label);
  }

  explain() {
    const { model } = this;
    $("samples-title").textContent = model.noise ? "Noisy samples" : "Networks";
    $("samples-text").textContent = model.noise
      ? `The network draws its signs at random: ${SAMPLES} samples may differ.`
      : model.members > 1
        ? `The file has ${model.members} networks, which are averaged.`
        : "This file is a single network without noise, so there is nothing to compare. A file"
          + " exported with --activations stochastic shows here how far its samples agree.";
  }

  /** What each sample says; of a file without noise, each member. */
  compare(found) {
    const { model } = this;
    this.explain();
    const count = model.noise ? SAMPLES : model.members;
    if (count === 1 || found.rows.length === 1) return;
    const each = Array.from({ length: Math.min(count, MOST_MEMBERS) }, (_, s) =>
      mean(model.noise ? found.rows.filter((_, row) => row % SAMPLES === s) : [found.rows[s]]),
    );
    const said = each.map(largest);
    $("row").replaceChildren(
      ...each.map((shares, s) => {
        const item = element("li", said[s] === found.label ? "" : "other");
        const name = element("strong", "", this.nameOf(said[s]));
        name.title = name.textContent;
        item.append(name, element("span", "share", percent(shares[said[s]])));
        return item;
      }),
    );
    const agreeing = said.filter((label) => label === found.label).length;
    const what = model.noise ? "samples" : "networks";
    const bits = (found.mutualInformation / Math.LN2).toFixed(3);
    $("samples-text").textContent =
      `${agreeing} of ${each.length} ${what} say ${found.className}. They differ by ${bits} bits of`
      + " mutual information; 0 is agreement.";
    $("seeds").hidden = !model.noise;
  }
}

Model.load(embedded("model"), { wasm: embedded("wasm") })
  .then((model) => new Page(model))
  .catch((error) => {
    show(new Error(`The model does not run in this browser. ${error.message}`));
    for (const section of document.querySelectorAll("section")) section.hidden = true;
  });
