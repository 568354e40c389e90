"""Train a network of the registry on a data set and write checkpoint and metrics."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sbn_deploy.data import calibrating
from sbn_deploy.data.digests import digests
from sbn_deploy.data.stored import stored_images
from sbn_deploy.nn import storage
from sbn_deploy.nn.threads import threads
from sbn_deploy.reading.text import parse_json
from sbn_deploy.train import checkpoint
from sbn_deploy.train.config import CHECKPOINT, TWIN, TrainConfig
from sbn_deploy.train.distributed import Ranks, ranks
from sbn_deploy.train.evaluation import Answer, in_torch
from sbn_deploy.train.kept import BEST, LAST, Kept, best_epoch
from sbn_deploy.train.logs import HISTORY
from sbn_deploy.train.plan import expected, plan
from sbn_deploy.train.prepare import Prepared, held_out, prepare, split_of
from sbn_deploy.train.progress import progress
from sbn_deploy.train.score import score, steps
from sbn_deploy.train.start import start_from
from sbn_deploy.train.state import STATE, Live, Position, Saved, check_disk, save
from sbn_deploy.train.trainer import AfterEpoch, Stopped, Trainer, choosing_metric, resumable
from sbn_runtime.errors import ConfigError
from sbn_runtime.files import check_writable, write_atomically

__all__ = ["CHECKPOINT", "METRICS", "Stopped", "TrainConfig", "TrainResult", "train"]

METRICS = "metrics.json"
QUIET = 10
"""Seconds of scoring before progress is shown without a terminal."""


@dataclass(frozen=True)
class TrainResult:
    """Where the checkpoint is, the contents of metrics.json, and the settings of the run."""

    checkpoint_path: Path
    metrics: dict[str, Any]
    config: TrainConfig


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] | None = None,
    after_epoch: AfterEpoch | None = None,
    answer: Answer = in_torch,
) -> TrainResult:
    """Train, and score on the test images.

    Writes `checkpoint.safetensors`, `metrics.json` and `history.csv` to `config.out`. During
    training its state is there too, saved atomically after each epoch, and the network after the
    last epoch as `last.safetensors`. With `config.twin_epochs` the same of the twin is in the
    folder `twin` in it. With `config.validation` the checkpoint is that of the best
    epoch, and `last.safetensors` stays. On a CPU the same configuration gives the same
    checkpoint, bit for bit, whether or not training was stopped and resumed in between. The
    caller's random generator is left as it was.

    Args:
        resume: continue the run in `config.out`; settings that are not given
            are taken from it. Where there is none, training starts; where it has
            finished, its result is returned.
        overwrite: replace what an earlier run left in `config.out`.
        report: is called with lines that describe the training, its expected duration, and the
            steps after it.
        after_epoch: is called with the records of all epochs so far after each one, when the state
            has been saved; what it raises ends training.
        answer: how the trained network is run on the test images.

    Raises:
        ConfigError: unknown names, settings that contradict each other, the data or the run to
            resume; a folder that contains a run or is not writable, too little disk, or
            numbers that are no longer finite.
        InputError: too few validation images to calibrate on, if that is wanted.
        ArtifactError: a state, a teacher or weights to start from that cannot be read.
        RemoteError: a process that trains too was not reached, or was lost.
        Stopped: SIGTERM or Ctrl-C came; the state is saved.
    """
    saved = None
    if resume:
        if (config.out / STATE).exists():
            saved = Saved(config.out / STATE)
            config = saved.configuration(config)
        elif finished := _finished(config):
            if report is not None:
                report(f"{config.out} holds a finished run; nothing is left to train")
                if finished.metrics["recipe"].get("calibrate") and not config.calibrate:
                    # Where its data are is not kept.
                    report(
                        "forms that are not calibrated yet are if you give --data and --calibrate"
                        " as well"
                    )
            return finished
    elif not overwrite:
        _check_free(config.out)
        if config.twin_epochs:
            _check_free(config.out / TWIN)
    with threads(config.threads), ranks(config) as group, own_generators(group):
        _check_shared(config, group, saved)
        return _train(config, group, saved, report, after_epoch, answer)


def _check_shared(config: TrainConfig, group: Ranks, saved: Saved | None) -> None:
    """Raises ConfigError unless all processes begin, or resume at the same step."""
    here = torch.tensor([-1, -1])
    if saved is not None:
        here = torch.tensor([saved.position.epoch, saved.position.step])
    if not all(torch.equal(there, here) for there in group.gather(here)):
        raise ConfigError(
            f"not all processes see the same run in {config.out}; it must be a folder that all"
            " machines share"
        )


def _finished(config: TrainConfig) -> TrainResult | None:
    """The result of a run that has ended. Raises ConfigError if it had other settings."""
    path = config.out / METRICS
    if not (config.out / CHECKPOINT).exists() or not path.exists():
        return None
    metrics = parse_json(path.read_bytes(), path, remedy="train again without --resume")
    recipe = metrics.get("recipe", {})
    asked = config.model_dump(mode="json", include=config.binding - {"data"})
    for key, value in asked.items():
        if key in recipe and value != recipe[key]:
            raise ConfigError(
                f"{config.out} holds a finished run with {key} = {recipe[key]!r}, not {value!r}; to"
                f" train on from its weights: sbn train --from {config.out / CHECKPOINT} --out DIR;"
                " to replace it: --overwrite instead of --resume"
            )
    return TrainResult(config.out / CHECKPOINT, metrics, config)


def check_resumable(out: Path) -> None:
    """Raises ConfigError for a folder without a run, where nothing says what to train."""
    if not any((out / name).exists() for name in (STATE, CHECKPOINT)):
        raise ConfigError(
            f"{out} holds no run to resume; check the name, or say what to train with --config,"
            " --data or --set"
        )


def _check_free(out: Path) -> None:
    """Raises ConfigError for a folder that holds a run, which training would replace."""
    if (out / STATE).exists():
        raise ConfigError(
            f"{out} contains an unfinished run; add --resume, or --overwrite to replace it"
        )
    if (out / CHECKPOINT).exists():
        raise ConfigError(
            f"{out} contains a trained network; choose another folder, or add --overwrite to"
            " replace it"
        )


def _train(
    config: TrainConfig,
    group: Ranks,
    saved: Saved | None,
    report: Callable[[str], None] | None,
    after_epoch: AfterEpoch | None,
    answer: Answer,
    run: Path | None = None,
) -> TrainResult:
    """As `train`; `run` is the folder to resume, where it is not `config.out`."""
    run = run or config.out
    ready = prepare(config, saved)
    config, images, built, head = ready.config, ready.images, ready.built, ready.head
    model = built.module
    check_writable(config.out)
    if group.first:
        storage.remove_leftovers(config.out)
    check_disk(config.out, model)
    # Report problems with them before training, not after it.
    validation = held_out(config, images, "validation") if config.validation else None
    test = held_out(config, images, "test")
    if config.calibrate:
        calibrating.check(held_out(config, images, "validation"))
    calibration = images.evenly(config.batchnorm_images) if config.batchnorm_images else None
    meta: dict[str, Any] = {
        "data": images.name,
        "task": images.task,
        "classes": list(images.classes),
        "preprocess": images.preprocess.to_json(),
        "metrics": {},
        "seed": config.seed,
        "split": split_of(config),
    }
    chosen_by = choosing_metric(head.objective, config) if validation is not None else None
    kept = Kept(
        config.out,
        built,
        meta,
        None if calibration is None else calibration.images[:],
        None if stored_images(images) is not None else digests(images.images),
        chosen_by,
    )
    if saved is None and group.first:
        for name in (CHECKPOINT, METRICS, HISTORY, STATE, LAST, BEST):
            (config.out / name).unlink(missing_ok=True)
    say = report or (lambda _: None)
    if config.twin_epochs and (saved is None or not saved.position.begun):
        start_from(model, _train_twin(ready, group, saved, report, answer))
        saved = None
    trainer = Trainer(model, head, images, validation, config, group, kept, after_epoch, run)
    if saved is not None:
        trainer.restore(saved)
    if report is not None and group.first:
        for line in plan(ready, validation, test, trainer):
            report(line)
    trainer.fit()

    path = config.out / CHECKPOINT
    if not group.first:
        return TrainResult(path, {}, config)
    history = trainer.position.history
    model.cpu().eval()
    best: dict[str, Any] = {}
    # A run that an earlier version began has kept none.
    if chosen_by is not None and (config.out / BEST).exists():
        number = best_epoch(history, chosen_by)
        key = f"validation_{chosen_by.key}"
        best = {"best_epoch": number, key: history[number - 1][key]}
        kept.restore_best(model)
        say(
            f"best epoch: {number} of {len(history)}, validation {chosen_by.title} "
            f"{chosen_by.show(best[key])}"
        )
    checkpoint.round_latents(model)
    say(f"scoring on {len(test):,} test {'images' if test.pixels else 'inputs'}")
    with (
        resumable(run),
        progress("scoring", steps(model, config.members), quiet=QUIET) as scored,
    ):
        scores = score(
            model,
            test,
            head,
            members=config.members,
            seed=config.seed,
            calibration=None if calibration is None else torch.from_numpy(calibration.inputs()),
            answer=answer,
            report=lambda: scored(""),
        )
    seconds = sum(epoch["seconds"] for epoch in history)
    meta["metrics"] = scores
    metrics = {
        **meta,
        **best,
        "arch": built.reference,
        "kind": built.kind,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        # Without what is true of this machine only.
        "recipe": config.model_dump(mode="json", exclude={"out"}) | {"data": images.name},
        "train_seconds": seconds,
        "images_per_second": len(history) * trainer.steps * config.batch_size / seconds,
        "history": history,
    }
    checkpoint.save(path, built, meta, kept.images, kept.digests)
    write_atomically(config.out / METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    for name in (STATE, BEST, *(() if chosen_by is not None else (LAST,))):
        (config.out / name).unlink(missing_ok=True)
    return TrainResult(path, metrics, config)


def _train_twin(
    ready: Prepared,
    group: Ranks,
    saved: Saved | None,
    report: Callable[[str], None] | None,
    answer: Answer,
) -> Path:
    """Trains the fp32 twin that the network is to start from, or what is left of it."""
    config = ready.config
    twin = config.of_twin()
    twin_saved = None
    if saved is None:
        # A run that stops in this stage is resumed by its own settings.
        random = group.gather(torch.get_rng_state())
        if group.first:
            live = Live(ready.built.module, [], None, None)
            save(config.out / STATE, live, Position(), config, random)
    elif (twin.out / STATE).exists():
        twin_saved = Saved(twin.out / STATE)
        twin = twin_saved.configuration(twin)
    elif done := _finished(twin):
        return done.checkpoint_path
    _check_shared(twin, group, twin_saved)
    say = report if report is not None and group.first else lambda _: None
    if report is not None and group.count == 1:
        say(
            f"two stages: the fp32 twin, then the network from its weights; of the network alone,"
            f" {expected(ready, group)}"
        )
    say("stage 1, the fp32 twin")
    with own_generators(group):
        done = _train(twin, group, twin_saved, report, None, answer, run=config.out)
    group.wait()  # the first process has written the checkpoint
    say("stage 2, the network")
    return done.checkpoint_path


@contextlib.contextmanager
def own_generators(group: Ranks) -> Iterator[None]:
    """Random numbers drawn inside are not seen outside."""
    devices = [group.device] if group.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
