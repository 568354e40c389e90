"""A model file, ready to run."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from . import anytime, sampling
from .anytime import Anytime
from .errors import InputError, ModelError
from .executor import Executor, TensorInfo, session_options
from .preprocess import Preprocess
from .sampling import Draw
from .uncertainty import Prediction, mean_probabilities, softmax, summarize

__all__ = ["Session", "TensorInfo", "session_options"]


class Session:
    """Runs one exported model on the CPU with the bit-packed kernels.

    A session may be used by several threads at once.

    Args:
        path: an ONNX file written by `sbn export` or `sbn import`.
        threads: number of threads that share the work of one call; by default
            as many as there are cores.

    Attributes:
        inputs, outputs: what the model takes and gives.
        stochastic: whether the model draws noise, so that `samples` and `seed` apply.
        metadata: what `sbn export` noted about the model: sbn_deploy (version),
            checkpoint_sha256, arch, config, data, members, weights, seed,
            activations, samples and noise_seed (what is drawn by default),
            preprocess, classes, test_accuracy. A file of `sbn import` says what it
            was imported from, but not how images are normalised or classes called.
            Empty for a file from elsewhere.

    Raises:
        ModelError: the file is missing, damaged, or has no sbn operators.
        InputError: `threads` is below 1.
        IsaError: SBN_ISA names a kernel set that is unknown or that this CPU lacks.
    """

    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    stochastic: bool
    metadata: dict[str, Any]

    def __init__(self, path: str | PathLike[str], *, threads: int | None = None) -> None:
        self._path = Path(fspath(path))
        self._executor = Executor(self._path, threads)
        self.inputs, self.outputs = self._executor.inputs, self._executor.outputs
        self.metadata = self._executor.metadata
        self.stochastic = self._executor.defaults is not None
        self._dtype = np.dtype(self.inputs[0].dtype)

    def run(
        self, x: NDArray[Any], *, samples: int | None = None, seed: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """All outputs of the model, by name.

        A sample of the noise is one fixed network, the same for every image and however
        a batch is computed. Of S samples of M members, `member_logits` [M * S, N, K] has
        first all samples of member 0; `probabilities` [N, K] is the mean of its softmax.

        Args:
            x: the batch, of the dtype and shape that `inputs` states: float32
                [N, C, H, W], normalised, or uint8 [N, H, W, C] if the model takes
                pixels; imported models take [N, H, W, C]. `preprocess` makes it from images.
            samples: noise samples to draw, 1 to 65,536; None for as many as were exported.
            seed: of the noise, 0 to 2^63 - 1; None for the exported one. The first
                samples of a seed are the same whatever `samples` is.

        Raises:
            InputError: wrong dtype or shape, an empty batch, or NaN; `samples` or `seed`
                out of range, or given to a model without noise.
            ModelError: a kernel found the model inconsistent.
        """
        self._check(x)
        draw = self._draw(samples, seed)
        if draw is None:
            return self._executor.run(x)
        logits = self._executor.sample(x, draw)
        logits = logits.reshape(-1, *logits.shape[2:])
        return {sampling.ROWS: logits, "probabilities": mean_probabilities(softmax(logits))}

    def predict_proba(
        self, x: NDArray[Any], *, samples: int | None = None, seed: int | None = None
    ) -> NDArray[np.float32]:
        """Class probabilities, float32 [N, K]; the mean over members and noise samples.

        Takes and raises what `run` does, and ModelError when the model is no classifier.
        """
        return self._classify(x, samples, seed)["probabilities"]

    @overload
    def predict(
        self,
        x: NDArray[Any],
        *,
        return_uncertainty: Literal[False] = False,
        samples: int | None = None,
        seed: int | None = None,
    ) -> NDArray[np.int64]: ...

    @overload
    def predict(
        self,
        x: NDArray[Any],
        *,
        return_uncertainty: Literal[True],
        samples: int | None = None,
        seed: int | None = None,
    ) -> Prediction: ...

    def predict(
        self,
        x: NDArray[Any],
        *,
        return_uncertainty: bool = False,
        samples: int | None = None,
        seed: int | None = None,
    ) -> NDArray[np.int64] | Prediction:
        """Most probable class of each image, int64 [N]; or a `Prediction` that says how sure.

        Of a single network the mutual information is 0 and the agreement 1. Takes and
        raises what `predict_proba` does.
        """
        outputs = self._classify(x, samples, seed)
        probabilities: NDArray[np.float32] = outputs["probabilities"]
        if not return_uncertainty:
            labels: NDArray[np.int64] = probabilities.argmax(axis=1)
            return labels
        if sampling.ROWS in outputs:
            rows = softmax(outputs[sampling.ROWS])
        else:
            rows = probabilities[np.newaxis].astype(np.float64)
        return summarize(rows, probabilities)

    def predict_until(
        self,
        x: NDArray[Any],
        *,
        confidence: float = 0.99,
        max_samples: int = 32,
        group: int = anytime.GROUP,
        seed: int | None = None,
    ) -> Anytime:
        """Draws noise samples of each image only until more would not change its label.

        Samples are drawn in groups. After each, an image is done if its label would be
        another after `max_samples` with probability at most 1 - `confidence`. That
        probability is from a predictive Student t test on the differences between the
        leading class and the others, sample by sample (`sbn_runtime.anytime` has the
        formulas). So a label is that of `predict` with `max_samples` samples with
        probability at least `confidence`, if the differences are independent and about
        normal and the prior of the test holds; as a posterior probability it needs no
        correction for looking often. It is certain where no samples to come could
        overturn the lead, and for images that are never done: they get all samples, and
        the very answer of `predict`.

        Args:
            x: as for `run`.
            confidence: 0.5 to 1, below 1.
            max_samples: 1 to 65,536.
            group: noise samples drawn at once, 1 to 65,536. A sample of an ensemble
                of M members is of all of them.
            seed: as for `run`.

        Raises:
            InputError: as `run` does, and for a model without noise: an ensemble of
                deterministic members is computed as a whole.
            ModelError: as `run` does.
        """
        self._check(x)
        most = sampling.check_samples(max_samples, "max_samples")
        size = sampling.check_samples(group, "group")
        level = anytime.check_confidence(confidence)
        draw = self._draw(None, seed)
        if draw is None:
            raise InputError(f"predict_until does not apply: {self._no_noise()}")

        def rows(images: NDArray[Any], first: int, count: int) -> NDArray[np.float64]:
            return softmax(self._executor.sample(images, Draw(draw.seed, count, first)))

        return anytime.predict_until(rows, x, confidence=level, max_samples=most, group=size)

    def _classify(
        self, x: NDArray[Any], samples: int | None, seed: int | None
    ) -> dict[str, NDArray[Any]]:
        if "probabilities" not in self._executor.output_names:
            raise ModelError(
                f"{self._path}: has no output named 'probabilities', only"
                f" {', '.join(self._executor.output_names)}"
            )
        return self.run(x, samples=samples, seed=seed)

    def preprocess(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Brings images into the form that the model takes.

        Args:
            images: uint8 [N, H, W, C].

        Returns:
            float32 [N, C, H, W], normalised as the model was trained on; the
            images themselves if the model takes pixels.

        Raises:
            InputError: wrong dtype, shape or range.
            ModelError: the model does not say how its input is normalised.
        """
        fields = self.metadata.get("preprocess")
        if not isinstance(fields, dict):
            raise ModelError(
                f"{self._path}: does not say how images are normalised; give it float32 input"
            )
        preprocess = Preprocess.from_json(fields)
        if self._dtype == np.uint8:
            preprocess.check(images)
            return images
        return preprocess.apply(images)

    def __repr__(self) -> str:
        return f"<sbn_runtime.Session {str(self._path)!r}>"

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
        return f"{self._path} has no noise to draw; export it with `--activations stochastic`"

    def _check(self, x: NDArray[Any]) -> None:
        expected = self.inputs[0]
        if not isinstance(x, np.ndarray):
            raise InputError(f"input must be a numpy array, this is {type(x).__name__}")
        if x.dtype != self._dtype:
            raise InputError(f"input must be {expected.dtype}, this is {x.dtype}; {_remedy(x)}")
        fits = len(x.shape) == len(expected.shape) and all(
            size == want or not isinstance(want, int)
            for size, want in zip(x.shape, expected.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("?" if size is None else str(size) for size in expected.shape)
            raise InputError(f"input must have shape [{wanted}], this has {list(x.shape)}")
        if not x.size:
            raise InputError(f"input is empty: shape {list(x.shape)}")
        # The least number is NaN if any is.
        if x.dtype.kind == "f" and np.isnan(x.min()):
            raise InputError("input contains NaN")


def _remedy(x: NDArray[Any]) -> str:
    if x.dtype == np.uint8:
        return "turn images into input with session.preprocess(images)"
    return "convert it with x.astype(numpy.float32)"
