"""Mutations that every format has in common, and how an answer is judged."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from sbn_runtime.errors import SbnError

INTEGERS = (0, 1, 2, 7, 8, 64, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**40)
LARGE = (2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30)


def verdict(*readers: Callable[[], object]) -> str:
    """What comes of the readers; each may be refused."""
    answers = set()
    for read in readers:
        try:
            read()
        except SbnError as error:
            if len(str(error).splitlines()) != 1:
                raise AssertionError(f"not one line: {error}") from error
            answers.add("refused")
        else:
            answers.add("accepted")
    return "refused" if "refused" in answers else "accepted"


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with a few of them changed, cut off, repeated or left out."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        if not found:
            break
        at = rng.randrange(len(found))
        match rng.randrange(6):
            case 0:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                found[at] = rng.choice((0, 1, 127, 128, 255))
            case 2:
                size = rng.choice((1, 2, 4, 8))
                value = rng.choice((*INTEGERS, *LARGE, -1)) % 2 ** (8 * size)
                found[at : at + size] = value.to_bytes(size, "little")
            case 3:
                del found[at : at + rng.choice((1, 2, 8, 100, len(found)))]
            case 4:
                piece = found[at : at + rng.choice((1, 4, 40))]
                found[at:at] = piece * rng.choice((1, 2, 20))
            case _:
                found[at:at] = rng.randbytes(rng.choice((1, 4, 16)))
    return bytes(found)


def value(rng: random.Random, depth: int = 2) -> Any:
    """Anything that JSON can hold."""
    kind = rng.randrange(9 if depth else 7)
    match kind:
        case 0:
            return None
        case 1:
            return rng.choice((True, False))
        case 2:
            return rng.choice((*INTEGERS, *LARGE, -1, -(2**63)))
        case 3:
            return rng.choice((0.0, 1.5, -1.0, 1e9, 1e308, float("inf"), float("nan")))
        case 4 | 5 | 6:
            return rng.choice(("", "0", "a\0b", "\udcff", "\n", "é", "x" * 300, "../..", "1e9"))
        case 7:
            return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
        case _:
            return {str(value(rng, 0)): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def changed(tree: Any, rng: random.Random) -> Any:
    """A copy of a tree of JSON, one place of which holds something else, or nothing."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        if rng.random() < 0.15:
            return {name: inner for name, inner in tree.items() if name != key}
        return tree | {key: changed(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.7:
        index = rng.randrange(len(tree))
        return [*tree[:index], changed(tree[index], rng), *tree[index + 1 :]]
    if rng.random() < 0.02:
        nested: Any = tree
        for _ in range(rng.choice((50, 70, 150))):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested
    return value(rng)
