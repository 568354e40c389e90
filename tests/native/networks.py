"""Forms and small sizes of the networks of the registry."""

from __future__ import annotations

from sbn_deploy.materialize import Form

ENSEMBLE = Form("sample", 2, seed=1)
NOISE = Form("sample", 2, seed=1, activations="stochastic", samples=3)
RESIDUAL: dict[str, object] = {"size": 32, "classes": 5}
QUICK = RESIDUAL | {"widths": (16, 32), "blocks": (2, 1)}
SMALLER: dict[str, dict[str, object]] = {
    "birealnet18": RESIDUAL | {"width": 8},
    "cifar-vgg": {"size": 8, "width": 8},
    "cifar-vgg-s": {"size": 8, "width": 8},
    "quicknet": QUICK,
    "quicknet-large": QUICK,
    "quicknet-small": QUICK,
}
FORMS = {"threshold": Form(), "ensemble": ENSEMBLE, "noise": NOISE}
