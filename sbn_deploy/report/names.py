"""What a report calls models, machines and the ways a model was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from sbn_deploy.records.benchmark import Benchmark
from sbn_deploy.records.measurement import Measurement, Model
from sbn_deploy.records.profile import Profile


def form(model: Model) -> str:
    """How weights and activations were made: "thresholded", "4 members, noise × 8"."""
    if model.weights is None and model.members == 1:
        weights = "real weights" if model.arch is not None else "as is"
    elif model.weights == "sample" or model.members > 1:
        weights = f"{model.members} sampled member{'s' if model.members > 1 else ''}"
    else:
        weights = "thresholded"
    if model.activations != "stochastic":
        return weights
    return f"{weights}, noise × {model.samples}"


def model_names(models: Iterable[Model]) -> dict[str, str]:
    """A name for each model by its SHA-256; part of it is added where two names are the same."""
    by_digest = {model.sha256: model.name for model in models}
    frequency = Counter(by_digest.values())
    return {
        digest: name if frequency[name] == 1 else f"{name} ({digest[:6]})"
        for digest, name in by_digest.items()
    }


@dataclass(frozen=True)
class Where:
    """What tells a machine, as it was, from others: times compare where all of it is the same.

    `host` is that of a device which was reached over a connection.
    """

    cpu: str
    isa: str
    architecture: str
    host: str | None
    cores: int | None
    memory_bytes: int | None
    onnxruntime: str | None
    id: str | None

    @classmethod
    def of(cls, record: Measurement) -> Where:
        """Where a measurement was made."""
        remote = record.remote if isinstance(record, Benchmark | Profile) else None
        machine = asdict(record.machine)
        own = {field.name: machine[field.name] for field in fields(cls) if field.name != "host"}
        return cls(**own, host=None if remote is None else remote.host)


_DIFFERENCES = {
    "architecture": "{}",
    "host": "{}",
    "cores": "{} cores",
    "memory_bytes": "{:,} bytes of memory",
    "onnxruntime": "onnxruntime {}",
    "id": "machine {}",
}


def machine_names(places: Iterable[Where]) -> dict[Where, str]:
    """A name for each machine: its CPU and kernels, and in what it differs from others of them."""
    names: dict[Where, str] = {}
    ordered = list(dict.fromkeys(places))
    for place in ordered:
        alike = [other for other in ordered if (other.cpu, other.isa) == (place.cpu, place.isa)]
        said = [f"{place.cpu}, {place.isa} kernels"]
        for field, text in _DIFFERENCES.items():
            value = getattr(place, field)
            if value is not None and len({getattr(other, field) for other in alike}) > 1:
                said.append(text.format(value))
        names[place] = ", ".join(said)
    return names
