"""The page of `sbn bundle --target web`, opened as a file in headless Chromium."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sbn_deploy.bundle import TARGETS, bundle_model
from sbn_runtime import ModelError, Preprocess, Session
from sbn_runtime.raster import Raster

from ..built import ROOT
from ..command import sbn
from ..native.test_answers import FORMS
from ..once import once
from ..small_models import CLASSES, PREPROCESS, Classifier, write_pixel_classifier
from .browser import Browser, browser, needs_chromium
from .node import WASM, needs_wasm

pytestmark = [needs_wasm, needs_chromium]
PHONE, DESKTOP = 390, 1280
# A seven, in shares of the board.
SEVEN = [(0.25, 0.2), (0.5, 0.19), (0.75, 0.2), (0.62, 0.42), (0.5, 0.65), (0.42, 0.88)]


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture(scope="session")
def bundles(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked bundles of the network for digits in each form, and of one for colour pictures."""

    def make(folder: Path) -> None:
        models = {name: shutil.copy(digits / f"{name}.onnx", folder) for name in FORMS}
        described = Preprocess(3, 4, 4, 255, (0.5,) * 3, (0.5,) * 3, fit="crop").to_json()
        models["colour"] = write_pixel_classifier(folder / "colour.onnx", 3, preprocess=described)
        for name, model in models.items():
            bundle_model(Path(model), [TARGETS["web"]], folder / f"{name}.zip")
            with zipfile.ZipFile(folder / f"{name}.zip") as archive:
                archive.extractall(folder)

    return once(tmp_path_factory, "web-bundles", make)


def show(tab: Browser, bundles: Path, name: str, width: int = DESKTOP, dark: bool = False) -> None:
    tab.open((bundles / name / "web/index.html").as_uri(), width=width, dark=dark)
    tab.wait("document.getElementById('facts')?.textContent")


def draw(tab: Browser) -> NDArray[np.uint8]:
    """Draws a seven, and returns the board, RGBA."""
    frame = tab.evaluate("document.getElementById('board').getBoundingClientRect().toJSON()")
    tab.drag(
        [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in SEVEN]
    )
    tab.wait("document.getElementById('bars').children.length")
    # Until the last stroke was looked at.
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    said = tab.evaluate(
        """(() => {
          const board = document.getElementById("board");
          const { data, width, height } =
            board.getContext("2d").getImageData(0, 0, board.width, board.height);
          return { data: btoa(data.reduce((text, v) => text + String.fromCharCode(v), "")),
                   width, height };
        })()"""
    )
    pixels = np.frombuffer(base64.b64decode(said["data"]), np.uint8)
    return pixels.reshape(said["height"], said["width"], 4)


def drop(tab: Browser, picture: NDArray[np.uint8], name: str = "picture.png") -> None:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    tab.evaluate(
        f"""(() => {{
          const bytes = Uint8Array.from(atob("{data}"), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], {json.dumps(name)}, {{ type: "image/png" }}));
          document.getElementById("stage").dispatchEvent(
            new DragEvent("drop", {{ dataTransfer, bubbles: true, cancelable: true }}));
        }})()"""
    )
    tab.wait("document.getElementById('bars').children.length")


def shown(tab: Browser) -> dict[str, Any]:
    found: dict[str, Any] = tab.evaluate(
        """(() => {
          const text = (selector) => [...document.querySelectorAll(selector)]
            .map((element) => element.textContent);
          return {
            label: text("#label")[0],
            certainty: text("#certainty")[0],
            bars: text("#bars .value"),
            names: text("#bars .name"),
            samples: text("#row strong"),
            shares: text("#row .share"),
            said: text("#samples-text")[0],
            time: text("#time")[0],
            failure: document.getElementById("failure").hidden ? "" : text("#failure")[0],
            wide: document.scrollingElement.scrollWidth,
          };
        })()"""
    )
    return found


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def same_answer(page: dict[str, Any], model: Path, pixels: NDArray[np.uint8]) -> None:
    """The page says what Python says of the same picture."""
    session = Session(model, threads=1)
    described = Preprocess.from_json(session.metadata["preprocess"])
    x = session.preprocess(described.fitted(Raster.of_array(pixels))[np.newaxis])
    draw = {"samples": 8, "seed": session.metadata["noise_seed"]} if session.stochastic else {}
    wanted: Any = session.predict(x, return_uncertainty=True, **draw)
    classes = [str(name) for name in session.metadata["classes"]]
    assert page["failure"] == ""
    assert page["label"] == classes[wanted.label[0]]
    assert page["names"] == classes
    for bar, probability in zip(page["bars"], wanted.probabilities[0], strict=True):
        assert float(bar.split()[0]) == pytest.approx(100 * probability, abs=0.051)
    assert page["time"].endswith("one thread")
    outputs = session.run(x, **draw)
    if "member_logits" not in outputs:
        assert page["samples"] == []
        assert "single network" in page["said"]
        return
    logits = outputs["member_logits"].astype(np.float64)
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    # All samples of member 0 come first.
    each = shares.reshape(-1, 8, len(classes)).mean(axis=0) if draw else shares[:, 0]
    assert page["samples"] == [classes[row.argmax()] for row in each]
    agreeing = int((each.argmax(axis=1) == wanted.label[0]).sum())
    assert f"{agreeing} of {len(each)} " in page["said"]


@pytest.mark.parametrize(
    ("form", "width", "dark"),
    [("noise", PHONE, False), ("threshold", PHONE, True), ("ensemble", DESKTOP, False),
     ("noise", DESKTOP, True)],
)  # fmt: skip
def test_a_digit_is_drawn(
    tab: Browser, bundles: Path, form: str, width: int, dark: bool, tmp_path: Path
) -> None:
    show(tab, bundles, form, width, dark)
    before = shown(tab)
    assert (before["label"], before["bars"], before["failure"]) == ("–", [], "")
    pixels = draw(tab)
    assert pixels[..., :3].max() == 255
    page = shown(tab)
    same_answer(page, bundles / f"{form}.onnx", pixels)
    assert page["wide"] == width
    assert tab.complaints == []
    # Nothing is asked for but the page itself, and pictures that stand in it.
    assert [url for url in tab.requests if not url.startswith("data:")] == [
        (bundles / form / "web/index.html").as_uri()
    ]
    picture = tmp_path / "page.png"
    tab.screenshot(picture)
    with Image.open(picture) as image:
        corner = image.convert("L").getpixel((2, 2))
    assert isinstance(corner, int)
    assert corner < 40 if dark else corner > 230
    tab.evaluate("document.getElementById('clear').click()")
    assert shown(tab)["label"] == "–"


def test_a_picture_is_dropped(tab: Browser, bundles: Path) -> None:
    show(tab, bundles, "colour", PHONE)
    rng = np.random.default_rng(0)
    for size in ((37, 50), (4, 4)):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        drop(tab, pixels)
        same_answer(shown(tab), bundles / "colour.onnx", pixels)
        tab.evaluate("document.getElementById('clear').click()")
    assert tab.complaints == []


def test_ink_on_paper(tab: Browser, bundles: Path) -> None:
    """A digit of the data set as a dark one on white, with and without the box ticked."""
    from sklearn.datasets import load_digits

    pixels = (load_digits().images[3] * 255 / 16).round().astype(np.uint8)
    show(tab, bundles, "threshold")
    drop(tab, 255 - pixels)
    same_answer(shown(tab), bundles / "threshold.onnx", 255 - pixels)
    tab.evaluate("document.getElementById('invert').click()")
    same_answer(shown(tab), bundles / "threshold.onnx", pixels)


def test_other_samples(tab: Browser, bundles: Path) -> None:
    show(tab, bundles, "noise")
    draw(tab)
    first = shown(tab)
    tab.evaluate("document.getElementById('again').click()")
    second = shown(tab)
    assert len(second["samples"]) == 8
    assert second["shares"] != first["shares"]


def test_a_file_that_is_no_picture(tab: Browser, bundles: Path, tmp_path: Path) -> None:
    show(tab, bundles, "threshold")
    tab.evaluate(
        """(() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["text"], "notes.txt"));
          dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
        })()"""
    )
    tab.wait("!document.getElementById('failure').hidden")
    assert shown(tab)["failure"].startswith("notes.txt: is no picture that this browser can read")


def test_a_model_that_does_not_run(tab: Browser, bundles: Path, tmp_path: Path) -> None:
    text = (bundles / "threshold/web/index.html").read_text(encoding="utf-8")
    model = base64.b64encode((bundles / "threshold.onnx").read_bytes()).decode()
    assert text.count(model) == 1
    page = tmp_path / "page.html"
    page.write_text(text.replace(model, "AAAA"), encoding="utf-8")
    tab.open(page.as_uri(), width=PHONE)
    tab.wait("document.getElementById('failure')?.textContent")
    assert shown(tab)["failure"].startswith("The model does not run in this browser. ")
    assert tab.evaluate("[...document.querySelectorAll('section')].every((e) => !e.offsetWidth)")


def test_every_control_has_a_name_and_can_be_reached(tab: Browser, bundles: Path) -> None:
    show(tab, bundles, "noise", PHONE)
    draw(tab)
    tree = tab.send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "checkbox", "img", "image")
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if node.get("role", {}).get("value") in roles and not node["ignored"]
    }
    assert all(name for _, name in named)
    assert {name for role, name in named if role == "button"} == {
        "Choose a picture", "Clear", "Draw other samples",
    }  # fmt: skip
    reached = tab.evaluate(
        """[...document.querySelectorAll("button, input")]
          .filter((e) => e.offsetParent && e.tabIndex === 0).map((e) => e.id)"""
    )
    assert reached == ["file", "clear", "invert", "again"]


def test_a_page_of_ones_own(tab: Browser, bundles: Path, tmp_path: Path) -> None:
    """What README.md shows, on a server, which modules and models are fetched from."""
    folder = tmp_path / "site"
    shutil.copytree(bundles / "colour/web", folder)
    (code,) = re.findall(
        r"^```html\n<script type=.module.>\n(.*?)^</script>\n```$",
        (folder / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    (folder / "own.html").write_text(
        f"""<!doctype html><link rel="icon" href="data:,">
        <canvas width="20" height="30"></canvas><script type="module">
        const canvas = document.querySelector("canvas");
        const context = canvas.getContext("2d");
        context.fillStyle = "#84c";
        context.fillRect(0, 0, 20, 20);
        {code}
        document.body.dataset.label = className;
        try {{
          await Model.load("none.onnx");
        }} catch (error) {{
          document.body.dataset.error = error.message;
        }}
        </script>""",
        encoding="utf-8",
    )
    with served(folder) as address:
        tab.open(f"{address}/own.html", width=DESKTOP)
        tab.wait("document.body?.dataset.error")
        label, error = tab.evaluate("[document.body.dataset.label, document.body.dataset.error]")
    pixels = np.zeros((30, 20, 4), np.uint8)
    pixels[:20] = [0x88, 0x44, 0xCC, 255]
    session = Session(bundles / "colour.onnx", threads=1)
    described = Preprocess.from_json(session.metadata["preprocess"])
    x = session.preprocess(described.fitted(Raster.of_array(pixels))[np.newaxis])
    assert label == session.metadata["classes"][session.predict(x)[0]]
    assert error == f"{address}/none.onnx: cannot be read: 404 File not found"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a folder."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"task": "multilabel"},
            r"its task is multilabel, and the page .* shows .* docs/web\.md has",
        ),
        ({"preprocess": PREPROCESS | {"sound": {}}}, "description of the sound is damaged"),
        (
            {"preprocess": PREPROCESS | {"channels": 2, "mean": [0.5] * 2, "std": [0.5] * 2}},
            "input",
        ),
        ({"preprocess": {"shape": [16], "mean": [0.0] * 16, "std": [1.0] * 16}}, "takes numbers"),
    ],
)
def test_models_that_no_page_shows(metadata: dict[str, Any], message: str, tmp_path: Path) -> None:
    said = {"classes": CLASSES, "preprocess": PREPROCESS} | metadata
    model = Classifier.random().write(tmp_path / "model.onnx", metadata=said)
    with pytest.raises(ModelError, match=message):
        bundle_model(model, [TARGETS["web"]], tmp_path / "web.zip")
    assert not (tmp_path / "web.zip").exists()


def test_the_command_writes_the_same(bundles: Path, tmp_path: Path) -> None:
    written = tmp_path / "web.zip"
    done = sbn("bundle", bundles / "noise.onnx", "--target", "web", "-o", written, "--json")
    assert done.json["library_bytes"] == {"web": WASM.stat().st_size}
    assert written.read_bytes() == (bundles / "noise.zip").read_bytes()


def test_the_package_in_the_bundle(bundles: Path) -> None:
    folder = bundles / "noise/web"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md", "SHA256SUMS", "PACKAGE.md", "index.html", "noise.onnx", "package.json",
        "sbn.js", "answer.js", "error.js", "listen.js", "picture.js", "sound.js", "sbn.d.ts",
        "sbn.wasm",
    }  # fmt: skip
    package = json.loads((folder / "package.json").read_text())
    assert package["version"] != "0.0.0"
    for name in package["files"]:
        assert name == "README.md" or (folder / name).is_file()
    for name in ("README.md", "index.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "{{" not in text
        assert str(ROOT) not in text
