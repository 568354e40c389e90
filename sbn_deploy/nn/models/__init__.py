"""The registry of architectures: `names()`, `create(arch, …)`, `create_twin(arch, …)`."""

from sbn_deploy.nn.models.birealnet import BiRealNet18
from sbn_deploy.nn.models.cifar_vgg import CifarVgg, CifarVggSmall
from sbn_deploy.nn.models.digits_cnn import DigitsCnn
from sbn_deploy.nn.models.mlp import Mlp
from sbn_deploy.nn.models.network import (
    BinaryLayers,
    BinaryOptions,
    Layers,
    Network,
    RealLayers,
    create,
    create_twin,
    names,
    settings,
)
from sbn_deploy.nn.models.quicknet import QuickNet, QuickNetLarge, QuickNetSmall
from sbn_deploy.nn.models.restore import from_header, load_state
from sbn_deploy.nn.models.shape import input_shape
from sbn_deploy.nn.models.signals_cnn import SignalsCnn
from sbn_deploy.nn.models.sounds_cnn import SoundsCnn

__all__ = [
    "BiRealNet18",
    "BinaryLayers",
    "BinaryOptions",
    "CifarVgg",
    "CifarVggSmall",
    "DigitsCnn",
    "Layers",
    "Mlp",
    "Network",
    "QuickNet",
    "QuickNetLarge",
    "QuickNetSmall",
    "RealLayers",
    "SignalsCnn",
    "SoundsCnn",
    "create",
    "create_twin",
    "from_header",
    "input_shape",
    "load_state",
    "names",
    "settings",
]
