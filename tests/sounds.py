"""Recordings as people have them: rates, sizes of samples and lengths differ."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.export import export_checkpoint
from sbn_deploy.train.loop import TrainConfig, train

RATE = 8000
TONES = {"high": 2000.0, "low": 250.0, "middle": 700.0}


def tone(hertz: float, seconds: float, rate: int, seed: int) -> NDArray[np.float64]:
    """A tone that rises and fades, in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    shape = np.sin(np.pi * time / time[-1]) * rng.uniform(0.2, 0.8)
    noise = rng.normal(0, 0.01, len(time))
    return (shape * np.sin(2 * np.pi * hertz * time) + noise).clip(-1, 1)


def recording(label: int, *, seconds: float) -> NDArray[np.int16]:
    """Samples at `RATE`."""
    return np.rint(32767 * tone([*TONES.values()][label - 1], seconds, RATE, label)).astype("<i2")


def write_sounds(folder: Path, each: int) -> Path:
    """Files `folder`/CLASS/NN.wav of 0.2 to 1.3 s, at three rates, with 8 to 32 bits."""
    rng = np.random.default_rng(0)
    for name, hertz in TONES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            rate, width = (RATE, 16_000, 11_025)[index % 3], index % 4 + 1
            audio = tone(hertz * rng.uniform(0.9, 1.1), rng.uniform(0.2, 1.3), rate, index)
            numbers = np.rint(audio * (2 ** (8 * width - 1) - 1)).astype(np.int64)
            numbers += 128 if width == 1 else 0
            data = numbers.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width]
            with wave.open(str(folder / name / f"{index:02}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(width)
                file.setframerate(rate)
                file.writeframes(np.ascontiguousarray(data).tobytes())
    return folder


def trained(folder: Path, **settings: Any) -> Path:
    """The checkpoint of a small network that has learned such sounds, which are in `sounds`."""
    sounds = write_sounds(folder / "sounds", 20)
    config: dict[str, Any] = {"arch": "cifar-vgg", "epochs": 6, "batch_size": 8, "members": 1}
    config |= {"model": {"width": 4}, "data": f"sounds:{sounds}", "out": folder / "run"}
    return train(TrainConfig(**(config | settings))).checkpoint_path


def network(path: Path) -> Path:
    """An exported file of such a network."""
    export_checkpoint(trained(path.parent), path)
    return path
