"""The instructions in a bundle: complete programs for one model."""

from __future__ import annotations

from pathlib import Path

from sbn_runtime import __version__, conformal

from .facts import Facts
from .fill import fill
from .targets import Target

SHOWN_COVERAGE = 0.9


def readme(facts: Facts, target: Target, library: str, lacks: str) -> str:
    """README.md of a bundle.

    Args:
        library: the name of the native runtime.
        lacks: why that cannot run the model; "" where it can.
    """
    values = _values(facts, target) | {"runtime": library, "lacks": lacks}
    own = {"c": not lacks, "c_fits": facts.fits and not lacks, "no_c": bool(lacks)}
    return fill("README.md", values, _conditions(facts, target) | own)


def programs(facts: Facts, target: Target) -> dict[str, str]:
    """The programs that README.md explains, but for those in C, by the names of their files."""
    templates = {"classify.py": "classify.py.in"}
    if camera(facts, target):
        templates |= {"camera.py": "camera.py.in", "camera.service": "camera.service"}
    values, conditions = _values(facts, target), _conditions(facts, target)
    return {name: fill(template, values, conditions) for name, template in templates.items()}


def _values(facts: Facts, target: Target) -> dict[str, str]:
    image = facts.image
    pixels = (image.height, image.width, image.channels)
    shape = pixels if facts.takes_pixels else (image.channels, image.height, image.width)
    return {
        "version": __version__,
        "target": target.name,
        "file": facts.file,
        "stem": Path(facts.file).stem,
        "input": facts.input,
        "shape": ", ".join(map(str, shape)),
        "height": str(image.height),
        "width": str(image.width),
        "channels": str(image.channels),
        "size": str(image.height * image.width * image.channels),
        "pixel_max": str(image.pixel_max),
        "mean": ", ".join(map(repr, image.mean)),
        "std": ", ".join(map(repr, image.std)),
        "order": " (blue, green, red)" if image.order == "bgr" else "",
        "class_count": str(len(facts.classes)),
        "samples": str(facts.samples),
        **_calibration_values(facts),
    }


def _calibration_values(facts: Facts) -> dict[str, str]:
    """What a calibrated file says for as many networks as it averages by default."""
    known = facts.calibration
    if known is None:
        return {}
    networks = facts.members * max(facts.samples, 1)
    coverage = known.levels[-1] if SHOWN_COVERAGE not in known.levels else SHOWN_COVERAGE
    limit = known.at(known.quantiles[conformal.LAC], networks)[known.level(coverage)]
    return {
        "networks": f"{networks} network{'s' if networks > 1 else ''}",
        "temperature": repr(float(known.at(known.temperatures, networks))),
        "offsets": ", ".join(map(repr, known.offsets.tolist())),
        "calibration_images": f"{known.images:,}",
        "calibration_data": known.data,
        "coverage": f"{coverage:g}",
        "least_probability": repr(1 - float(limit)),
    }


def _conditions(facts: Facts, target: Target) -> dict[str, bool]:
    image = facts.image
    return {
        "pixels": facts.takes_pixels,
        "floats": not facts.takes_pixels,
        "reversed": image.order == "bgr",
        "noise": facts.samples > 0,
        "colour": image.channels == 3,
        "calibrated": facts.calibration is not None,
        "fits": facts.fits,
        "camera": camera(facts, target),
    }


def camera(facts: Facts, target: Target) -> bool:
    """Whether there is a program for the camera of a Raspberry Pi."""
    return facts.fits and target.name == "linux-arm64"
