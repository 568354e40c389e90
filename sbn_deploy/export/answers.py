"""What networks answer a data set, by our kernels: several times as fast as torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sbn_deploy.data import Dataset
from sbn_deploy.engines.onnx import kernel_engine
from sbn_deploy.materialize import materialize, stochastic_signs
from sbn_deploy.oracle.onnx_engines import as_feed
from sbn_deploy.train.evaluation import in_torch
from sbn_deploy.train.head import Head
from sbn_deploy.train.readers import parts

from .noise import Noise
from .onnx_model import build

_log = logging.getLogger(__name__)

# To write a network down takes seconds, in which torch answers some thousand images.
WORTH = 5000
BATCH = 64


def in_kernels(
    networks: Sequence[nn.Module],
    images: Dataset,
    head: Head,
    *,
    samples: int = 0,
    seed: int = 0,
    report: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Runs networks as exported files, see `sbn_deploy.train.evaluation.Answer`.

    Few images are answered in torch, as are networks that cannot be exported, of which a warning
    says why. Samples of a seed are those of the file, not torch's.
    """
    count = max(len(networks), samples)
    if len(images) * count >= WORTH:
        try:
            return _run(networks, images, head, samples, seed, count, report)
        # onnxruntime may raise anything, and hours of training must not be lost for want of speed.
        except Exception as error:
            _log.warning("the answers are computed in torch, which takes longer: %s", error)
    return in_torch(networks, images, head, samples=samples, seed=seed, report=report)


def _run(
    networks: Sequence[nn.Module],
    images: Dataset,
    head: Head,
    samples: int,
    seed: int,
    count: int,
    report: Callable[[], None],
) -> NDArray[np.float32]:
    task = head.objective.task
    noise = None
    if samples:
        (network,) = networks
        noise = Noise(stochastic_signs(network), samples, seed)
        networks = materialize(network)
    proto = build(
        networks,
        torch.from_numpy(images.preprocess.apply(images.images[:2])),
        task=task.name,
        metadata={"preprocess": images.preprocess.to_json()},
        noise=noise,
    ).proto
    engine = kernel_engine(proto.SerializeToString(), threads=torch.get_num_threads())
    found = []
    done = reported = 0
    for part in parts(images):
        inputs = part.inputs()
        for start in range(0, len(inputs), BATCH):
            batch = inputs[start : start + BATCH]
            found.append(engine.run(as_feed(proto, [batch]))[task.answer])
            done += len(batch)
            while reported < count * done // len(images):
                report()
                reported += 1
    return np.concatenate(found)
