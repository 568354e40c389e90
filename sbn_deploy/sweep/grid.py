"""The forms of a checkpoint that a sweep tries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sbn_deploy.sweep.config import SweepConfig


@dataclass(frozen=True)
class Form:
    """One way to deploy a checkpoint: a name, and what `export_checkpoint` is told."""

    name: str
    options: dict[str, Any]

    @property
    def stochastic(self) -> bool:
        """Whether signs are sampled on the device."""
        return self.options.get("activations") == "stochastic"


def forms(config: SweepConfig) -> list[Form]:
    """Every combination of weights, members, activations and samples, the cheapest first."""
    weights: list[tuple[str, dict[str, Any]]] = []
    if "threshold" in config.weights:
        weights.append(("threshold", {}))
    if "sample" in config.weights:
        weights += [
            (f"members{count}", {"weights": "sample", "members": count, "seed": config.seed})
            for count in sorted(config.members)
        ]
    noises: list[tuple[str, dict[str, Any]]] = []
    if "deterministic" in config.activations:
        noises.append(("", {}))
    if "stochastic" in config.activations:
        noises += [
            (
                f"-noise{count}",
                {"activations": "stochastic", "samples": count, "noise_seed": config.seed},
            )
            for count in sorted(config.samples)
        ]
    found = [
        Form(name + suffix, options | noise)
        for name, options in weights
        for suffix, noise in noises
    ]
    return sorted(found, key=_networks)


def _networks(form: Form) -> int:
    """Networks whose probabilities are averaged."""
    return int(form.options.get("members", 1)) * int(form.options.get("samples", 1))
