"""A model file, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, BinaryIO, Literal, overload

import numpy as np
from numpy.typing import NDArray

from . import anytime, calibration, calibration_json, sampling, within
from .anytime import Anytime
from .calibrated import Answered, Interval, PredictionSet, intervals, network_rows, refused
from .calibration import REGRESSION, Calibration
from .conformal import LAC
from .drawing import networks
from .errors import InputError, ModelError
from .executor import Executor
from .feeds import Given, TensorInfo, as_feeds
from .given import Files, as_paths, as_pictures, opened, read_files
from .modelfile import weights_digest
from .preprocess import Preprocess, preprocess_from
from .sampling import Draw
from .tasks import CLASSIFICATION, MEMBER, NAMES, NONE, TASKS, Task, average
from .uncertainty import Estimate, Prediction, averaged, softmax

__all__ = ["Session", "TensorInfo", "session_options"]


def session_options(threads: int | None = None, *, spin: bool = True) -> Any:
    """onnxruntime's options with our operators, of `sbn_runtime.engines.onnxruntime`.

    Programs know the function by this place, which they can import without onnxruntime.
    """
    from .engines import onnxruntime

    return onnxruntime.session_options(threads, spin=spin)


class Session:
    """Runs one exported model on the CPU with the bit-packed kernels.

    A session may be used by several threads at once. It can be pickled unless it was created from
    bytes: unpickling opens the file again.

    Args:
        path: an ONNX file written by `sbn export` or `sbn import`; or its content, as bytes or as a
            file opened in binary mode.
        engine: what computes, one of `sbn_runtime.engines.ENGINES`: "sbn", onnxruntime with our
            operators; "native", our own runtime, which needs no onnxruntime; "onnxruntime",
            onnxruntime alone, by the definitions of our operators in the file, which is slow. By
            default sbn where onnxruntime is installed, else native. Signs and whole numbers are
            the same in all of them; floats differ by rounding.
        threads: number of threads that share the work of one call; by default
            as many as there are cores that this process may use, by its affinity and the quota
            of its control group, of the fast ones where a CPU has two kinds.
        spin: whether threads that wait for work spin, which is faster, or sleep, which leaves the
            cores to others.

    Attributes:
        engine: the name of the one that computes.
        inputs, outputs: of the model.
        task: what the first output means, one of `sbn_runtime.tasks.NAMES`: classification,
            multilabel, regression, segmentation, image (to image), none.
        stochastic: whether the model samples noise, so that `samples` and `seed` apply.
        calibration: what `sbn calibrate` wrote into the file, None where it did not. With it,
            all methods but `run` answer with calibrated probabilities.
        metadata: what `sbn export` recorded about the model: sbn_deploy (version),
            checkpoint_sha256, arch, config, data, task, members, weights, seed,
            activations, samples and noise_seed (the defaults of the noise),
            preprocess, classes, test_accuracy, training_images, calibration. A file of `sbn import`
            records what it was imported from, but neither normalisation nor class names.
            Empty for a file from elsewhere.

    Raises:
        ModelError: the file is missing, damaged, or has no sbn operators; or engine native lacks
            an operator of it, which the message names; its calibration is damaged, or its weights
            were changed afterwards.
        InputError: there is no such engine; `threads` is below 1 or more than
            `sbn_runtime.threads.MOST_THREADS`.
        MissingDependencyError: the engine needs onnxruntime, which is not installed.
        IsaError: SBN_ISA names a kernel set that is unknown or that this CPU lacks.
    """

    engine: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    stochastic: bool
    task: str
    calibration: Calibration | None
    metadata: dict[str, Any]

    def __init__(
        self,
        path: str | PathLike[str] | bytes | BinaryIO,
        *,
        engine: str | None = None,
        threads: int | None = None,
        spin: bool = True,
    ) -> None:
        self._path, content = opened(path)
        self._chosen = engine, threads, spin
        self._executor = Executor(self._path, engine, threads, content=content, spin=spin)
        self.engine = self._executor.engine
        self.inputs, self.outputs = self._executor.inputs, self._executor.outputs
        self.metadata = self._executor.metadata
        self.stochastic = self._executor.defaults is not None
        self.task = self._find_task()
        self._check_classes()
        self.calibration = self._read_calibration()
        self._pace = within.Pace()

    def run(
        self, x: Given | Files, *, samples: int | None = None, seed: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """All outputs of the model, by name.

        A sample of the noise is one fixed network, the same for every image and however
        a batch is computed. Of S samples of M members, `member_logits` [M * S, N, K] has
        first all samples of member 0; `probabilities` [N, K] is the mean of its softmax.
        The `member_` outputs of other tasks are the same.

        Args:
            x: the batch, of the dtype and shape that `inputs` states: float32
                [N, C, H, W], normalised, or uint8 [N, H, W, C] if the model takes
                pixels; imported models take [N, H, W, C]. `preprocess` makes it from images.
                For several inputs, arrays by the names of the inputs. Paths of image files are
                read as `preprocess` does.
            samples: noise samples, 1 to 65,536; None for the exported number.
            seed: of the noise, 0 to 2^63 - 1; None for the exported one. The first
                samples of a seed are the same whatever `samples` is.

        Raises:
            InputError: wrong dtype or shape, an empty batch, NaN or infinity; `samples` or `seed`
                out of range, or given to a model without noise.
            ModelError: the model is inconsistent.
        """
        feeds = self._feeds(x)
        draw = self._draw(samples, seed)
        if draw is None:
            return self._executor.run(feeds)
        return self._sample(feeds, draw)

    def predict_proba(
        self, x: Given | Files, *, samples: int | None = None, seed: int | None = None
    ) -> NDArray[np.float32]:
        """Class probabilities, float32 [N, K]; the mean over members and noise samples.

        Of multi-label models those of each label; of segmentation [N, K, H, W]. Takes and
        raises what `run` does, and ModelError when the model's task knows no probabilities.
        """
        task = self._known_task("predict_proba")
        if not task.activation:
            raise ModelError(
                f"{self._path}: answers numbers (task {self.task}), which have no probabilities;"
                " use predict()"
            )
        outputs = self._answers(x, samples, seed)
        if answered := self._calibrated(outputs):
            return answered.probabilities.astype(np.float32)
        return outputs[task.answer]

    @overload
    def predict(
        self,
        x: Given | Files,
        *,
        return_uncertainty: Literal[False] = False,
        reject: Literal["unknown"] | float | None = None,
        samples: int | None = None,
        seed: int | None = None,
    ) -> NDArray[Any]: ...

    @overload
    def predict(
        self,
        x: Given | Files,
        *,
        return_uncertainty: Literal[True],
        reject: Literal["unknown"] | float | None = None,
        samples: int | None = None,
        seed: int | None = None,
    ) -> Prediction | Estimate: ...

    def predict(
        self,
        x: Given | Files,
        *,
        return_uncertainty: bool = False,
        reject: Literal["unknown"] | float | None = None,
        samples: int | None = None,
        seed: int | None = None,
    ) -> NDArray[Any] | Prediction | Estimate:
        """The answer to each input; with `return_uncertainty`, also its uncertainty.

        - classification: the most probable class, int64 [N]; or a `Prediction`.
        - segmentation: the most probable class of each pixel, int64 [N, H, W]; or a
          `Prediction`.
        - multilabel: whether each label's probability is at least 0.5, bool [N, K]; or a
          `Prediction`.
        - regression, image: the numbers, float32 [N, ...]; or an `Estimate`.

        For a single network the mutual information and the standard deviation are 0 and the
        agreement is 1.

        Args:
            reject: for a calibrated classifier, give images unlike those of the calibration the
                label -1: "unknown" for 0.05, or the share of ordinary images that this may refuse,
                one of `calibration.unknown.shares`. The other fields of a `Prediction` are
                unaffected.

        Takes and raises what `run` does, and ModelError for the task "none" and for `reject`
        with a file that is not calibrated; InputError for another share.
        """
        task = self._known_task("predict")
        if reject is not None:
            self._known_calibration("predict with reject", (CLASSIFICATION,))
        outputs = self._answers(x, samples, seed)
        answered = self._calibrated(outputs)
        if answered is None:
            return task.uncertainty(outputs) if return_uncertainty else task.predict(outputs)
        found = answered.prediction()
        if reject is not None:
            found = refused(found, answered.unknown(reject))
        return found if return_uncertainty else found.label

    def predict_set(
        self,
        x: Given | Files,
        *,
        coverage: float = 0.9,
        method: str = LAC,
        samples: int | None = None,
        seed: int | None = None,
    ) -> PredictionSet | Interval:
        """Answers with a guarantee: sets of labels, or intervals, that contain the truth this
        often. For a calibrated classifier the set of labels of each image, for a calibrated
        regression the interval of each number. The guarantee is for inputs from the same
        distribution as those of the calibration, on average over calibrations, and exact for the
        counts of networks that were
        measured (`calibration.networks`). On shifted inputs it does not hold.

        Args:
            x, samples, seed: as for `run`.
            coverage: one of `calibration.levels`.
            method: of sets: "lac" has the smallest sets; "aps" and "raps" spread them more
                evenly over easy and difficult images; "class-conditional" gives each class the
                coverage by itself. See `sbn_runtime.conformal`.

        Raises:
            InputError: as `run` does; a coverage or a method that the file is not calibrated for.
            ModelError: as `run` does; the file is not calibrated, or has another task.
        """
        known = self._known_calibration("predict_set", calibration.TASKS)
        known.level(coverage)
        feeds = self._feeds(x)
        outputs = self._answers(feeds, samples, seed)
        if self.task == REGRESSION:
            task = TASKS[REGRESSION]
            averaged_over = len(outputs[task.rows]) if task.rows in outputs else 1
            return intervals(known, outputs[task.answer], averaged_over, coverage)
        answered = self._calibrated(outputs)
        assert answered is not None
        return answered.sets(feeds[self.inputs[0].name], coverage, method)

    def predict_until(
        self,
        x: Given | Files,
        *,
        confidence: float = 0.99,
        max_samples: int = 32,
        group: int = anytime.GROUP,
        seed: int | None = None,
    ) -> Anytime:
        """Samples noise for each image only until more samples would not change its label.

        Samples are drawn in groups. After each, an image is done if its label would be
        another after `max_samples` with probability at most 1 - `confidence`. That
        probability is from a predictive Student t test on the differences between the
        leading class and the others, sample by sample (`sbn_runtime.anytime` has the
        formulas). So a label is that of `predict` with `max_samples` samples with
        probability at least `confidence`, if the differences are independent and about
        normal and the prior of the test holds; as a posterior probability it needs no correction
        for repeated checks. It is certain where no samples to come could
        overturn the lead, and for images that are never decided early: they get all samples, and
        the same answer as from `predict`.

        Of an ensemble without noise the members take the place of samples: only those of a
        group are computed, in a graph that is cut to them. Of a calibrated file the label is
        that of the calibrated probabilities, at the temperature of the networks used.

        Args:
            x: as for `run`.
            confidence: 0.5 to 1, below 1.
            max_samples: 1 to 65,536; of an ensemble without noise all members at most.
            group: noise samples drawn at once, 1 to 65,536. A sample of an ensemble
                of M members is of all of them.
            seed: as for `run`.

        Raises:
            InputError: as `run` does, and for a single network without noise.
            ModelError: as `run` does, and for another task than classification.
        """
        feeds = self._feeds(x)
        self._check_classification("predict_until")
        most = sampling.check_samples(max_samples, "max_samples")
        size = sampling.check_samples(group, "group")
        level = anytime.check_confidence(confidence)
        draw, count = networks(self._executor, self._draw(None, seed))
        if count == 1:
            raise InputError(f"predict_until does not apply: {self._no_noise()}")

        def rows(images: NDArray[np.int64], first: int, count: int) -> NDArray[np.float64]:
            chosen = {key: array[images] for key, array in feeds.items()}
            return softmax(draw(chosen, first, count))

        images = np.arange(len(feeds[self.inputs[0].name]))
        return anytime.predict_until(
            rows,
            images,
            summarize=self._summarize,
            weights=1.0 if self.calibration is None else self.calibration.weights,
            confidence=level,
            max_samples=min(most, count),
            group=size,
        )

    def predict_within(
        self, x: Given | Files, *, ms: float, max_samples: int = 32, seed: int | None = None
    ) -> Anytime:
        """The best answer within a time: as many noise samples, or members, as fit.

        How long one takes is measured on this device: by the first call for a number of images,
        which begins with a single sample, and again by every call. One sample is always drawn,
        so that there is an answer, however short the time. A single network is one sample.

        Args:
            x, seed: as for `run`.
            ms: milliseconds, of which a tenth is kept in reserve.
            max_samples: 1 to 65,536; of an ensemble without noise all members at most.

        Raises:
            InputError: as `run` does, and for a time that is not above 0.
            ModelError: as `run` does, and for another task than classification.
        """
        feeds = self._feeds(x)
        self._check_classification("predict_within")
        seconds = within.check_milliseconds(ms)
        most = sampling.check_samples(max_samples, "max_samples")
        draw, count = networks(self._executor, self._draw(None, seed))
        images = len(feeds[self.inputs[0].name])
        self._executor.load_members()
        logits = self._pace.draw(
            lambda first, count: draw(feeds, first, count),
            images,
            seconds=seconds,
            most=min(most, count),
        )
        found = self._summarize(softmax(logits.reshape(-1, *logits.shape[2:])))
        return Anytime(**vars(found), samples_used=np.full(images, logits.shape[1]))

    def preprocess(self, images: NDArray[Any] | Files) -> NDArray[Any]:
        """Brings images, or other numbers, into the form that the model takes.

        Args:
            images: uint8 [N, H, W, C]; float32 of the input's shape for a model that was
                trained on numbers; or paths of image files of any size, where Pillow is installed.
                For a model of rows of numbers, paths of CSV files; for one that takes sounds,
                paths of WAV files, or recordings [samples] at its rate, int16 or floats in
                [-1, 1], one or a list of them.

        Returns:
            float32 [N, C, H, W], or of the input's shape, normalised as the model was
            trained on; the images themselves if the model takes pixels.

        Raises:
            InputError: wrong dtype, shape or range, or a file that cannot be read.
            ModelError: the model does not say how its input is normalised.
            MissingDependencyError: image files are given, and Pillow is missing.
        """
        fields = self.metadata.get("preprocess")
        if not isinstance(fields, dict):
            raise ModelError(
                f"{self._path}: does not record how images are normalised; give it float32"
                " input, or export it with --preprocess"
            )
        preprocess = preprocess_from(fields)
        paths = as_paths(images)
        x: Any = images if paths is None else read_files(paths, preprocess)
        if (pictures := as_pictures(x, preprocess)) is not None:
            x = pictures
        if isinstance(preprocess, Preprocess) and self.inputs[0].dtype == "uint8":
            preprocess.check(x)
            return preprocess.ordered(x)
        return preprocess.apply(x)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._executor.content is not None:
            raise InputError(
                f"{self._path}: a session created from bytes cannot be pickled; create it from a"
                " path"
            )
        return _reopened, (str(self._path.absolute()), *self._chosen)

    def __repr__(self) -> str:
        return f"<sbn_runtime.Session {str(self._path)!r}>"

    def _summarize(self, rows: NDArray[np.float64]) -> Prediction:
        """The answers of a classifier's networks, probabilities float64 [R, N, K]."""
        if self.calibration is None:
            return averaged(rows)
        return Answered.of(self.calibration, rows).prediction()

    def _calibrated(self, outputs: dict[str, NDArray[Any]]) -> Answered | None:
        """What a calibrated classifier answered; None for another model."""
        if self.calibration is None or self.task != CLASSIFICATION:
            return None
        return Answered.of(self.calibration, *network_rows(outputs))

    def _feeds(self, x: Given | Files) -> dict[str, NDArray[Any]]:
        given: Any = x
        if not isinstance(given, np.ndarray) and as_paths(given) is not None:
            given = self.preprocess(given)
        return as_feeds(given, self.inputs)

    def _answers(
        self, x: Given | Files, samples: int | None, seed: int | None
    ) -> dict[str, NDArray[Any]]:
        """All outputs, of which those of the task have the shapes that it reads."""
        outputs = self.run(x, samples=samples, seed=seed)
        task = TASKS[self.task]
        answer = outputs[task.answer].shape
        rows = outputs[task.rows].shape if task.rows in outputs else (1, *answer)
        if not task.fits(answer) or rows[1:] != answer:
            raise ModelError(
                f"{self._path}: its outputs for {task.name} should have the shapes {task.wanted},"
                f" they have {list(answer)} ({task.answer}) and {list(rows)} ({task.rows}); export"
                " the model again"
            )
        return outputs

    def _draw(self, samples: int | None, seed: int | None) -> Draw | None:
        """What to draw; None for a model without noise."""
        defaults = self._executor.defaults
        if defaults is not None:
            return Draw(
                defaults.seed if seed is None else sampling.check_seed(seed),
                defaults.samples if samples is None else sampling.check_samples(samples),
            )
        for name, value in ((sampling.SAMPLES, samples), (sampling.SEED, seed)):
            if value is not None:
                raise InputError(f"{name} does not apply: {self._no_noise()}")
        return None

    def _no_noise(self) -> str:
        return f"{self._path} has no noise; export it with `--activations stochastic`"

    def _read_calibration(self) -> Calibration | None:
        """Raises ModelError where it is damaged, for another model, or of other weights."""
        said = self.metadata.get(calibration.KEY)
        if said is None:
            return None
        found = calibration_json.read(said, self._path)
        if found.weights_sha256 != weights_digest(self._path, self._executor.content):
            raise ModelError(
                f"{self._path}: its weights were changed after it was calibrated; calibrate it"
                f" again: sbn calibrate {self._path} --data SET"
            )
        task = TASKS.get(self.task)
        shape = next((n.shape for n in self.outputs if task and n.name == task.answer), ())
        last = shape[1] if task and len(shape) == 2 else None
        outputs = last if isinstance(last, int) else None
        calibration_json.check(found, self.task, outputs, self._path)
        return found

    def _known_calibration(self, what: str, tasks: Sequence[str]) -> Calibration:
        """Raises ModelError where there is none, or none for one of these tasks."""
        if self.task not in tasks:
            raise ModelError(
                f"{self._path}: {what} is for {' and '.join(tasks)}, the task of this model is"
                f" {self.task}"
            )
        if self.calibration is None:
            raise ModelError(
                f"{self._path}: is not calibrated, so {what} does not apply; calibrate it on"
                f" held-out data: sbn calibrate {self._path} --data SET"
            )
        return self.calibration

    def _check_classification(self, method: str) -> None:
        if self.task != CLASSIFICATION:
            raise ModelError(
                f"{self._path}: {method} decides between classes, and the task of this"
                f" model is {self.task}; use predict()"
            )

    def _find_task(self) -> str:
        names = self._executor.output_names
        said = self.metadata.get("task")
        if said is None:
            return CLASSIFICATION if TASKS[CLASSIFICATION].answer in names else NONE
        if said not in NAMES:
            raise ModelError(
                f"{self._path}: has the task {said!r}, which this version does not support; it"
                f" supports {', '.join(NAMES)}"
            )
        task = TASKS.get(said)
        if task is not None and task.answer not in names:
            raise ModelError(
                f"{self._path}: has the task {said} but no output named {task.answer!r}, only"
                f" {', '.join(names)}; export it again"
            )
        return str(said)

    def _check_classes(self) -> None:
        """Raises ModelError unless the model names as many classes as it answers."""
        task, named = TASKS.get(self.task), self.metadata.get("classes")
        if task is None or not task.activation or not named:
            return
        shape = next(node.shape for node in self.outputs if node.name == task.answer)
        has = shape[task.axis] if task.axis < len(shape) else None
        if isinstance(has, int) and has != len(named):
            raise ModelError(
                f"{self._path}: names {len(named)} classes but has {has}; export the model again"
            )

    def _known_task(self, method: str) -> Task:
        if self.task == NONE:
            raise ModelError(
                f"{self._path}: does not record what its outputs mean (task none), so {method}()"
                f" does not apply; use run(), which gives {', '.join(self._executor.output_names)}"
            )
        return TASKS[self.task]

    def _sample(self, feeds: dict[str, NDArray[Any]], draw: Draw) -> dict[str, NDArray[Any]]:
        """All outputs of a model with noise."""
        names, drawn = self._executor.output_names, self._executor.rows
        task = TASKS.get(self.task)
        averaged = {name.removeprefix(MEMBER) for name in drawn}
        if task is not None and task.rows in drawn:
            averaged |= {*task.output_names(True)}
        others = [name for name in names if name not in averaged and name not in drawn]
        found = self._executor.sample(feeds, draw, drawn, others)
        outputs = {name: found[name] for name in others}
        for name in drawn:
            rows = found[name].reshape(-1, *found[name].shape[2:])
            if task is not None and name == task.rows:
                outputs |= task.average(rows)
            else:
                outputs |= {name: rows, name.removeprefix(MEMBER): average(rows)}
        return {name: outputs[name] for name in names}


def _reopened(path: str, engine: str | None, threads: int | None, spin: bool) -> Session:
    return Session(path, engine=engine, threads=threads, spin=spin)
