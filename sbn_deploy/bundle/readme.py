"""The instructions in a bundle: complete programs for one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sbn_runtime import Calibration, ModelError, Preprocess, Session, __version__, conformal

from .fill import check_name, fill
from .targets import Target

CALIBRATION = "calibration.json"
SHOWN_COVERAGE = 0.9


@dataclass(frozen=True)
class Facts:
    """What a program must know of a model to call it.

    Attributes:
        file: name of the model's file.
        input: name of the model's input.
        takes_pixels: the input is uint8 [N, H, W, C]; else float32 [N, C, H, W], normalised.
        image: size and normalisation of its images.
        classes: names of the classes, in the order of the probabilities.
        samples: noise samples of each image; 0 for a model without noise.
        members: of the file.
        calibration: of the file, None where it has none.
    """

    file: str
    input: str
    takes_pixels: bool
    image: Preprocess
    classes: tuple[str, ...]
    samples: int
    members: int = 1
    calibration: Calibration | None = None

    @classmethod
    def of(cls, path: Path, session: Session) -> Facts:
        """Reads them from the model. Raises ModelError where it does not say them."""
        fields, classes = (session.metadata.get(key) for key in ("preprocess", "classes"))
        if not isinstance(fields, dict) or not isinstance(classes, list):
            raise ModelError(
                f"{path}: does not say what its images and classes are; export it with --classes"
                " and --preprocess"
            )
        check_name(path)
        image = Preprocess.from_json(fields)
        takes_pixels = session.inputs[0].dtype == "uint8"
        if takes_pixels and image.order == "bgr":
            raise ModelError(
                f"{path}: takes the pixels of images as blue, green, red; export it without"
                " order=bgr, and its first layer with its channels reversed"
            )
        return cls(
            file=path.name,
            input=session.inputs[0].name,
            takes_pixels=takes_pixels,
            image=image,
            classes=tuple(" ".join(str(name).split()) for name in classes),
            samples=session.metadata["samples"] if session.stochastic else 0,
            members=int(session.metadata.get("members", 1)),
            calibration=session.calibration,
        )


def readme(facts: Facts, target: Target) -> str:
    """README.md of a bundle."""
    return fill("README.md", _values(facts, target), _conditions(facts, target))


def programs(facts: Facts, target: Target) -> dict[str, str]:
    """The programs that README.md explains, by the names of their files."""
    templates = {"Classifier.kt": ("classifier.kt", "pixels.kt"), "classify.c": ("classify.c",)}
    if not target.android:
        templates["Classifier.kt"] = ("classify.kt", *(("photos.kt",) if fits(facts) else ()))
        templates["classify.py"] = ("classify.py.in",)
    if fits(facts):
        templates["image.h"] = ("image.h.in",)
    if camera(facts, target):
        templates |= {"camera.py": ("camera.py.in",), "camera.service": ("camera.service",)}
    conditions = _conditions(facts, target)
    if not conditions["bitmap"] and target.android:
        templates["Classifier.kt"] = ("classifier.kt",)
    values = _values(facts, target)
    return {
        name: "".join(fill(template, values, conditions) for template in parts)
        for name, parts in templates.items()
    }


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
        "java_type": "UINT8" if facts.takes_pixels else "FLOAT",
        "shape": ", ".join(map(str, shape)),
        "height": str(image.height),
        "width": str(image.width),
        "channels": str(image.channels),
        "pixels": " * ".join(map(str, pixels)),
        "size": str(image.height * image.width * image.channels),
        "pixel_max": str(image.pixel_max),
        "fit": image.fit,
        "mean": ", ".join(map(repr, image.mean)),
        "std": ", ".join(map(repr, image.std)),
        "mean_f": ", ".join(f"{value!r}f" for value in image.mean),
        "std_f": ", ".join(f"{value!r}f" for value in image.std),
        "order": " (blue, green, red)" if image.order == "bgr" else "",
        # Which channel of a pixel is channel c of the input.
        "channel": f"{image.channels - 1} - c" if image.order == "bgr" else "c",
        "class_count": str(len(facts.classes)),
        "samples": str(facts.samples),
        "model_path": target.model_folder + facts.file,
        "library_path": target.library_folder + "libsbn.so",
        "classes_path": target.model_folder + "classes.txt",
        "calibration_path": target.model_folder + CALIBRATION,
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
        "android": target.android,
        "linux": not target.android,
        "pixels": facts.takes_pixels,
        "floats": not facts.takes_pixels,
        "reversed": image.order == "bgr",
        "noise": facts.samples > 0,
        "grey": image.channels == 1,
        "colour": image.channels == 3,
        "calibrated": facts.calibration is not None,
        "uncalibrated": facts.calibration is None,
        "bitmap": image.channels in (1, 3),
        "fits": fits(facts),
        "sized": not fits(facts),
        "camera": camera(facts, target),
    }


def camera(facts: Facts, target: Target) -> bool:
    """Whether there is a program for the camera of a Raspberry Pi."""
    return fits(facts) and target.name == "linux-arm64"


def fits(facts: Facts) -> bool:
    """Whether the programs bring images of any size to the model's."""
    return bool(facts.image.fit) and facts.image.channels in (1, 3)
