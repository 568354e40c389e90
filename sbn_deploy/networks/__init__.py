"""Networks from the user's own files: references, state dicts, and what their code raises."""

from .reference import Built, build, is_offered, names_code
from .weights import load_into, read_state

__all__ = ["Built", "build", "is_offered", "load_into", "names_code", "read_state"]
