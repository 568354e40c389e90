"""References to networks, and the networks that they name.

A reference is one of

- the name of an architecture of `sbn_deploy.nn.models`,
- `FILE.py:NAME`: a class, a function or a finished module in a file; NAME may be dotted,
- `package.module:NAME`: the same in a module that Python finds,
- a name that an installed package offers in its entry points `sbn_deploy.networks`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sbn_runtime.errors import ConfigError, SbnError

from .failure import user_error
from .source import importable, load_file, search_path

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

GROUP = "sbn_deploy.networks"
"""Entry points of installed packages that name networks."""


@dataclass(frozen=True)
class Built:
    """A network and where it came from.

    Attributes:
        module: in evaluation mode, on the CPU.
        reference: as it was given; a file below this folder is relative to it.
        kind: "fp32" for the twin of an architecture.
        config: the settings that it was built with.
        sha256: of the file that defines it; empty for other references.
    """

    module: nn.Module
    reference: str
    kind: Literal["sbn", "fp32"] = "sbn"
    config: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""


@dataclass(frozen=True)
class _Found:
    """What a reference names, the folders that its code imports from, the digest of its file."""

    value: Any
    folders: Sequence[Path]
    sha256: str = ""


def names_code(text: str) -> bool:
    """Whether the text names a network in a Python file or module, rather than a file of ours."""
    return text.endswith(".py") or (":" in text and not Path(text).is_file())


def is_offered(text: str) -> bool:
    """Whether an installed package offers a network of this name."""
    return text in importlib.metadata.entry_points(group=GROUP).names


def build(
    reference: str,
    config: Mapping[str, Any] | None = None,
    *,
    offered: Mapping[str, Any] | None = None,
    twin: bool = False,
    trusted: bool = True,
) -> Built:
    """Builds the network that a reference names, with new weights from torch's generator.

    A class or function is called; a module is taken as it is. Meanwhile the file's
    folder is on Python's path, and whatever asks for CUDA stays on the CPU.

    Args:
        config: keyword arguments of the class or function, or the settings of an
            architecture.
        offered: more of them, which are passed only where a parameter has the name.
        twin: build the fp32 twin of an architecture.
        trusted: False if it was not the user who gave the reference; it must then be
            defined in the file itself.

    Raises:
        ConfigError: nothing has this name, it is not a network, it takes other arguments,
            or it raises; `__cause__` is then what it raised.
    """
    from sbn_deploy.nn import models

    given, more = dict(config or {}), dict(offered or {})
    if reference in models.names():
        return _architecture(reference, more | given, twin)
    found = _find(reference, trusted)
    reference = _from_here(reference)
    if isinstance(found.value, type) and issubclass(found.value, models.Network):
        arch = found.value.arch
        made = _run(reference, found, lambda: _architecture(arch, more | given, twin))
        return Built(made.module, reference, made.kind, made.config, found.sha256)
    if twin:
        raise ConfigError(
            f"{reference} has no fp32 twin: only subclasses of sbn_deploy.nn.models.Network do"
        )
    return _own(reference, found, given, more)


def _architecture(arch: str, config: Mapping[str, Any], twin: bool) -> Built:
    from sbn_deploy.nn import models

    network = (models.create_twin if twin else models.create)(arch, **config)
    return Built(network.eval(), arch, network.kind, network.config)


def _own(
    reference: str, found: _Found, config: dict[str, Any], offered: Mapping[str, Any]
) -> Built:
    from torch import nn

    from sbn_deploy.nn.binarization.result import Binarized

    made = found.value
    if isinstance(made, nn.Module):
        if config:
            raise ConfigError(f"{reference} is a module instance, which takes no settings")
    else:
        config = _arguments(reference, made, config, offered)
        made = _run(reference, found, lambda: made(**config))
    if isinstance(made, Binarized):
        made = made.model
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{reference} returns {_a(made)}; it must return a torch.nn.Module")
    return Built(made.eval(), reference, "sbn", config, found.sha256)


def _run(reference: str, found: _Found, make: Callable[[], T]) -> T:
    """Runs the user's code. Raises ConfigError in place of what it raises."""
    from .cuda import without_cuda

    try:
        with importable(found.folders), without_cuda():
            return make()
    except SbnError:
        raise
    except (Exception, SystemExit) as error:
        raise user_error(reference, error) from error


def _from_here(reference: str) -> str:
    """The reference with its file relative to this folder, where it lies below."""
    file, _, name = reference.rpartition(":")
    if not file.endswith(".py"):
        return reference
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path.as_posix()}:{name}"


def _find(reference: str, trusted: bool) -> _Found:
    """What a reference outside the registry names."""
    from .cuda import without_cuda

    left, colon, name = reference.rpartition(":")
    with without_cuda():
        if reference.endswith(".py"):
            return _in_file(Path(reference), "", trusted)
        if left.endswith(".py"):
            return _in_file(Path(left), name, trusted)
        return _in_module(left, name) if colon else _offered(reference)


def _in_file(file: Path, name: str, trusted: bool) -> _Found:
    # Repositories are run from their top folder.
    folders = list(dict.fromkeys([*search_path(file), Path.cwd()]))
    with importable(folders):
        module = load_file(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    value = _attribute(module, name, str(file))
    if not trusted and not _is_defined_in(module, value):
        raise ConfigError(
            f"{file} imports {name} instead of defining it; give the network that you mean"
        )
    return _Found(value, folders, digest)


def _in_module(path: str, name: str) -> _Found:
    folders = [Path.cwd()]
    with importable(folders):
        try:
            module = importlib.import_module(path)
        except (Exception, SystemExit) as error:
            raise user_error(f"importing {path}", error) from error
    return _Found(_attribute(module, name, path), folders)


def _offered(name: str) -> _Found:
    from sbn_deploy.names import suggest
    from sbn_deploy.nn import models

    offers = importlib.metadata.entry_points(group=GROUP)
    folders = [Path.cwd()]
    if name not in offers.names:
        known = sorted({*models.names(), *offers.names})
        raise ConfigError(
            f"unknown network {name!r}{suggest(name, known)}; choose one of"
            f" {', '.join(known)}, or give FILE.py:NAME"
        )
    try:
        return _Found(offers[name].load(), folders)
    except Exception as error:
        raise user_error(f"the entry point {name}", error) from error


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    from sbn_deploy.names import suggest

    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None) if part else None
    if callable(value):  # as modules of torch are
        return value
    if not name:
        problem = f"{where} needs the name of a network after it, as in {where}:NAME"
    else:
        problem = f"{where} has " + (f"no {name}" if value is None else f"{name}, {_a(value)}")
    names = _candidates(module)
    if not names:
        raise ConfigError(f"{problem}; it defines no class or function")
    raise ConfigError(f"{problem}{suggest(name, names)}; it defines {', '.join(names)}")


def _candidates(module: ModuleType) -> list[str]:
    """Names of what could be a network, in the order of the file."""
    from torch import nn

    return [
        name
        for name, value in vars(module).items()
        if name[0] != "_"
        and (inspect.isfunction(value) or _is_module_class(value) or isinstance(value, nn.Module))
        and _is_defined_in(module, value)
    ]


def _is_defined_in(module: ModuleType, value: object) -> bool:
    """Whether the code of a class or function stands in the module; finished networks count."""
    from torch import nn

    return isinstance(value, nn.Module) or getattr(value, "__module__", "") == module.__name__


def _is_module_class(value: object) -> bool:
    from torch import nn

    return isinstance(value, type) and issubclass(value, nn.Module)


def _arguments(
    reference: str,
    maker: Callable[..., Any],
    config: Mapping[str, Any],
    offered: Mapping[str, Any],
) -> dict[str, Any]:
    """The keyword arguments to call it with. Raises ConfigError if it takes others."""
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):  # it is built in; calling it will show
        return dict(config)
    parameters = signature.parameters
    arguments = {name: value for name, value in offered.items() if name in parameters}
    arguments |= config
    try:
        signature.bind(**arguments)
    except TypeError as error:
        needed = [
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and name not in arguments
        ]
        if needed:
            raise ConfigError(
                f"{reference} needs arguments ({', '.join(needed)}); write a function without"
                " arguments that returns the network, and name that"
            ) from error
        raise ConfigError(
            f"{reference}: {error}; it takes {', '.join(parameters) or 'none'}"
        ) from error
    return arguments


def _a(value: object) -> str:
    """What a value is, with its article."""
    if value is None:
        return "nothing"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
