"""The models that `sbn benchmark` measures, and the engines that it compares them with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime

from sbn_deploy.measure.benchmark import image_shape
from sbn_deploy.measure.worker import Kind, Spec
from sbn_runtime import ModelError, Session
from sbn_runtime.executor import DOMAIN
from sbn_runtime.modelfile import imported_domains

FLOAT = ("fp32", "int8")
LCE = "lce"
TORCH = "torch"
RIVALS = (*FLOAT, LCE, TORCH)


def engine_name(rival: str) -> str:
    """What results call the engine of one of RIVALS."""
    return f"onnxruntime-{rival}" if rival in FLOAT else rival


@dataclass(frozen=True)
class Model:
    """A model file.

    Attributes:
        path: of the file.
        engine, kind: what runs it, as in `Spec`.
        image: C, H, W, or K for a model that takes vectors.
        metadata: of an exported file; empty for one from elsewhere.
    """

    path: Path
    engine: str
    kind: Kind
    image: tuple[int, ...]
    metadata: Mapping[str, Any]


def open_model(path: Path) -> Model:
    """An exported model, or one without our operators that onnxruntime runs as it comes.

    Raises:
        ModelError: the file is missing, damaged, or takes something else than images.
        InputError: the model leaves more than the batch size open.
        IsaError: SBN_ISA names a kernel set that is unknown or that this CPU lacks.
    """
    if DOMAIN in imported_domains(path):
        session = Session(path, threads=1)
        return Model(path, "sbn", "sbn", image_shape(session), session.metadata)
    try:
        stock = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelError(f"{path}: cannot be loaded: {error}") from error
    taken = stock.get_inputs()
    if [(node.name, node.type) for node in taken] != [("input", "tensor(float)")]:
        raise ModelError(
            f"{path}: has no sbn operators, so it needs one input named input, float32"
            f" [N, C, H, W]; it has {', '.join(node.name for node in taken)}"
        )
    sizes = taken[0].shape[1:]
    if not sizes or not all(isinstance(size, int) for size in sizes):
        raise ModelError(f"{path}: the sizes of its input are not fixed: {taken[0].shape}")
    return Model(path, "onnxruntime", "onnxruntime", tuple(sizes), {})


@dataclass
class Candidates:
    """Makes rivals of models, with their files in `folder`.

    Attributes:
        compare: some of RIVALS.
        say: is told what takes a while.
    """

    compare: Sequence[str]
    folder: Path
    say: Callable[[str], None]
    _float_files: dict[str, dict[str, Path]] = field(default_factory=dict)

    def of(self, model: Model, name: str) -> list[Spec]:
        """The model in its own engine, then in those of `compare`, in that order.

        Args:
            model: what to compare.
            name: what people call it.

        Raises:
            ModelError: the metadata do not name the architecture.
            MissingDependencyError: larq-compute-engine is not installed.
            ModuleNotFoundError: torch, or what exports from it, is not installed.
            UnsupportedLayerError: LCE has no operators for the network.
        """
        image = model.image
        specs = [Spec(name, model.engine, model.kind, image, str(model.path))]
        files = self.float_files(model.metadata)
        for rival in self.compare:
            engine = engine_name(rival)
            if rival == LCE:
                specs += self._lce(model.path, name, image)
            elif rival == TORCH:
                network = _architecture(model.metadata)
                if find_spec("torch") is None:
                    raise ModuleNotFoundError(name="torch")
                specs.append(Spec(name, engine, "torch", image, network=network))
            else:
                specs.append(Spec(name, engine, "onnxruntime", image, str(files[engine])))
        return specs

    def float_files(self, metadata: Mapping[str, Any]) -> dict[str, Path]:
        """The files of the float rivals, by engine; models of one architecture share them."""
        wanted = [rival for rival in self.compare if rival in FLOAT]
        if not wanted:
            return {}
        key = json.dumps([*_architecture(metadata), metadata.get("preprocess")], sort_keys=True)
        if key not in self._float_files:
            from sbn_deploy.measure.rivals import untrained_rivals

            self.say("building the same architecture with real weights")
            folder = self.folder / str(len(self._float_files))
            folder.mkdir()
            made = untrained_rivals(metadata, wanted, folder)
            self._float_files[key] = {engine_name(rival): made[rival] for rival in wanted}
        return self._float_files[key]

    def _lce(self, model: Path, name: str, image: Sequence[int]) -> list[Spec]:
        from sbn_deploy.lce.interpreter import check_installed
        from sbn_deploy.measure import lce

        check_installed()
        self.say("translating the model for Larq Compute Engine")
        path = self.folder / f"{len(list(self.folder.iterdir()))}.tflite"
        path.write_bytes(lce.translated(model))
        return [
            Spec(name, LCE, "lce", image, str(path), xnnpack=xnnpack, mode=mode)
            for mode, xnnpack in lce.MODES.items()
        ]


def _architecture(metadata: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of a model's architecture. Raises ModelError."""
    try:
        return metadata["arch"], metadata["config"]
    except KeyError as error:
        raise ModelError(
            f"the model's metadata lacks {error}, so no other engine can be given the same"
            " architecture"
        ) from error
