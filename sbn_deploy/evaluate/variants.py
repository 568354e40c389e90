"""The forms in which one trained network can be deployed, to compare them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sbn_deploy.evaluate.averaging import Variant
from sbn_runtime import Session

MEMBERS = 8


def export_variants(
    checkpoint: Path,
    folder: Path,
    networks: int,
    *,
    members: int = MEMBERS,
    seed: int = 0,
    engine: str | None = None,
    threads: int | None = None,
    report: Callable[[str], None],
) -> list[Variant]:
    """Exports four forms of a checkpoint, in which up to `networks` networks are averaged.

    - thresholded: one network.
    - members only: `networks` sampled members, deterministic activations.
    - noise only: thresholded weights, `networks` samples of the noise.
    - both: `members` sampled members, or `networks` if that is less, and as many
      samples of the noise as make `networks`.

    Raises what `export_checkpoint` and `Session` raise.
    """
    from sbn_deploy.export import export_checkpoint
    from sbn_deploy.materialize import Form

    together = min(members, networks)
    sampled: dict[str, Any] = {"weights": "sample", "seed": seed}
    noisy: dict[str, Any] = {"activations": "stochastic", "noise_seed": seed}
    forms: dict[str, dict[str, Any]] = {
        "thresholded": {},
        "members only": {**sampled, "members": networks},
        "noise only": {**noisy, "samples": networks},
        "both": {**sampled, "members": together, **noisy, "samples": -(-networks // together)},
    }
    variants = []
    for name, form in forms.items():
        report(f"exporting: {name}")
        path = folder / f"{name.replace(' ', '-')}.onnx"
        export_checkpoint(checkpoint, path, Form(**form))
        variants.append(Variant(name, Session(path, engine=engine, threads=threads)))
    return variants
