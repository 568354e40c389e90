"""Images in the programs of a bundle, in C and in Kotlin: the bytes of `Preprocess.fitted`."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sbn_deploy.bundle import TARGETS, bundle_model
from sbn_deploy.bundle.fill import fill
from sbn_deploy.commands.images import read_input
from sbn_runtime import Preprocess, Session
from sbn_runtime.decode import decode
from sbn_runtime.fit import FITS
from sbn_runtime.raster import CHANNELS, Raster

from ..small_models import write_pixel_classifier
from .native import HERE, STRICT, need, onnxruntime_library, run, try_run

C_MAIN = r"""
#include "image.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  FILE* file = fopen(argv[argc - 1], "rb");
  int32_t head[8];
  while (file && fread(head, sizeof head, 1, file) == 1) {
    void* pixels = malloc((size_t)head[6]);
    uint8_t* palette = malloc(1024);
    if (fread(pixels, 1, (size_t)head[6], file) != (size_t)head[6]) return 1;
    if (fread(palette, 1, 1024, file) != 1024) return 1;
    const struct image image = {
        head[2] == 8 ? pixels : NULL, head[2] == 16 ? pixels : NULL, head[0], head[1],
        (enum image_mode)head[3], palette, head[4], head[5], head[7]};
    uint8_t bytes[IMAGE_HEIGHT * IMAGE_WIDTH * IMAGE_CHANNELS];
    image_to_bytes(&image, bytes);
    fwrite(bytes, 1, sizeof bytes, stdout);
    free(pixels);
    free(palette);
  }
  return 0;
}
"""
KOTLIN_MAIN = """
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

fun main(arguments: Array<String>) {
    val file = ByteBuffer.wrap(File(arguments[0]).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    while (file.hasRemaining()) {
        val head = IntArray(8) { file.getInt() }
        val numbers = IntArray(head[6] * 8 / head[2]) {
            if (head[2] == 8) file.get().toInt() and 255 else file.getShort().toInt() and 65535
        }
        val palette = IntArray(1024) { file.get().toInt() and 255 }
        val used = palette.copyOf(head[4] * head[5])
        val mode = Image.Mode.values()[head[3]]
        val image = Image(head[0], head[1], mode, numbers, head[2], used, head[5], head[7])
        System.out.write(image.bytes())
    }
    System.out.flush()
}
"""
KOTLIN_FILES = """
import java.io.File
import javax.imageio.ImageIO

fun main(arguments: Array<String>) {
    for (file in arguments) System.out.write(pixelsOf(ImageIO.read(File(file))))
    System.out.flush()
}
"""
MODES = tuple(CHANNELS)


def rasters() -> Iterator[Raster]:
    """Of every mode, depth, orientation, and of sizes above and below the model's."""
    rng = np.random.default_rng(0)
    for index, (mode, dtype) in enumerate(product(CHANNELS, (np.uint8, np.uint16))):
        for orientation in (0, *range(index % 2 + 1, 9, 2)):
            rows, columns = rng.integers(1, 24, 2)
            shape = (rows, columns, CHANNELS[mode])[: 2 + (CHANNELS[mode] > 1)]
            most = 30 if mode == "palette" else np.iinfo(dtype).max + 1
            pixels = rng.integers(0, most, shape).astype(dtype)
            palette = None
            if mode == "palette":
                palette = rng.integers(0, 256, (rng.integers(0, 31), 3 + index % 2), dtype=np.uint8)
            yield Raster(pixels, mode, palette, orientation)


def written(folder: Path) -> Path:
    """The rasters as the test programs read them."""
    path = folder / "rasters"
    with path.open("wb") as file:
        for raster in rasters():
            rows, columns = raster.pixels.shape[:2]
            palette = np.zeros((0, 3), np.uint8) if raster.palette is None else raster.palette
            head = (
                *(columns, rows, 8 * raster.pixels.itemsize, MODES.index(raster.mode)),
                *(palette.shape[0], palette.shape[1], raster.pixels.nbytes, raster.orientation),
            )
            file.write(np.array(head, "<i4").tobytes() + raster.pixels.tobytes())
            file.write(palette.tobytes().ljust(1024, b"\0"))
    return path


VARIANTS = [
    Preprocess(channels, height, width, most, (0.5,) * channels, (0.5,) * channels, fit=fit)
    for channels, fit, (height, width, most) in (
        *((3, fit, (9, 6, 255)) for fit in FITS),
        (1, "crop", (6, 9, 16)),
    )
]


def program(template: str, preprocess: Preprocess) -> str:
    names = ("channels", "height", "width", "pixel_max", "fit")
    return fill(template, {name: str(getattr(preprocess, name)) for name in names}, {})


def check(said: bytes, preprocess: Preprocess) -> None:
    wanted = np.stack([preprocess.fitted(raster) for raster in rasters()])
    assert np.array_equal(np.frombuffer(said, np.uint8).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("preprocess", VARIANTS, ids=str)
def test_c(preprocess: Preprocess, tmp_path: Path) -> None:
    need("cc")
    (tmp_path / "image.h").write_text(program("image.h.in", preprocess))
    (tmp_path / "main.c").write_text(C_MAIN)
    run("cc", *STRICT, "main.c", "-o", "main", cwd=tmp_path)
    done = subprocess.run([tmp_path / "main", written(tmp_path)], capture_output=True, check=True)
    check(done.stdout, preprocess)


def test_the_c_program_of_a_bundle_answers_as_predict(tmp_path: Path) -> None:
    need("cc")
    preprocess = Preprocess(3, 4, 4, 255, (0.5,) * 3, (0.5,) * 3, fit="crop")
    model = write_pixel_classifier(tmp_path / "m.onnx", 3, preprocess=preprocess.to_json())
    bundle_model(model, [TARGETS["linux-x86_64"]], tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "m" / "linux-x86_64"
    onnxruntime_library(Path(onnxruntime.__file__).parent / "capi", folder)
    link = ("-L", ".", "-lonnxruntime", f"-Wl,-rpath,{folder}", "-o", "classify")
    run("cc", *STRICT, "classify.c", "-I", HERE / "include", *link, cwd=folder)
    session = Session(model, threads=1)
    rng = np.random.default_rng(0)
    for name, shape in (("photo.ppm", (31, 17, 3)), ("grey.pgm", (5, 90)), ("raw", (4, 4, 3))):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        if name == "raw":
            (folder / name).write_bytes(pixels.tobytes())
            x = pixels[np.newaxis]
        else:
            Image.fromarray(pixels).save(folder / name)
            x = read_input(folder / name, session)
        (probabilities,) = session.predict_proba(x)
        wanted = f"class {probabilities.argmax()}, probability {probabilities.max():.6f}\n"
        assert run("./classify", name, cwd=folder) == wanted
    (folder / "short.ppm").write_bytes(b"P6 9 9 255\n")
    assert (
        "usage: classify FILE, a binary PPM"
        in try_run("./classify", "short.ppm", cwd=folder).stderr
    )


@pytest.mark.long
def test_kotlin(tmp_path: Path) -> None:
    need("java", "kotlinc")
    file = written(tmp_path)
    for preprocess in VARIANTS:
        (tmp_path / "Image.kt").write_text(program("image.kt", preprocess))
        (tmp_path / "Main.kt").write_text(KOTLIN_MAIN)
        check(kotlin(tmp_path, file), preprocess)


@pytest.mark.long
def test_kotlin_reads_files(tmp_path: Path) -> None:
    """As the program for Linux does, with Java's own readers of images."""
    need("java", "kotlinc")
    (preprocess,) = (variant for variant in VARIANTS if variant.fit == "pad")
    (tmp_path / "Image.kt").write_text(program("photos.kt", preprocess))
    (tmp_path / "Main.kt").write_text(KOTLIN_FILES)
    wanted, files, modes = b"", [], set()
    for index, raster in enumerate(rasters()):
        path = tmp_path / f"{index}.png"
        if (image := png(raster)) is not None:
            image.save(path)
            files.append(path)
            modes.add(image.mode)
            wanted += preprocess.fitted(decode(path)).tobytes()
    assert modes == {"L", "LA", "P", "RGB", "RGBA", "I;16"}
    assert kotlin(tmp_path, *files) == wanted


def png(raster: Raster) -> Image.Image | None:
    """The image as Pillow writes it, None where it cannot."""
    modes = {"grey": "L", "grey+alpha": "LA", "palette": "P", "rgb": "RGB", "rgba": "RGBA"}
    deep = raster.pixels.dtype == np.uint16
    if raster.mode not in modes or (deep and raster.mode != "grey"):
        return None
    if deep:
        return Image.fromarray(raster.pixels)
    image = Image.fromarray(raster.pixels, modes[raster.mode])
    if raster.palette is not None:
        if not len(raster.palette):
            return None
        image.putpalette(
            raster.palette.tobytes(), "RGBA" if raster.palette.shape[1] == 4 else "RGB"
        )
    return image


def kotlin(folder: Path, *files: Path) -> bytes:
    """What the program of Image.kt and Main.kt writes of these files."""
    made = folder / "made.jar"
    made.unlink(missing_ok=True)
    run("kotlinc", "Image.kt", "Main.kt", "-include-runtime", "-d", made, cwd=folder)
    return subprocess.run(["java", "-jar", made, *files], capture_output=True, check=True).stdout
