"""A classifier in a file: an exported model, or any that onnxruntime can run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import Stream
from sbn_deploy.data.form import size_text
from sbn_deploy.data.stream import Unreadable
from sbn_deploy.engines.table import ONNXRUNTIME
from sbn_runtime import InputError, ModelError, Preprocess, Session, sampling
from sbn_runtime.calibration import Calibration
from sbn_runtime.engines import find
from sbn_runtime.modelfile import DOMAIN, METADATA_KEY, imported_domains
from sbn_runtime.raster import Raster
from sbn_runtime.uncertainty import softmax

if TYPE_CHECKING:
    import onnxruntime

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
OUTPUTS = ("probabilities", "logits")


@dataclass(frozen=True)
class Classifier:
    """A loaded model that classifies images.

    Attributes:
        path: its file.
        engine: what runs it.
        metadata: what the file says of it.
        preprocess: what images it takes.
        batch: how many at once; None for any number.
        compute: images uint8 [N, H, W, C] to probabilities [N, K].
        samples: noise samples averaged for each answer, 1 without noise.
        seed: of the noise, None without.
        calibration: by which the probabilities are calibrated; None where they are not.
        networks: how many are averaged for each answer.
    """

    path: Path
    engine: str
    metadata: Mapping[str, Any]
    preprocess: Preprocess
    batch: int | None
    compute: Callable[[Images], Probabilities]
    samples: int = 1
    seed: int | None = None
    calibration: Calibration | None = None
    networks: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        return self.preprocess.height, self.preprocess.width, self.preprocess.channels

    def classes(self) -> int:
        """How many classes it tells apart. Raises what `probabilities` raises."""
        return int(self.probabilities(np.zeros((1, *self.shape), np.uint8)).shape[1])

    def probabilities(self, images: Images) -> Probabilities:
        """Probabilities, float32 [N, K], of images uint8 [N, H, W, C].

        Raises:
            InputError: a pixel is above the model's largest.
            ModelError: the model failed, or does not give numbers [N, K].
        """
        count = len(images)
        step = self.batch or count
        parts = []
        for start in range(0, count, step):
            part = images[start : start + step]
            missing = step - len(part)  # only a model with a fixed batch size needs padding
            parts.append(self.compute(np.pad(part, ((0, missing), *[(0, 0)] * 3)))[: len(part)])
        found: Probabilities = np.concatenate(parts).astype(np.float32, copy=False)
        if found.ndim != 2 or len(found) != count:
            raise ModelError(
                f"{self.path}: answers {count} images with {list(found.shape)} numbers"
            )
        if not np.isfinite(found).all():
            raise ModelError(f"{self.path}: gives NaN probabilities")
        return found


def load_classifier(
    path: Path,
    data: Stream,
    *,
    engine: str | None = None,
    threads: int | None = None,
    samples: int | None = None,
    seed: int | None = None,
) -> Classifier:
    """Loads a model to classify `data` with.

    A file with sbn operators says itself how images are normalised. Another one needs the
    input `input`, float32 [N, C, H, W], and an output `probabilities` or `logits`; unless
    it says otherwise it gets the images as training on `data` would. Such a file runs in
    onnxruntime; `engine` and `threads` are as of `Session`.

    Raises:
        InputError: the images of `data` are of another size than the model's; `samples` or
            `seed` is out of range, or given to a model without noise; the engine cannot run it.
        ModelError: the file cannot be used.
    """
    if DOMAIN in imported_domains(path):
        model = _exported(path, engine, threads, samples, seed)
    else:
        if engine not in (None, ONNXRUNTIME):
            raise InputError(
                f"{path}: has no sbn operators; engine {ONNXRUNTIME} runs it, not {engine}"
            )
        for name, value in ((sampling.SAMPLES, samples), (sampling.SEED, seed)):
            if value is not None:
                raise InputError(f"{name} does not apply: {path} has no noise")
        model = _stock(path, data, threads)
    fits = model.preprocess.fit or data.shape is None or data.shape == model.shape
    if not fits and data.shape is not None:
        raise InputError(
            f"{data.name} has images of {_size(data.shape)}, but {path} takes"
            f" {_size(model.shape)}; give it images of that size"
        )
    return model


def _exported(
    path: Path, engine: str | None, threads: int | None, samples: int | None, seed: int | None
) -> Classifier:
    session = Session(path, engine=engine, threads=threads)
    fields = session.metadata.get("preprocess")
    if not isinstance(fields, dict):
        raise ModelError(
            f"{path}: does not record how images are normalised; export it with --preprocess"
        )

    def compute(images: Images) -> Probabilities:
        return session.predict_proba(session.preprocess(images), samples=samples, seed=seed)

    default = sampling.defaults(session.metadata) if session.stochastic else None
    drawn = default.samples if default and samples is None else samples or 1
    return Classifier(
        path,
        session.engine,
        session.metadata,
        Preprocess.from_json(fields),
        _fixed(session.inputs[0].shape[0]),
        compute,
        samples=drawn,
        seed=default.seed if default and seed is None else seed,
        calibration=session.calibration,
        networks=int(session.metadata.get("members", 1)) * drawn,
    )


def _stock(path: Path, data: Stream, threads: int | None) -> Classifier:
    find(ONNXRUNTIME)
    from sbn_deploy.engines.onnx import stock_engine

    session = stock_engine(path, threads=threads).session
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    taken = inputs.get("input")
    output = next((name for name in OUTPUTS if name in outputs), None)
    # The shape of an output of unknown rank is empty.
    fits = output is not None and len(outputs[output].shape) in (0, 2)
    if not fits or taken is None or len(inputs) > 1 or not _is_image(taken):
        raise ModelError(
            f"{path}: not a classifier of images: it needs one input named input, float32"
            f" [N, C, H, W], and an output named {' or '.join(OUTPUTS)}, [N, K]; it has"
            f" {', '.join(inputs)} and {', '.join(outputs)}"
        )
    metadata = _metadata(session)
    fields = metadata.get("preprocess")
    preprocess = (
        Preprocess.from_json(fields) if isinstance(fields, dict) else _as_trained(taken.shape, data)
    )

    def compute(images: Images) -> Probabilities:
        try:
            (found,) = session.run([output], {"input": preprocess.apply(images)})
        except InputError:
            raise
        except Exception as error:
            raise ModelError(f"{path}: failed on {len(images)} images: {error}") from error
        return found if output == "probabilities" else softmax(found).astype(np.float32)

    return Classifier(path, ONNXRUNTIME, metadata, preprocess, _fixed(taken.shape[0]), compute)


def _is_image(node: onnxruntime.NodeArg) -> bool:
    return node.type == "tensor(float)" and len(node.shape) == 4


def _metadata(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    try:
        metadata = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    except (KeyError, ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _as_trained(shape: list[int | str | None], data: Stream) -> Preprocess:
    """How `data` is normalised for training, in the size of an input [N, C, H, W]."""
    channels, height, width = shape[1:]
    if not (isinstance(channels, int) and isinstance(height, int) and isinstance(width, int)):
        height, width, channels = data.shape or _first_shape(data)
    half = (0.5,) * channels
    return Preprocess(channels, height, width, data.pixel_max, half, half)


def _first_shape(data: Stream) -> tuple[int, int, int]:
    """Of the first encoded image that can be read."""
    for image in data.read(np.arange(len(data))):
        if not isinstance(image, Unreadable):
            pixels = image.plain() if isinstance(image, Raster) else image
            height, width, channels = (*pixels.shape, 1)[:3]
            return height, width, channels
    raise InputError(f"{data.name}: none of its {len(data)} images can be read")


def _fixed(batch: int | str | None) -> int | None:
    return batch if isinstance(batch, int) and batch > 0 else None


def _size(shape: tuple[int, int, int]) -> str:
    height, width, channels = shape
    return f"{size_text(height, width)} in {channels} channel{'s' if channels > 1 else ''}"
