"""Names that the Hugging Face hub knows, for the front matter of model cards."""

from __future__ import annotations

import re

from sbn_deploy.names import suggest
from sbn_runtime.errors import ConfigError

LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigcode-openrail-m",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "isc",
        "lppl-1.3c",
        "ms-pl",
        "mpl-2.0",
        "odc-by",
        "odbl",
        "openrail++",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "unlicense",
        "zlib",
        "pddl",
        "lgpl-lr",
        "unknown",
        "other",
    ]
)
"""Identifiers of licenses, as https://huggingface.co/docs/hub/repositories-licenses lists them."""

DATASETS = {"cifar10": "uoft-cs/cifar10"}
"""Data sets of ours that are there too."""


def license_id(text: str) -> str:
    """An identifier of a license. Raises ConfigError where the hub knows none like it."""
    if text not in LICENSES:
        raise ConfigError(
            f"unknown license {text!r}{suggest(text.lower(), LICENSES)}; the hub takes the"
            " identifiers of https://huggingface.co/docs/hub/repositories-licenses, or other"
        )
    return text


def dataset_id(name: str) -> str:
    """The name of a data set on the hub or, where it is not there, one of the form that it takes.

    Letters and digits of ASCII, `_`, `-` and `.`.
    """
    return DATASETS.get(name) or re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "unknown"
