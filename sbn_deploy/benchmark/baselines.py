"""The engines that `sbn benchmark --compare` measures a model in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_deploy.benchmark.worker import Spec
from sbn_deploy.engines.look import Loaded
from sbn_deploy.engines.table import COMPARED, ENGINES, FP32, INT8, LCE, NATIVE, TORCH
from sbn_deploy.networks import names_code
from sbn_runtime import ModelError

if TYPE_CHECKING:
    from sbn_deploy.benchmark.own import Own


@dataclass
class Baselines:
    """Makes what models are compared with, with their files in `folder`.

    Attributes:
        compare: some of `engines.table.COMPARED`.
        say: is called with each long step.
        own: by file, the networks that the user named; their fp32 baseline is the same module.
    """

    compare: Sequence[str]
    folder: Path
    say: Callable[[str], None]
    own: Mapping[Path, Own] = field(default_factory=dict)
    _float_files: dict[str, dict[str, Path]] = field(default_factory=dict)

    def of(self, model: Loaded, name: str) -> list[Spec]:
        """The model in its engine, then in those of `compare`, in that order.

        A model without sbn operators is in no others.

        Args:
            model: the file.
            name: its name in messages and tables.

        Raises:
            ModelError: the metadata do not name the architecture.
            MissingDependencyError: larq-compute-engine is not installed.
            ModuleNotFoundError: torch, or what exports from it, is not installed.
            UnsupportedLayerError: LCE has no operators for the network.
        """
        if model.engine == LCE:
            return _in_lce(name, model.path)
        specs = [Spec(name, model.engine, str(model.path))]
        if not model.exported:
            return specs
        files = self.files(model.path, model.metadata)
        for engine in self._engines:
            if engine == LCE:
                specs += self._lce(model.path, name)
            elif engine == TORCH:
                network = self._network(model.path, model.metadata)
                if find_spec("torch") is None:
                    raise ModuleNotFoundError(name="torch")
                shapes = self._shapes(model.path, network[1])
                specs.append(Spec(name, engine, network=network, shapes=shapes))
            elif engine != model.engine:
                specs.append(Spec(name, engine, str(files[engine])))
        return specs

    @property
    def _engines(self) -> list[str]:
        return [COMPARED[name].name for name in self.compare]

    def files(self, model: Path, metadata: Mapping[str, Any]) -> dict[str, Path]:
        """By engine, the ONNX file that it runs; models of one architecture share the floats."""
        found = {engine: model for engine in self._engines if engine == NATIVE}
        return found | self._floats(model, metadata)

    def _floats(self, model: Path, metadata: Mapping[str, Any]) -> dict[str, Path]:
        wanted = [engine for engine in self._engines if engine in (FP32, INT8)]
        if not wanted:
            return {}
        if model in self.own:
            return {FP32: self.own[model].plain}
        key = json.dumps(
            [*self._network(model, metadata), metadata.get("preprocess")], sort_keys=True
        )
        if key not in self._float_files:
            from sbn_deploy.benchmark.float_baselines import untrained_baselines

            self.say("building the same architecture with real weights")
            folder = self.folder / str(len(self._float_files))
            folder.mkdir()
            names = [ENGINES[engine].compare for engine in wanted]
            made = untrained_baselines(metadata, names, folder)
            self._float_files[key] = {COMPARED[name].name: made[name] for name in names}
        return self._float_files[key]

    def _network(self, model: Path, metadata: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Reference and settings of a model's network. Raises ModelError."""
        if model in self.own:
            return self.own[model].reference, self.own[model].config
        arch, config = _architecture(metadata)
        # Files are untrusted: we must not run code that one names.
        if names_code(arch):
            raise ModelError(
                f"{model} was made from {arch}; to compare with that network, name it in place of"
                " the file"
            )
        return arch, config

    def _shapes(self, model: Path, config: Mapping[str, Any]) -> list[tuple[int, ...]]:
        if model in self.own:
            return list(self.own[model].shapes)
        from sbn_deploy.nn.models import input_shape

        return [(1, *input_shape(config))]

    def _lce(self, model: Path, name: str) -> list[Spec]:
        from sbn_deploy.engines import lce
        from sbn_deploy.lce.interpreter import check_installed

        check_installed()
        self.say("translating the model for Larq Compute Engine")
        path = self.folder / f"{len(list(self.folder.iterdir()))}.tflite"
        path.write_bytes(lce.translated(model))
        return _in_lce(name, path)


def _in_lce(name: str, path: Path) -> list[Spec]:
    """A TFLite file in both modes of LCE."""
    from sbn_deploy.engines.lce import MODES

    return [
        Spec(name, LCE, str(path), xnnpack=xnnpack, mode=mode) for mode, xnnpack in MODES.items()
    ]


def _architecture(metadata: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of a model's architecture. Raises ModelError."""
    try:
        return metadata["arch"], metadata["config"]
    except KeyError as error:
        raise ModelError(
            f"the model's metadata lacks {error}, so the same architecture cannot be built for"
            " another engine"
        ) from error
