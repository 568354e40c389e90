"""What to train and how: every setting of a recipe, its range and its meaning."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue, PositiveInt, field_validator

from sbn_deploy import estimators
from sbn_deploy.data.form import Colour, ImageForm
from sbn_deploy.materialize.materialize import MOST_MEMBERS
from sbn_deploy.names import now_called
from sbn_deploy.networks import names_code
from sbn_deploy.nn import unit_estimators
from sbn_deploy.nn.estimator import Forward
from sbn_deploy.nn.header import RENAMED_OPTIONS
from sbn_deploy.reading.text import parse_toml, read_toml
from sbn_deploy.settings import RenamedWarning, Settings
from sbn_runtime.errors import ConfigError
from sbn_runtime.fit import LONGEST, Fit
from sbn_runtime.threads import MOST_THREADS

CHECKPOINT = "checkpoint.safetensors"
TWIN = "twin"
"""Folder, under that of the results, of the stage that trains the fp32 twin."""
BINARY_ONLY = {
    "weights",
    "activations",
    "estimator",
    "gumbel_temperature",
    "latent_decay",
    "deterministic_epochs",
    "twin_epochs",
}
"""Settings that do not apply to an fp32 twin."""


class TrainConfig(Settings):
    """The settings of a training run. The defaults train a small network on the digits.

    `latent_lr`, `weight_lr` and `step` fall from their value as `schedule` says.

    Raises:
        ConfigError: an unknown setting, a value out of range, or settings that
            contradict each other.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "accumulate": "gradient_accumulation",
        "calibration": "batchnorm_images",
        "latent_step": "latent_lr",
        "weight_step": "weight_lr",
    }

    out: Path = Field(description="folder for the results; created if it does not exist")
    arch: str = Field(
        default="",
        description="architecture, or FILE.py:NAME; chosen by the size of the inputs if left out",
    )
    model: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="settings of the architecture: width, first, last, weight_noise, …",
    )
    data: str = Field(
        default="digits",
        description="digits, diabetes, breast-cancer, wine, signals, cifar10:PATH, folder:PATH, "
        "sounds:PATH, npz:PATH, hf-parquet:PATH or webdataset:PATH",
    )
    images: Literal["auto", "memory", "storage"] = Field(
        default="auto",
        description="where images are in training: in memory, or read again in each epoch; auto: "
        "in memory if they take at most an eighth of it",
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        le=MOST_THREADS,
        description="processes that read images from storage; by the number of cores if left out",
    )
    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = Field(
        default=None,
        description="of 8-bit images: one number, or height and width; that of the data if left "
        "out, whose images must then have the same size",
    )
    fit: Fit = Field(
        default="crop",
        description="how images of other sizes are fitted: crop, pad or stretch",
    )
    colour: Colour = Field(
        default="auto", description="of images: grey, rgb, or auto: grey if all of them are"
    )
    task: str = Field(
        default="",
        description="classification, multilabel, regression, segmentation or image; derived "
        "from the targets if left out",
    )
    validation: bool = Field(
        default=False,
        description="hold out the validation images, score them after each epoch, and keep the "
        "best one",
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="with validation: stop after this many epochs without a better score; 0: never",
    )
    calibrate: bool = Field(
        default=False,
        description="hold out the validation images, and write calibrated files of all forms "
        "of the network beside the checkpoint",
    )
    start_from: Path | None = Field(
        default=None,
        description="checkpoint whose weights training starts from, of the same network or of its "
        "float form; including batch-norms",
    )
    twin: bool = Field(default=False, description="train the fp32 twin instead")
    twin_epochs: int = Field(
        default=0,
        ge=0,
        description="epochs in which the fp32 twin is trained first, in OUT/twin; the network then "
        "starts from its weights; 0: there is no such stage",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="fixes initial values, order, augmentation and all noise",
    )

    epochs: int = Field(default=100, ge=1, description="passes over the training images")
    batch_size: int = Field(
        default=64, ge=2, description="images in a step; the last incomplete batch is left out"
    )
    gradient_accumulation: int = Field(
        default=1, ge=1, description="micro-batches whose gradients make one step, to save memory"
    )

    optimizer: Literal["mirror", "projected", "bop"] = Field(
        default="mirror",
        description="of the latents: mirror descent, projected gradient (latents clipped to "
        "[-1, 1]) or Bop",
    )
    moments: Literal["adam", "sgd"] = Field(
        default="adam", description="of the latents' gradients; sgd has a momentum of 0.9"
    )
    latent_lr: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="learning rate of the latents"
    )
    latent_decay: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight of KL(theta, 1/2) in the loss, for mirror descent",
    )
    weight_moments: Literal["adam", "sgd"] = Field(
        default="adam",
        description="of the gradients of real weights and the rest; sgd has a momentum of 0.9",
    )
    weight_lr: float = Field(
        default=1e-3, gt=0, allow_inf_nan=False, description="learning rate of real weights"
    )
    step: float = Field(
        default=0.01,
        gt=0,
        allow_inf_nan=False,
        description="learning rate of the rest: batch-norm",
    )
    schedule: Literal["cosine", "step", "constant"] = Field(
        default="cosine",
        description="how learning rates fall: half a cosine to zero, at milestones, or not",
    )
    milestones: tuple[int, ...] = Field(
        default=(), description="epochs after which steps are multiplied by step_factor"
    )
    step_factor: float = Field(default=0.1, gt=0, lt=1, description="see milestones")
    warmup: int = Field(default=0, ge=0, description="epochs over which steps rise from zero")

    norm_scale: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="batch-norm scales at the start"
    )
    activations: Forward = Field(
        default="sampled", description="of activations in training: sampled, deterministic or mean"
    )
    estimator: str = Field(
        default=unit_estimators.DEFAULT,
        description="of the activations' gradient in training, as in `sbn estimators`: "
        + ", ".join(unit_estimators.NAMES),
    )
    gumbel_temperature: float = Field(
        default=0.5,
        gt=0,
        allow_inf_nan=False,
        description="of the estimators gumbel and gumbel-st; low: less bias, more variance",
    )
    weights: Forward = Field(
        default="sampled", description="of weights in training: sampled, deterministic or mean"
    )
    deterministic_epochs: int = Field(
        default=0, ge=0, description="last epochs in which activations are deterministic"
    )

    crop: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="train on random parts of at least this share of a picture, from storage; 0: "
        "on the whole picture, as `fit` says",
    )
    shift: int = Field(
        default=1,
        ge=0,
        description="shift 8-bit images by up to this many pixels, unless targets are maps",
    )
    flip: bool = Field(default=False, description="half of the images are mirrored left to right")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of the other labels")
    class_weights: bool = Field(
        default=False,
        description="weigh images by one over the size of their class, for classes of uneven size",
    )
    distill: bool = Field(
        default=False,
        description="learn from the network of start_from, or the twin of twin_epochs, as well as "
        "from labels",
    )
    teacher: Path | None = Field(
        default=None, description="checkpoint of this project, or safetensors file of a state dict"
    )
    teacher_arch: str = Field(
        default="",
        description="network of a state dict: an architecture (its fp32 twin), torchvision:NAME or "
        "FILE.py:NAME",
    )
    teacher_weight: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="weight of the teacher in the loss; the labels get the rest",
    )
    teacher_temperature: float = Field(
        default=2.0, gt=0, allow_inf_nan=False, description="divides logits before comparing"
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of the running mean of parameters that is kept; 0: off",
    )

    batchnorm_images: int = Field(
        default=0,
        ge=0,
        description="training images kept in the checkpoint, from which batch-norm statistics "
        "are estimated again after materialising; 0: statistics stay as trained",
    )
    members: int = Field(
        default=8, ge=1, le=MOST_MEMBERS, description="size of the ensembles that are scored"
    )

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of training arithmetic; bfloat16 by autocast; auto: bfloat16 for networks that"
        " are large enough, where the machine has instructions for it",
    )
    channels_last: bool = Field(default=False, description="memory layout; faster for large images")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where to train")
    threads: int = Field(
        default=1,
        ge=1,
        le=MOST_THREADS,
        description="CPU threads; with one, results do not depend on the number of cores",
    )
    same_weights: bool = Field(
        default=False, description="with several processes: use the same weight samples in all"
    )
    tensorboard: bool = Field(default=False, description="log for TensorBoard too, not only as CSV")

    def __init__(self, **settings: Any) -> None:
        model = settings.get("model")
        # What a network of someone's own calls its settings is not ours.
        if isinstance(model, dict) and not names_code(str(settings.get("arch", ""))):
            for old in model.keys() & RENAMED_OPTIONS.keys():
                new = RENAMED_OPTIONS[old]
                said = now_called(f"model.{old}", f"model.{new}")
                warnings.warn(said, RenamedWarning, stacklevel=2)
                model = {new if key == old else key: value for key, value in model.items()}
            settings["model"] = model
        super().__init__(**settings)

    @field_validator("estimator")
    @classmethod
    def _can_train(cls, name: str) -> str:
        if name in unit_estimators.NAMES or name not in estimators.names():
            unit_estimators.check_name(name)
            return name
        (measured,) = estimators.create([name])
        raise ConfigError(f"estimator {name!r} cannot train here: {measured.no_training}")

    def model_post_init(self, _: Any) -> None:
        if problem := self._contradiction():
            raise ConfigError(problem)

    @property
    def form(self) -> ImageForm:
        """What images are to become."""
        sides = (self.size, self.size) if isinstance(self.size, int) else self.size
        return ImageForm(sides, self.fit, self.colour)

    @property
    def binding(self) -> set[str]:
        """The settings that were given, but for those that a run may change when it is resumed."""
        chosen = {key for key in ("images", "precision") if getattr(self, key) == "auto"}
        return self.model_fields_set - {"out", "workers"} - chosen

    @property
    def forward(self) -> Forward:
        """How activations are evaluated in training."""
        if self.estimator == unit_estimators.DEFAULT:
            return self.activations
        return unit_estimators.forward_of(self.estimator)

    @property
    def first_weights(self) -> Path | None:
        """The checkpoint whose weights training starts from, if there is one."""
        return self.out / TWIN / CHECKPOINT if self.twin_epochs else self.start_from

    @property
    def taught_by(self) -> Path | None:
        """The file of the teacher, if there is one."""
        return self.first_weights if self.distill else self.teacher

    def of_twin(self) -> TrainConfig:
        """The first stage of a recipe with `twin_epochs`.

        Raises ConfigError where its settings leave no such stage.
        """
        # A twin has no latents to optimise, and learns from labels alone.
        left = BINARY_ONLY | {"optimizer", "distill", "teacher", "teacher_arch"}
        settings = self.model_dump(exclude_unset=True, exclude=left)
        own = {"twin": True, "epochs": self.twin_epochs, "out": self.out / TWIN}
        try:
            return TrainConfig(**(settings | own))
        except ConfigError as error:
            raise ConfigError(f"twin_epochs is {self.twin_epochs}: {error}") from error

    def _contradiction(self) -> str | None:
        """The first pair of settings that exclude each other."""
        parts = self.gradient_accumulation
        longest = max(self.form.size or (1,))
        problems = {
            f"size is {longest}; images can have sides of up to {LONGEST:,} pixels": (
                longest > LONGEST
            ),
            f"warmup of {self.warmup} epochs leaves none of {self.epochs} to train": (
                self.warmup >= self.epochs
            ),
            "milestones need schedule 'step', and it needs milestones": (
                (self.schedule == "step") != bool(self.milestones)
            ),
            f"deterministic_epochs is {self.deterministic_epochs}, but there are only "
            f"{self.epochs} epochs": self.deterministic_epochs > self.epochs,
            "optimizer 'bop' needs weights 'deterministic'": (
                self.optimizer == "bop" and self.weights != "deterministic"
            ),
            "crop cuts from pictures in storage; leave images out": (
                self.crop > 0 and self.images == "memory"
            ),
            "patience needs validation": self.patience > 0 and not self.validation,
            "latent_decay needs optimizer 'mirror'": (
                self.latent_decay > 0 and self.optimizer != "mirror"
            ),
            "distill needs start_from or twin_epochs, whose network is the teacher": (
                self.distill and self.first_weights is None
            ),
            "start_from and twin_epochs both say where training starts; leave one of them out": (
                self.twin_epochs > 0 and self.start_from is not None
            ),
            "distill has the network that it starts from as its teacher; leave one of them out": (
                self.distill and self.teacher is not None
            ),
            f"estimator {self.estimator!r} says how activations are evaluated in training; leave "
            "activations out": (
                self.estimator != unit_estimators.DEFAULT and self.activations != "sampled"
            ),
            f"estimator {self.estimator!r} is for stochastic activations, and with model.surrogate "
            "they are deterministic; leave one of them out": (
                self.estimator != unit_estimators.DEFAULT and bool(self.model.get("surrogate"))
            ),
            "gumbel_temperature is for the estimators gumbel and gumbel-st": (
                self.gumbel_temperature != 0.5 and not self.estimator.startswith("gumbel")
            ),
            "teacher_arch needs a teacher": bool(self.teacher_arch) and self.taught_by is None,
            f"a batch of {self.batch_size} in {parts} parts leaves fewer than two "
            "images in a part; batch-norm needs two": self.batch_size < 2 * parts,
            f"batch_size {self.batch_size} is not a multiple of gradient_accumulation {parts}": (
                self.batch_size % parts != 0
            ),
        }
        for key in sorted(BINARY_ONLY):
            if self.twin and getattr(self, key) != type(self).model_fields[key].default:
                return f"{key} does not apply to the fp32 twin; leave it out with twin"
        if self.twin_epochs:
            self.of_twin()
        return next((text for text, wrong in problems.items() if wrong), None)


def load(path: Path | None, assignments: Sequence[str] = (), **explicit: Any) -> TrainConfig:
    """A configuration from a TOML file, then `key=value` texts, then explicit values.

    Args:
        path: TOML file of settings; none for the defaults.
        assignments: texts such as "epochs=20" or "model.width=32"; values are
            TOML, and anything that is not is taken as text.
        explicit: settings by name; those that are None are left out.

    Raises:
        ConfigError: a file that cannot be read, or wrong settings.
    """
    settings = {} if path is None else read_toml(path)
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"cannot set {text!r}; write key=value")
        *tables, last = key.strip().split(".")
        table = settings
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"cannot set {key.strip()}: {name} is not a table")
        table[last] = _value(value.strip(), key.strip())
    settings |= {key: value for key, value in explicit.items() if value is not None}
    if "out" not in settings:
        raise ConfigError("no folder for the results; give one with --out DIR")
    return TrainConfig(**settings)


def _value(text: str, key: str) -> Any:
    """What TOML says, else the text itself."""
    try:
        found = parse_toml(f"value = {text}", f"the setting {key}")
    except ConfigError as error:
        if isinstance(error.__cause__, tomllib.TOMLDecodeError):
            return text
        raise
    return found["value"] if len(found) == 1 else text
