// What a page of pictures and one of sounds share: the model's answer, and how certain it is.
const SAMPLES = 8;
const MOST_BARS = 10;
const MOST_MEMBERS = 16;

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
  /** @param what it shows: "picture" or "sound". */
  constructor(model, what) {
    this.model = model;
    this.what = what;
    this.seed = model.noise?.seed;
    const { arch, test_accuracy: accuracy } = model.metadata;
    const facts = [
      arch && `Architecture ${arch}`,
      plural(model.classes.length, "class", "classes"),
      model.members > 1 && `${model.members} members`,
      accuracy && `${percent(accuracy)} correct on its test ${what}s`,
      `sbn-deploy ${model.version}, ${model.kernels} kernels`,
    ];
    $("facts").textContent = facts.filter(Boolean).join(" · ");
    $("clear").addEventListener("click", () => this.clear());
    $("again").addEventListener("click", () => {
      this.seed = (this.seed + 1n) % (1n << 63n);
      this.look();
    });
    $("file").addEventListener("change", () => this.take($("file").files[0]));
    for (const name of ["dragover", "dragleave", "drop"]) {
      addEventListener(name, (event) => {
        event.preventDefault();
        $("stage").classList.toggle("over", name === "dragover");
        if (name === "drop") this.take(event.dataTransfer.files[0]);
      });
    }
  }

  /** Shows a file. */
  async take(file) {
    if (!file) return;
    try {
      await this.read(file);
    } catch (error) {
      show(new Error(`${file.name}: is no ${this.what} that this browser can read (${error.message})`));
    }
  }

  look() {
    $("failure").hidden = true;
    try {
      const pixels = this.pixels();
      if (pixels) this.answer(pixels);
      else this.silent();
    } catch (error) {
      show(error);
    }
  }

  get options() {
    return this.model.noise ? { samples: SAMPLES, seed: this.seed } : {};
  }

  answer(pixels) {
    const input = this.model.normalise(pixels);
    this.tell(this.model.classify(input, this.options));
    this.clock(input);
  }

  /** Shows how long a run takes. Clocks of browsers are coarse: several are timed together. */
  clock(input) {
    const most = this.hurried ? 1 : 20;
    const begin = performance.now();
    let runs = 0;
    let passed = 0;
    while (runs < most && passed < 30) {
      this.model.run(input, this.options);
      runs += 1;
      passed = performance.now() - begin;
    }
    const ms = passed / runs;
    const networks = (this.model.noise ? SAMPLES : 1) * this.model.members;
    const what = plural(networks, "network");
    $("time").textContent = `${ms.toFixed(ms < 10 ? 2 : 0)} ms for ${what}, one thread`;
  }

  silent() {
    $("label").textContent = "–";
    $("certainty").textContent = this.nothing;
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
    const unknown = found.unknown ? `The ${this.what} is unlike those that the model knows. ` : "";
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
    this.compare(found);
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

/** Opens a page of the model, or says why there is none. */
function open(kind) {
  Model.load(embedded("model"), { wasm: embedded("wasm") })
    .then((model) => new kind(model))
    .catch((error) => {
      show(new Error(`The model does not run in this browser. ${error.message}`));
      for (const section of document.querySelectorAll("section")) section.hidden = true;
    });
}
