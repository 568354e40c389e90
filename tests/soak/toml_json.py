"""Settings in TOML and on the command line, and measurements in JSON."""

from __future__ import annotations

import functools
import json
import math
import random
from pathlib import Path
from typing import Any

from sbn_deploy.nn import models
from sbn_deploy.records import files
from sbn_deploy.sweep import config as sweep
from sbn_deploy.train import config

from .mutate import changed, damaged, value, verdict

MEASUREMENTS = Path(__file__).parents[1] / "records" / "golden"
RECIPE: dict[str, Any] = {
    "arch": "digits-cnn",
    "model": {"width": 16, "size": [8, 8], "weight_noise": "logistic", "init_std": 2.0},
    "data": "digits",
    "epochs": 3,
    "milestones": [1, 2],
    "schedule": "step",
    "teacher": "a.safetensors",
    "members": 4,
    "threads": 2,
    "shift": 1,
    "latent_lr": 1.0,
}
SWEEP: dict[str, Any] = {
    "checkpoint": "a.safetensors",
    "members": [1, 2],
    "samples": [1],
    "threads": [1, 2],
    "images": 9,
    "engines": ["sbn"],
}


def check(seed: int, folder: Path) -> str:
    """See `tests.soak`."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return _measurement(folder / "x.json", rng)
    path = folder / "x.toml"
    settings = RECIPE if rng.random() < 0.7 else SWEEP
    tree = changed(settings, rng) if rng.random() < 0.7 else settings
    text = _toml(tree if isinstance(tree, dict) else {"epochs": tree})
    if rng.random() < 0.1:
        text += rng.choice(("x = " + "[" * 5_000, "[" + ".".join("a" * 3_000) + "]\n", "x = 1e400"))
    content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(damaged(content, rng) if rng.random() < 0.2 else content)
    if settings is SWEEP:
        return verdict(lambda: sweep.load(path))
    assignments = [_assignment(rng)] if rng.random() < 0.5 else []
    return verdict(lambda: _made(config.load(path, assignments, out="run")))


def _made(recipe: config.TrainConfig) -> None:
    """The network that a recipe asks for, which must be small."""
    model: dict[str, Any] = recipe.model
    width = model.get("width")
    if not isinstance(width, int) or width <= 64 or width > 10_000:
        models.create("digits-cnn", **model)


def _measurement(path: Path, rng: random.Random) -> str:
    content = rng.choice(_measurements())
    if rng.random() < 0.9:
        text = json.dumps(changed(json.loads(content), rng))
        content = text.encode()
    if rng.random() < 0.2:
        content = damaged(content, rng)
    if rng.random() < 0.02:
        content = b"[" * 100_000
    path.write_bytes(content)
    return verdict(lambda: files.load(path), lambda: files.is_measurement(path))


@functools.cache
def _measurements() -> list[bytes]:
    return [path.read_bytes() for path in sorted(MEASUREMENTS.glob("*.json"))]


def _assignment(rng: random.Random) -> str:
    keys = ("epochs", "model.width", "model.size", "step", "a.b", "", "model", "epochs.x")
    key = rng.choice(keys)
    if rng.random() < 0.02:
        key = "model." + ".".join("a" * 3_000)
    texts = ("1.5", "abc", "1e9", "1000000000", "[" * 5_000, "1\nepochs=2", "nan", "[8,8]")
    text = rng.choice(texts)
    return rng.choice((f"{key}={text}", f"{key}={_written(value(rng))}", key))


def _toml(tree: dict[str, Any]) -> str:
    tables = [f"{_key(key)} = {_written(inner)}\n" for key, inner in tree.items()]
    return "".join(tables)


def _written(value: Any) -> str:
    """A value as TOML has it; what TOML has no word for, as text."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return "nan" if math.isnan(value) else str(value)
        case int():
            return str(value)
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case dict():
            return f"{{{', '.join(f'{_key(k)} = {_written(v)}' for k, v in value.items())}}}"
    return json.dumps(str(value), ensure_ascii=False)


def _key(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
