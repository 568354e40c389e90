"""Remembers which images were trained on, without keeping them.

A checkpoint has a digest of 8 bytes of each training image. A file keeps the smallest 1,024 of
them, of 4 bytes: digests are uniformly distributed, so these are a random sample of the images, and
any other image with a digest this small can be checked against them. 5.5 kB of text are enough to
detect calibration on training images, however large the training set was; a filter for every image
would take 60 kB for the 50,000 of CIFAR-10, about half of a small network.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError

KEPT = 1024
TRAINING_IMAGES = "training_images"
"""Where a file keeps the `Sketch` of its training images."""
_FEW = 0.02


def digests(images: NDArray[Any]) -> NDArray[np.uint64]:
    """Of each image, sorted, uint64 [N]: the first 8 bytes, big-endian, of a SHA-256.

    It is of the dtype and shape as numpy writes them, and of the bytes in C order.

    Args:
        images: as `sbn_deploy.data` loads them, [N, ...].
    """
    kind = f"{images.dtype.str}{images.shape[1:]}".encode()
    found = [hashlib.sha256(kind + image.tobytes()).digest()[:8] for image in images]
    return np.sort(np.frombuffer(b"".join(found), ">u8").astype(np.uint64))


@dataclass(frozen=True)
class Sketch:
    """What a file keeps of the digests of its training images.

    Attributes:
        images: how many there were.
        split: the part of the data set that they were, "train" where validation was held out.
        kept: uint32 [at most 1,024], the first 4 bytes of the smallest digests, sorted.
    """

    images: int
    split: str
    kept: NDArray[np.uint32]

    @classmethod
    def of(cls, found: NDArray[np.uint64], split: str) -> Sketch:
        """Of sorted digests."""
        return cls(len(found), split, (found[:KEPT] >> np.uint64(32)).astype(np.uint32))

    def to_json(self) -> dict[str, Any]:
        """For the metadata of a file."""
        text = base64.b64encode(self.kept.astype("<u4").tobytes()).decode()
        return {"images": self.images, "split": self.split, "smallest_digests": text}

    @classmethod
    def parse(cls, said: Any) -> Sketch:
        """From the metadata of a file. Raises ModelError for what is damaged."""
        try:
            images, split, text = said["images"], said["split"], said["smallest_digests"]
            kept = np.frombuffer(base64.b64decode(text, validate=True), "<u4").astype(np.uint32)
            if (
                type(images) is not int
                or type(split) is not str
                or not 0 < len(kept) <= min(images, KEPT)
            ):
                raise ValueError
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "the file's record of its training images is damaged; export it again"
            ) from error
        return cls(images, split, kept)

    def asked(self, others: NDArray[np.uint64]) -> tuple[int, int]:
        """Of images with these digests, how many can be asked, and how many were trained on."""
        short = (others >> np.uint64(32)).astype(np.uint32)
        if self.images > len(self.kept):
            short = short[short <= self.kept[-1]]
        return len(short), int(np.isin(short, self.kept).sum())

    def overlap(self, others: NDArray[np.uint64]) -> float:
        """The share of images that were trained on, as far as can be told; 0 where none can.

        A single match counts as a duplicate in the data, as do up to 2 % of the images.
        """
        asked, known = self.asked(others)
        return known / asked if known > max(1, _FEW * asked) else 0.0
