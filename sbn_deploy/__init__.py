"""Train stochastic binary networks, export them bit-packed, run and measure them."""

from typing import TYPE_CHECKING

from sbn_runtime import __version__

__all__ = ["__version__", "export_model"]

if TYPE_CHECKING:
    from .export import export_model


def __getattr__(name: str) -> object:
    # Loads torch, which `import sbn_deploy` does not.
    if name == "export_model":
        from .export import export_model

        return export_model
    raise AttributeError(f"module 'sbn_deploy' has no attribute {name!r}")
