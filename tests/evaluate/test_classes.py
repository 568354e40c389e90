"""Classes of a model against those of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from sbn_deploy.data import Stream
from sbn_deploy.evaluate.classes import class_names, matched_labels
from sbn_runtime import InputError

ANIMALS = ["bird", "cat", "dog"]


def data(classes: list[str] | None) -> Stream:
    return Stream(
        name="set",
        labels=np.array([0, 1, 2, 7, -1]),
        classes=None if classes is None else tuple(classes),
        pixel_max=255,
        shape=(4, 4, 1),
        title=str,
        read=lambda wanted: iter(()),
        fingerprint=str,
    )


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (ANIMALS, ANIMALS),
        (ANIMALS, None),
        (ANIMALS, ["0", "1", "2"]),
        (["0", "1", "2"], ANIMALS),
        (None, ANIMALS),
        (["one too few", "?"], ANIMALS),
        (None, None),
    ],
)
def test_labels_stay(own: list[str] | None, theirs: list[str] | None) -> None:
    stream = data(theirs)
    metadata = {} if own is None else {"classes": own}
    assert matched_labels(metadata, stream, 3) is stream.labels
    named = ANIMALS in (own, theirs)
    assert class_names(metadata, stream, 3) == (ANIMALS if named else ["0", "1", "2"])


def test_another_order_is_matched_by_name() -> None:
    labels = matched_labels({"classes": ["dog", "bird", "cat"]}, data(ANIMALS), 3)
    assert labels.tolist() == [1, 2, 0, 7, -1]
    # Class folders are in the order of their names, classes that are numbers are not.
    numbers = [str(i) for i in range(12)]
    stream = data(sorted(numbers))
    assert matched_labels({"classes": numbers}, stream, 12).tolist() != stream.labels.tolist()


@pytest.mark.parametrize(
    ("own", "theirs", "message"),
    [
        (ANIMALS, ["cat", "dog"], r"2 classes \(cat, dog\), but the model has 3 classes \(bird, c"),
        (None, ["cat", "dog"], "but the model has 3 classes$"),
        (ANIMALS, ["bird", "cat", "horse"], "only one of them has horse, dog"),
        (["a", "a", "b"], ["b", "a", "a"], "each name once"),
    ],
)
def test_other_classes(own: list[str] | None, theirs: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        matched_labels({} if own is None else {"classes": own}, data(theirs), 3)
