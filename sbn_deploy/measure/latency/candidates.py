"""The engines that `sbn benchmark --compare` measures a model in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sbn_deploy.measure.latency.loaded import Loaded
from sbn_deploy.measure.latency.worker import Spec
from sbn_runtime import ModelError

FLOAT = ("fp32", "int8")
LCE = "lce"
TORCH = "torch"
RIVALS = (*FLOAT, LCE, TORCH)


def engine_name(rival: str) -> str:
    """What results call the engine of one of RIVALS."""
    return f"onnxruntime-{rival}" if rival in FLOAT else rival


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

    def of(self, model: Loaded, name: str) -> list[Spec]:
        """The model in its engine, then in those of `compare`, in that order.

        A model without sbn operators is in no others.

        Args:
            model: the file.
            name: what people call it.

        Raises:
            ModelError: the metadata do not name the architecture.
            MissingDependencyError: larq-compute-engine is not installed.
            ModuleNotFoundError: torch, or what exports from it, is not installed.
            UnsupportedLayerError: LCE has no operators for the network.
        """
        image = model.image
        specs = [Spec(name, model.engine, model.engine, image, str(model.path))]
        if model.engine != "sbn":
            return specs
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
            from sbn_deploy.measure.latency.rivals import untrained_rivals

            self.say("building the same architecture with real weights")
            folder = self.folder / str(len(self._float_files))
            folder.mkdir()
            made = untrained_rivals(metadata, wanted, folder)
            self._float_files[key] = {engine_name(rival): made[rival] for rival in wanted}
        return self._float_files[key]

    def _lce(self, model: Path, name: str, image: Sequence[int]) -> list[Spec]:
        from sbn_deploy.lce.interpreter import check_installed
        from sbn_deploy.measure.latency import lce

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
