"""Options of the verbs that take somebody's own network: what it is, takes and answers."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from sbn_runtime.errors import InputError

Shape = tuple[int, ...]
# Numbers in an input: 1 GB.
LARGEST = 1 << 28


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """`--checkpoint` of a network that a reference names."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="weights of FILE.py:NAME: a state dict as .safetensors, or as torch.save wrote it",
    )


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """`--checkpoint` and `--input` of a network that a reference names."""
    add_checkpoint_option(parser)
    parser.add_argument(
        "--input",
        type=shapes,
        default=(),
        metavar="SHAPE",
        help="what FILE.py:NAME takes, batch first, as 1x3x32x32; several inputs as 1x3x32x32,1x10",
    )


def add_meaning_options(parser: argparse.ArgumentParser) -> None:
    """`--task`, `--classes` and `--preprocess`."""
    from sbn_runtime.tasks import NAMES

    parser.add_argument(
        "--task",
        choices=NAMES,
        help="what FILE.py:NAME answers (default: classification for [N, K], regression for [N]"
        " and [N, 1], else none)",
    )
    parser.add_argument(
        "--classes",
        metavar="LIST",
        help="names of its classes: a text file with one per line, or a list as cat,dog",
    )
    parser.add_argument(
        "--preprocess",
        nargs="+",
        default=(),
        metavar="KEY=VALUE",
        help="how its images are normalised, (pixel / range - mean) / std: mean=0.485,0.456,0.406"
        " std=0.229,0.224,0.225 range=255 order=rgb size=224x224; numbers may be fractions"
        " (default: mean 0, std 1, range 255, order rgb, the size of --input)",
    )


def shapes(text: str) -> tuple[Shape, ...]:
    """An argparse type: shapes as 1x3x32x32,1x10."""
    try:
        found = tuple(tuple(int(size) for size in shape.split("x")) for shape in text.split(","))
    except ValueError:
        found = ((0,),)
    if min(map(min, found)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as 1x3x32x32")
    if max(map(math.prod, found)) > LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {LARGEST:,} numbers")
    return found


def class_names(text: str | None) -> list[str] | None:
    """The classes of `--classes`.

    Raises InputError for a file that cannot be read, and for a class that is named twice.
    """
    if text is None:
        return None
    if "," in text:
        lines = text.split(",")
    else:
        try:
            lines = Path(text).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise InputError(
                f"--classes {text}: {reason}; give a file with one class per line, or cat,dog"
            ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--classes {text}: give each class once, one per line or as cat,dog")
    return names
