"""What a report calls models, engines and the ways a model was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sbn_deploy.measure.measurement import ModelFacts

# The engines that compute the very network of the file: its accuracy is theirs. The others run
# a network of the same architecture with real weights.
SAME_NETWORK = {"sbn", "lce", "onnxruntime"}
ENGINES = {
    "sbn": "sbn",
    "lce": "LCE",
    "onnxruntime-fp32": "fp32 in onnxruntime",
    "onnxruntime-int8": "int8 in onnxruntime",
    "torch": "fp32 in torch",
}


def engine_name(engine: str) -> str:
    """An engine for people."""
    return ENGINES.get(engine, engine)


def form(model: ModelFacts) -> str:
    """How weights and activations were made: "thresholded", "4 members, noise × 8"."""
    if model.weights is None and model.members == 1:
        weights = "real weights" if model.arch is not None else "as it came"
    elif model.weights == "sample" or model.members > 1:
        weights = f"{model.members} sampled member{'s' if model.members > 1 else ''}"
    else:
        weights = "thresholded"
    if model.activations != "stochastic":
        return weights
    return f"{weights}, noise × {model.samples}"


def model_names(models: Iterable[ModelFacts]) -> dict[str, str]:
    """A name for each model by its SHA-256; part of it is added where two names are the same."""
    by_digest = {model.sha256: model.name for model in models}
    frequency = Counter(by_digest.values())
    return {
        digest: name if frequency[name] == 1 else f"{name} ({digest[:6]})"
        for digest, name in by_digest.items()
    }
