// A board to draw on or to drop a picture on, and what the model says of it.
// Of a board's side: the pen of a model for small pictures of strokes.
const PEN = 0.085;
// Larger photos are made smaller when they are read: browsers do not offer larger boards.
const MOST_PIXELS = 16e6;

class PicturePage extends Page {
  constructor(model) {
    super(model, "picture");
    this.nothing = "Nothing to look at yet.";
    this.picture = null; // ImageData that is looked at
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
    $("invert").addEventListener("change", () => this.look());
    if (this.draws) this.listenToPen();
    this.clear();
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
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.look();
    });
  }

  get hurried() {
    return this.pen !== null;
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
  }

  inverted() {
    if (!this.draws || !$("invert").checked || this.drawing) return this.picture;
    const { data, width, height } = this.picture;
    return { data: data.map((v, i) => (i % 4 === 3 ? v : 255 - v)), width, height };
  }

  /** What the model is given, shown as a picture; null where there is none. */
  pixels() {
    const { channels, height, width, pixel_max: most } = this.model.metadata.preprocess;
    const seen = $("seen");
    [seen.width, seen.height] = [width, height];
    if (!this.picture) return null;
    const pixels = this.model.pixels(this.inverted());
    const colours = new ImageData(width, height);
    for (let i = 0; i < width * height; ++i) {
      for (let c = 0; c < 3; ++c) {
        colours.data[4 * i + c] = (255 * pixels[i * channels + (channels > 1 ? c : 0)]) / most;
      }
      colours.data[4 * i + 3] = 255;
    }
    seen.getContext("2d").putImageData(colours, 0, 0);
    return pixels;
  }
}

open(PicturePage);
