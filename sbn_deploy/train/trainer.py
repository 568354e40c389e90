"""The training loop: steps, epochs, what is saved in between."""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, Optimizer

from sbn_deploy.data import Dataset
from sbn_deploy.materialize import materialize
from sbn_deploy.nn import set_train_forward, set_weight_generator
from sbn_deploy.nn.unit_estimators import set_estimator
from sbn_deploy.tasks import Metric, Objective
from sbn_deploy.tasks.classes import BALANCED
from sbn_deploy.train import state
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.diagnose import bad_gradient, bad_layer, finite_gradients
from sbn_deploy.train.distill import Loss, load_teacher
from sbn_deploy.train.distributed import Ranks
from sbn_deploy.train.ema import Ema
from sbn_deploy.train.evaluation import of_parts
from sbn_deploy.train.head import Head
from sbn_deploy.train.images import Batch, batches
from sbn_deploy.train.kept import Kept, best_epoch
from sbn_deploy.train.logs import HISTORY, TENSORBOARD, TensorBoard, write_csv
from sbn_deploy.train.optim import Bop, MirrorDescent, ProjectedGradient, split_parameters
from sbn_deploy.train.progress import Report, progress
from sbn_deploy.train.readers import part_count
from sbn_deploy.train.schedule import factor
from sbn_runtime.errors import ConfigError, SbnError

MOMENTUM = 0.9
EVERY = {"cpu": 1, "cuda": 32}
"""Steps after which their losses are read, by the device: a GPU would wait for each reading."""

AfterEpoch = Callable[[Sequence[Mapping[str, Any]]], None]
"""Takes the history of a run; what it raises ends the run."""


class Stopped(Exception):
    """Training was stopped by SIGTERM or Ctrl-C after a step; its state is saved.

    Attributes:
        signal: which it was.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class Trainer:
    """Trains a network in place.

    Args:
        model: new, on the CPU, initialised with the same seed in every process.
        head: what its output means.
        images: to train on.
        validation: to score after each epoch, if any.
        group: the processes that train together.
        kept: writes checkpoints after each epoch, if any are wanted.
        after_epoch: is given the records of all epochs so far once the state is saved.
        run: the folder to resume, where it is not that of the results.

    Attributes:
        position: how far training has come; on a GPU its sums lag behind, see `EVERY`.
        steps: steps in one epoch.
        schedule: the factor of all learning rates by the number of the step.

    Raises:
        ArtifactError, ConfigError, MissingDependencyError: the teacher or
            TensorBoard is not available.
    """

    def __init__(
        self,
        model: nn.Module,
        head: Head,
        images: Dataset,
        validation: Dataset | None,
        config: TrainConfig,
        group: Ranks,
        kept: Kept | None = None,
        after_epoch: AfterEpoch | None = None,
        run: Path | None = None,
    ) -> None:
        self.config = config
        self.run = run or config.out
        self.after_epoch = after_epoch
        self.kept = kept
        self.group = group
        self.device = group.device
        self.head = head
        weights = _class_weights(images, self.device) if config.class_weights else None
        self.loss = Loss(config, load_teacher(config, images, self.device), head, weights)
        self.images = batches(images, config, self.device)
        self.validation = validation
        self.steps = len(images) // config.batch_size
        self.schedule: Callable[[int], float] = lambda step: factor(config, step, self.steps)
        self.position = state.Position()
        self.every = EVERY[self.device.type]
        self.unread = torch.zeros(3, dtype=torch.float64, device=self.device)
        self.back: Callable[[], None] | None = None
        self.model = model.to(self.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        set_train_forward(self.model, weights=config.weights)
        set_estimator(self.model, config.estimator, config.gumbel_temperature)
        self.optimizers = _optimizers(self.model, config)
        self.rates = [[g["lr"] for g in optimizer.param_groups] for optimizer in self.optimizers]
        weight_generator = None
        if group.count > 1:
            # Each process has its own noise, and weights of all if asked for.
            torch.manual_seed(config.seed * group.count + group.rank)
            if config.same_weights:
                weight_generator = torch.Generator(self.device).manual_seed(config.seed)
                set_weight_generator(self.model, weight_generator)
        self.live = state.Live(
            self.model,
            self.optimizers,
            Ema(self.model, config.ema) if config.ema else None,
            weight_generator,
        )
        self.board = (
            TensorBoard(config.out / TENSORBOARD) if config.tensorboard and group.first else None
        )

    def restore(self, saved: state.Saved) -> None:
        """Continue a saved run.

        Raises:
            ArtifactError, ConfigError: it does not fit.
        """
        random = saved.restore(self.live, self.group.rank, self.group.count)
        self.position = saved.position
        self._set_random_state(random)

    def fit(self) -> None:
        """Train to the end; the model then has the final parameters.

        Raises:
            ConfigError: numbers that are no longer finite, a full disk, or an image in storage that
                cannot be read; then the state before its step is saved.
            SbnError: a process that reads images ended; the same.
            Stopped: SIGTERM or Ctrl-C came.
        """
        wrapped = DistributedDataParallel(self.model) if self.group.count > 1 else self.model
        try:
            self._fit(wrapped)
        finally:
            self.images.close()
            # Its communication threads must end before the process group does.
            del wrapped
            gc.collect()
        self.group.wait()
        if self.live.ema is not None:
            self.live.ema.swap()

    def _fit(self, wrapped: nn.Module) -> None:
        title = f"{self.config.arch} {'fp32' if self.config.twin else 'sbn'}"
        with _until_terminated() as terminated, contextlib.ExitStack() as stack:
            report: Report = lambda _: None  # noqa: E731
            if self.group.first:
                report = stack.enter_context(
                    progress(title, self.config.epochs, first=self.position.epoch)
                )
            while self.position.epoch < self.config.epochs and not self._stale():
                self._epoch(wrapped, terminated)
                record = self._finish_epoch()
                report(
                    " ".join(
                        f"{key.replace('_', ' ')} {value:.4g}"
                        for key, value in record.items()
                        if key not in ("epoch", "seconds", "rate")
                    )
                )
                if self.after_epoch is not None:
                    self.after_epoch(self.position.history)

    def step(self) -> tuple[float, float]:
        """The step at `position`: the loss of its batch, and how many answers were right."""
        set_train_forward(self.model, activations=self.config.forward)
        self.model.train()
        loss, correct, _ = self._step(self.model, self._parts(self._order()), True).tolist()
        return loss, correct

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is trained inside is undone: parameters, moments, means and random numbers."""
        back = self._kept()
        try:
            yield
        finally:
            back()

    def _kept(self) -> Callable[[], None]:
        """What undoes all training from now on, once."""
        live, random = self.live, self._random_state()
        parameters = copy.deepcopy(self.model.state_dict())
        moments = [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers]
        means = [mean.clone() for mean in live.ema.means] if live.ema is not None else []
        own = live.weight_generator
        own_random = torch.empty(0) if own is None else own.get_state()
        position = copy.copy(self.position)

        def back() -> None:
            self.model.load_state_dict(parameters)
            for optimizer, before in zip(self.optimizers, moments, strict=True):
                optimizer.load_state_dict(before)
                optimizer.zero_grad()
            if live.ema is not None:
                live.ema.load(means)
            if own is not None:
                own.set_state(own_random)
            self.position = position
            self._set_random_state(random)

        return back

    def _stale(self) -> bool:
        """Whether the validation score has not improved for too long."""
        patience, history = self.config.patience, self.position.history
        stale = False
        if patience and self.validation is not None and self.group.first:
            stale = len(history) - best_epoch(history, self.metric) >= patience
        return self.group.any(stale)

    @property
    def metric(self) -> Metric:
        """What the best epoch is chosen by."""
        return choosing_metric(self.head.objective, self.config)

    def _epoch(self, wrapped: nn.Module, terminated: _Terminated) -> None:
        config, position = self.config, self.position
        last = config.epochs - position.epoch <= config.deterministic_epochs
        set_train_forward(self.model, activations="deterministic" if last else config.forward)
        self.model.train()
        steps = self.images.steps(self._order()[position.step :], position.epoch)
        start = time.perf_counter() - position.seconds
        while position.step < self.steps:
            position.seconds = time.perf_counter() - start
            with self._resumable():
                parts = next(steps)
            if self.every > 1 and self.back is None:
                self.back = self._kept()
            self.unread += self._step(wrapped, parts, self.every == 1)
            position.step += 1
            if position.step % self.every and position.step < self.steps:
                continue
            self._read(wrapped)
            if self.group.any(terminated.is_set()):
                position.seconds = time.perf_counter() - start
                self._save()
                raise Stopped(
                    f"stopped in epoch {position.epoch + 1} after step {position.step} of "
                    f"{self.steps}; resume with: sbn train --resume --out {self.run}",
                    terminated.signal,
                )
        position.seconds = time.perf_counter() - start

    @contextlib.contextmanager
    def _resumable(self) -> Iterator[None]:
        """Saves the state where an image in storage cannot be read."""
        with resumable(self.run):
            try:
                yield
            except SbnError:
                # Others that train along know nothing of it, and all have to save together.
                if self.group.count == 1:
                    self._read(self.model)
                    self._save()
                raise

    def _order(self) -> Tensor:
        """This process's image indices in the order of the epoch, [steps, parts, part]."""
        config, group = self.config, self.group
        # A generator of its own: the same order in all processes and after resuming.
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.position.epoch)
        order = self.images.order(generator)
        order = order[: self.steps * config.batch_size]
        own = order.view(self.steps, group.count, -1)[:, group.rank]
        return own.reshape(self.steps, config.gradient_accumulation, -1)

    def _parts(self, order: Tensor) -> Iterable[Batch]:
        """The batches of the step at `position`, made now."""
        epoch = self.position.epoch
        return (self.images.batch(part, epoch) for part in order[self.position.step])

    def _read(self, wrapped: nn.Module) -> None:
        """Waits for the steps that were not read, and takes their sums into `position`.

        Raises ConfigError where numbers of them are not finite.
        """
        loss, correct, bad = self.unread.tolist()
        self.unread.zero_()
        back, self.back = self.back, None
        if back is not None and self.group.any(bad > 0):
            self._find(wrapped, back)
        self.position.loss += loss
        self.position.correct += correct

    def _find(self, wrapped: nn.Module, back: Callable[[], None]) -> None:
        """Repeats steps after `back`, and raises ConfigError where numbers are not finite."""
        last = self.position.step
        back()
        first, order = self.position.step + 1, self._order()
        while self.position.step < last:
            self._step(wrapped, self._parts(order), True)
            self.position.step += 1
        raise ConfigError(
            f"the loss or a gradient is not finite in one of steps {first} to {last} of epoch"
            f" {self.position.epoch + 1}; use smaller learning rates"
        )

    def _step(self, wrapped: nn.Module, parts: Iterable[Batch], check: bool) -> Tensor:
        """One step. Nothing in it waits for a GPU, unless `check` is set.

        Args:
            check: raise ConfigError where numbers are not finite, before they change anything.

        Returns:
            Of its batch in this process, float64 [3] on the device: the loss, how many answers
            were right, and 1 if the loss or a gradient is not finite, else 0.
        """
        config, position = self.config, self.position
        share = self.schedule(position.epoch * self.steps + position.step)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * share
            optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        count = config.gradient_accumulation
        for index, (x, targets) in enumerate(parts):
            if config.channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
            # Gradients are exchanged with the last part only.
            waiting = isinstance(wrapped, DistributedDataParallel) and index + 1 < count
            with wrapped.no_sync() if waiting else contextlib.nullcontext():  # type: ignore[operator]
                with self._arithmetic():
                    output = wrapped(x)
                raw = self.head.raw(output)
                loss = self.loss(raw, x, targets) / count
                torch.autograd.backward(loss)
            total += loss.detach()
            hits = self.head.objective.hits(raw.detach(), targets)
            if hits is not None:
                correct = correct + hits
        good = total.isfinite() & finite_gradients(self.model)
        if check and not good:
            raise ConfigError(f"{self._fault(total.item(), x)}; use smaller learning rates")
        for optimizer in self.optimizers:
            optimizer.step()
        if self.live.ema is not None:
            self.live.ema.update()
        return torch.stack([total.double(), correct.double(), (~good).double()])

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        if self.config.precision != "bfloat16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _fault(self, loss: float, x: Tensor) -> str:
        """What is not finite in the step at `position`, with inputs x, and where."""
        where = f"in step {self.position.step + 1} of epoch {self.position.epoch + 1}"
        if math.isfinite(loss):
            return f"the gradient of {bad_gradient(self.model)} is not finite {where}"
        return f"the loss is {loss} {where}, caused by {bad_layer(self.model, x)}"

    def _finish_epoch(self) -> dict[str, Any]:
        """Record, log and save an epoch; its record."""
        config, position = self.config, self.position
        sums = self.group.total(
            torch.tensor([position.loss / self.group.count, position.correct], dtype=torch.float64)
        )
        accuracy = sums[1].item() / (self.steps * config.batch_size)
        record: dict[str, Any] = {
            "epoch": position.epoch + 1,
            "loss": sums[0].item() / self.steps,
            **({"accuracy": accuracy} if self.head.objective.counts_hits else {}),
            "rate": self.rates[0][0] * self.schedule((position.epoch + 1) * self.steps - 1),
            "seconds": position.seconds,
            "images_per_second": self.steps * config.batch_size / position.seconds,
        }
        if self.validation is not None and self.group.first:
            with self._resumable():
                scores = self._validate(self.validation)
            record |= {f"validation_{key}": value for key, value in scores.items()}
        if self.kept is not None and self.group.first:
            self.kept.write([*position.history, record], self._applied)
        self.position = state.Position(
            epoch=position.epoch + 1, history=[*position.history, record]
        )
        self._save()
        if self.group.first:
            write_csv(config.out / HISTORY, self.position.history)
            if self.board is not None:
                self.board.add(record)
        return record

    def _applied(self) -> contextlib.AbstractContextManager[Any]:
        """The network as it is used, with mean parameters if they are kept."""
        return self.live.ema.applied() if self.live.ema else contextlib.nullcontext()

    def _validate(self, images: Dataset) -> dict[str, float]:
        """The main metric, and that to choose by, of the deterministic network as it is used."""
        random = self._random_state()
        if part_count(images) > 1:
            self.images.close()  # other processes read these
        try:
            calibration = None
            if self.config.batchnorm_images:
                chosen = self.images.dataset.evenly(self.config.batchnorm_images)
                calibration = torch.from_numpy(chosen.inputs()).to(self.device)
            with self._applied():
                members = materialize(self.model, calibration=calibration)
            found = of_parts(members, images, self.head, self.device)
        finally:
            self._set_random_state(random)
        scores = self.head.objective.scores(found, images.labels)
        keys = (self.head.objective.main.key, self.metric.key)
        return {key: scores[key] for key in dict.fromkeys(keys)}

    def _save(self) -> None:
        random = self.group.gather(self._random_state())
        if self.group.first:
            path = self.config.out / state.STATE
            state.save(path, self.live, self.position, self.config, random)

    def _random_state(self) -> Tensor:
        if self.device.type == "cuda":
            return torch.cat([torch.get_rng_state(), torch.cuda.get_rng_state(self.device)])
        return torch.get_rng_state()

    def _set_random_state(self, saved: Tensor) -> None:
        size = len(torch.get_rng_state())
        torch.set_rng_state(saved[:size])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(saved[size:], self.device)


def _optimizers(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    latents, others = split_parameters(model)
    # Real weights are matrices and kernels, batch-norm parameters vectors.
    weights = [parameter for parameter in others if parameter.ndim > 1]
    vectors = [parameter for parameter in others if parameter.ndim <= 1]
    groups = [
        {"params": parameters, "lr": rate}
        for parameters, rate in ((weights, config.weight_lr), (vectors, config.step))
        if parameters
    ]
    real: list[Optimizer] = []
    if groups:
        sgd = config.weight_moments == "sgd"
        real.append(SGD(groups, momentum=MOMENTUM) if sgd else Adam(groups))
    betas = (MOMENTUM, 0.999)
    if not latents:
        return real
    match config.optimizer:
        case "mirror":
            return [
                MirrorDescent(
                    latents,
                    lr=config.latent_lr,
                    moments=config.moments,
                    betas=betas,
                    decay=config.latent_decay,
                ),
                *real,
            ]
        case "projected":
            return [
                ProjectedGradient(
                    latents, lr=config.latent_lr, moments=config.moments, betas=betas
                ),
                *real,
            ]
        case "bop":
            return [Bop(latents, lr=config.latent_lr), *real]


def choosing_metric(objective: Objective, config: TrainConfig) -> Metric:
    """The main one, but with class weights one in which every class counts the same."""
    return BALANCED if config.class_weights and BALANCED in objective.metrics else objective.main


def _class_weights(images: Dataset, device: torch.device) -> Tensor:
    """N / (K n) of each class [K] of n of the N images."""
    counts = np.bincount(images.labels, minlength=len(images.classes)).clip(min=1)
    weights = len(images) / (len(counts) * counts)
    return torch.tensor(weights, dtype=torch.float32, device=device)


@contextlib.contextmanager
def resumable(out: Path) -> Iterator[None]:
    """What goes wrong inside can be mended, and the run in `out` resumed: errors say so."""
    try:
        yield
    except SbnError as error:
        hint = f"then resume with: sbn train --resume --out {out}"
        raise type(error)(f"{error}; {hint}") from error


class _Terminated(threading.Event):
    """Set by a signal, with its number."""

    signal = int(signal.SIGTERM)


@contextlib.contextmanager
def _until_terminated() -> Iterator[_Terminated]:
    """An event that SIGTERM and Ctrl-C set, instead of ending the process; Ctrl-C twice ends it."""
    event = _Terminated()
    if threading.current_thread() is not threading.main_thread():
        yield event  # handlers can be installed in the main thread only
        return

    def handle(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and event.is_set():
            raise KeyboardInterrupt
        event.signal = number
        event.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
