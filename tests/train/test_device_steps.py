"""A step leaves the host free on a GPU, and what is read late is found where it began.

Torch's `meta` device stands in for a GPU: it has no numbers, so that nothing can be read from it,
and whatever moves between it and the host is seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sbn_deploy.train import state, trainer
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distributed import Ranks
from sbn_deploy.train.loop import METRICS, train
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import Trainer
from sbn_runtime.errors import ConfigError

from ..photos import write_photos

META = torch.device("meta")
STEPS = 4


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operation between host and device, with the step in which it comes.

    Numbers of the host, tensors without axes, go along with what the device is told to do; only
    copies of them count. Reading from the device raises RuntimeError.
    """

    def __init__(self, watched: Trainer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trainer = watched
        self.seen: list[tuple[str, int]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if "copy" not in name:
            tensors = [tensor for tensor in tensors if tensor.ndim]
        if len({tensor.device for tensor in tensors}) > 1:
            self.seen.append((name, self.trainer.position.step))
        return result


def fit(folder: Path, settings: dict[str, Any]) -> tuple[Trainer, list[tuple[str, int]]]:
    """Trains on the stand-in until something has to be read; what was copied till then."""
    ready = prepare(TrainConfig(out=folder, **settings))
    made = Trainer(
        ready.built.module, ready.head, ready.images, None, ready.config, Ranks(0, 1, META)
    )
    with Watch(made) as watch, pytest.raises(RuntimeError, match="meta tensor"):
        made.fit()
    return made, watch.seen


SETTINGS: list[dict[str, Any]] = [
    {"ema": 0.9, "channels_last": True, "flip": True, "gradient_accumulation": 2},
    {"model": {"first": "real", "last": "int8"}, "class_weights": True, "moments": "sgd"},
    {"twin": True, "weight_moments": "sgd", "label_smoothing": 0.1},
    {"estimator": "gumbel-st", "optimizer": "projected", "model": {"weight_noise": "uniform"}},
    {
        "arch": "quicknet",
        "size": 32,
        "model": {"widths": [4, 8], "blocks": [1, 1], "stem_stride": 1, "shortcuts": "int8"},
    },
    {"data": "diabetes"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda chosen: next(iter(chosen)))
def test_steps_do_not_wait_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setitem(trainer.EVERY, "meta", STEPS)
    made, copies = fit(tmp_path, {"batch_size": 16, **settings})
    assert made.position.step == STEPS
    assert copies == [("_to_copy", 0)]  # the order of the epoch


def test_what_waits_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trainer.EVERY, "meta", 1)
    made, _ = fit(tmp_path, {})
    assert made.position.step == 0


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda chosen: next(iter(chosen)))
def test_steps_do_not_wait_for_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    step, taken = Trainer._step, []

    def watched(self: Trainer, wrapped: Any, parts: Any, check: bool) -> Tensor:
        # In its first steps torch may choose algorithms.
        forbidden = not check and self.position.step >= STEPS
        taken.append(forbidden)
        torch.cuda.set_sync_debug_mode("error" if forbidden else "default")
        try:
            return step(self, wrapped, parts, check)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "_step", watched)
    small: dict[str, Any] = {"batch_size": 16, "precision": "bfloat16", "members": 1, "epochs": 1}
    train(TrainConfig(out=tmp_path, device="cuda", **(small | settings)))
    assert any(taken)


def test_reading_late_changes_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"epochs": 2, "model": {"width": 4}, "members": 1, "ema": 0.5}
    settings["device"] = "cpu"
    files, histories = [], []
    for every in (1, 5):
        monkeypatch.setitem(trainer.EVERY, "cpu", every)
        result = train(TrainConfig(out=tmp_path / str(every), **settings))
        files.append(result.checkpoint_path.read_bytes())
        histories.append(json.loads((tmp_path / str(every) / METRICS).read_text())["history"])
    assert files[0] == files[1]
    for now, late in zip(*histories, strict=True):
        assert now["accuracy"] == late["accuracy"]
        assert now["loss"] == pytest.approx(late["loss"], rel=1e-12)


@pytest.mark.parametrize(
    "settings", [{"step": 3e37, "ema": 0.9}, {"step": 1e30, "weight_moments": "sgd"}]
)
def test_the_fault_that_is_read_late_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    settings = {"device": "cpu", "model": {"width": 4, "last": "real"}, **settings}
    messages = []
    for every in (1, 5):
        monkeypatch.setitem(trainer.EVERY, "cpu", every)
        with pytest.raises(ConfigError, match="in step 2 of epoch 1") as error:
            train(TrainConfig(out=tmp_path / str(every), **settings))
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_a_state_saved_between_readings_has_all_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "val", "test"):
        write_photos(tmp_path / "set" / part, 20 if part == "train" else 4)
    broken = tmp_path / "set" / "train" / "pear" / "007.png"
    broken.write_bytes(broken.read_bytes()[:150])
    positions = []
    for every in (1, 50):
        monkeypatch.setitem(trainer.EVERY, "cpu", every)
        config = TrainConfig(
            out=tmp_path / str(every),
            data=f"folder:{tmp_path / 'set'}",
            device="cpu",
            images="storage",
            workers=0,
            size=16,
            colour="rgb",
            batch_size=2,
            model={"width": 4},
        )
        with pytest.raises(ConfigError, match=r"007\.png"):
            train(config)
        positions.append(state.Saved(config.out / state.STATE).position)
    now, late = positions
    assert 0 < now.step == late.step
    assert now.correct == late.correct
    assert now.loss == pytest.approx(late.loss, rel=1e-12)
