"""The registry of architectures: `names()`, `create(arch, …)`, `create_twin(arch, …)`."""

from sbn_deploy.nn.models.digits_cnn import DigitsCnn
from sbn_deploy.nn.models.network import (
    BinaryLayers,
    Layers,
    Network,
    RealLayers,
    create,
    create_twin,
    names,
)
from sbn_deploy.nn.models.restore import from_header, load_state

__all__ = [
    "BinaryLayers",
    "DigitsCnn",
    "Layers",
    "Network",
    "RealLayers",
    "create",
    "create_twin",
    "from_header",
    "load_state",
    "names",
]
