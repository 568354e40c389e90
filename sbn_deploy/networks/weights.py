"""Weights from any checkpoint, without running code in it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_runtime.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor, nn

# Keys under which training scripts store the weights, the likeliest first.
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "ema")
# Parts of names that wrappers add: DataParallel and torch.compile anywhere, others in front.
ANYWHERE = ("module", "_orig_mod")
IN_FRONT = ("model", "net", "network")

# torch counts batches since 1.0 and never needs the count in evaluation.
COUNTS = "num_batches_tracked"
LISTED = 3
SAFE = "torch.save(model.state_dict(), FILE)"


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU.

    A `.safetensors` file, or any file of `torch.save`, of which nothing but tensors
    and plain values is read. Where a training script nested the weights, as in
    `{"epoch": 9, "state_dict": {…}}`, they are found.

    Raises:
        ArtifactError: missing or damaged, no tensors in it, or objects in it that
            only running its code could restore.
    """
    path = Path(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    state = _tensors_in(content)
    if not state:
        raise ArtifactError(f"{path} contains no named tensors; save {SAFE}")
    return state


def load_into(module: nn.Module, path: str | Path) -> None:
    """Copies the weights of a checkpoint into a module whose state they are.

    Prefixes that DataParallel, torch.compile and training scripts add to names are
    undone. Numbers are converted to the dtype of the module's.

    Raises:
        ArtifactError: as `read_state`, or tensors are missing, left over, or of another
            shape; the message lists them.
    """
    from torch import Tensor
    from torch.nn.parameter import is_lazy

    lazy = [name for name, value in module.named_parameters() if is_lazy(value)]
    if lazy:
        raise ArtifactError(
            f"{path} cannot be loaded: {lazy[0]} has no shape yet; run the network once on zeros"
            " before returning it"
        )
    expected = {
        name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)
    }
    state = renamed(read_state(path), expected)
    problems = differences(state, expected)
    if problems:
        raise ArtifactError(
            f"{path} does not match {type(module).__name__}: it {' and '.join(problems)}"
        )
    try:
        module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ArtifactError(f"{path} cannot be loaded: {reason}") from error


def differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What a state misses, has besides, and has in other shapes; each with the first few names."""
    return [
        *_listed("misses", (name for name in expected if name not in state)),
        *_listed("has besides", (name for name in state if name not in expected)),
        *_listed(
            "has other shapes for",
            (
                f"{name} ({list(state[name].shape)} instead of {list(tensor.shape)})"
                for name, tensor in expected.items()
                if name in state and state[name].shape != tensor.shape
            ),
        ),
    ]


def _listed(what: str, names: Iterable[str]) -> list[str]:
    """The first few names and how many there are, or nothing."""
    found = list(names)
    if not found:
        return []
    more = f" … ({len(found)} in all)" if len(found) > LISTED else ""
    return [f"{what} {', '.join(found[:LISTED])}{more}"]


def renamed(state: dict[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state under the names that are expected, where wrappers changed them.

    Counts of batches are those of `expected` where the state has none.
    """
    if _essential(state) != _essential(expected):
        cores = {_core(name): name for name in expected}
        undone = {cores.get(_core(name), name): tensor for name, tensor in state.items()}
        # Only if no two names have become one.
        if len(cores) == len(expected) and len(undone) == len(state):
            state = undone
    counts = {name: tensor for name, tensor in expected.items() if name.endswith(COUNTS)}
    return counts | {
        name: tensor
        for name, tensor in state.items()
        if name in expected or not name.endswith(COUNTS)
    }


def _essential(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.endswith(COUNTS)}


def _core(name: str) -> str:
    """A name without what wrappers add to it."""
    parts = [part for part in name.split(".") if part not in ANYWHERE]
    while len(parts) > 1 and parts[0] in IN_FRONT:
        parts.pop(0)
    return ".".join(parts)


def _tensors_in(content: Any) -> dict[str, Tensor]:
    """The outermost mapping of names to tensors, among those that are nested the likeliest."""
    from torch import Tensor

    if not isinstance(content, Mapping):
        return {}
    for key in NESTED:
        found = _tensors_in(content.get(key))
        if found:
            return found
    own = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    others = [
        found
        for name, value in content.items()
        if "optim" not in str(name) and (found := _tensors_in(value))
    ]
    return others[0] if not own and len(others) == 1 else own


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from sbn_deploy.nn import storage

    state = storage.read_tensors(path)
    for name in (storage.CALIBRATION, storage.DIGESTS):
        state.pop(name, None)
    return state


def _read_pickle(path: Path) -> Any:
    import torch

    try:
        path.open("rb").close()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        with torch.serialization.safe_globals(_plain_values()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on old files and TorchScript
            return torch.load(path, map_location="cpu", weights_only=True)
    # torch raises whatever its parsers meet in a damaged file, OSError too.
    except Exception as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise ArtifactError(
                f"{path} holds {named[1]}, which can only be restored by running code from the"
                f" file; nothing was run; where the file was made, save {SAFE}"
            ) from error
        raise ArtifactError(
            f"{path} is damaged, or not a state dict written by torch.save; where the file was"
            f" made, save {SAFE}"
        ) from error


def _plain_values() -> list[Any]:
    """What training scripts store beside weights, without code: options, paths, numpy numbers."""
    from argparse import Namespace
    from pathlib import PosixPath

    import numpy as np

    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    dtypes = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, bool)]
    return [
        Namespace,
        PosixPath,
        np.dtype,
        *dtypes,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]
