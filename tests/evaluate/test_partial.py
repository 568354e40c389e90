"""The answers of an unfinished evaluation, whatever became of its file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_deploy.evaluate.partial import Batch, Partial
from sbn_runtime import InputError

KEY = {"model": "abc", "samples": 3}


def batches(count: int, classes: int = 3) -> list[Batch]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        answered = int(rng.integers(0, 5))
        found.append(
            Batch(
                first=5 * number,
                count=5,
                indices=5 * number + np.arange(answered),
                labels=rng.integers(0, classes, answered),
                probabilities=rng.dirichlet(np.ones(classes), answered).astype(np.float32),
                skipped=[(5 * number + i, f"reason\n{i}") for i in range(answered, 5)],
                seconds=float(rng.random()),
            )
        )
    return found


def plain(found: list[Batch]) -> list[dict[str, object]]:
    return [
        {name: getattr(value, "tolist", lambda v=value: v)() for name, value in vars(one).items()}
        for one in found
    ]


def written(path: Path, content: list[Batch]) -> None:
    partial = Partial(path, KEY)
    assert list(partial.batches()) == []
    for batch in content:
        partial.append(batch)
    partial.close()


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    path, content = tmp_path / "x.part", batches(4)
    written(path, content)
    partial = Partial(path, KEY)
    found = list(partial.batches())
    assert not partial.dropped
    assert plain(found) == plain(content)
    assert found[0].probabilities.dtype == np.float32
    partial.close()


def test_answers_of_something_else_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    written(path, batches(4))
    for key, dropped in (({**KEY, "samples": 4}, True), ({**KEY, "samples": 4}, False)):
        partial = Partial(path, key)
        assert partial.dropped == dropped
        assert list(partial.batches()) == []
        partial.close()


@given(st.data())
def test_damage_costs_what_follows_it_only(data: st.DataObject) -> None:
    content = batches(4)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.part"
        written(path, content)
        intact = path.read_bytes()
        at = data.draw(st.integers(0, len(intact) - 1), "at")
        damaged = bytearray(intact)
        if data.draw(st.booleans(), "cut"):
            del damaged[at:]
        else:
            damaged[at] ^= data.draw(st.integers(1, 255), "bits")
        path.write_bytes(damaged)
        partial = Partial(path, KEY)
        found = list(partial.batches())
        assert plain(found) == plain(content[: len(found)])
        for batch in content[len(found) :]:
            partial.append(batch)
        partial.close()
        assert path.read_bytes() == intact


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    first = Partial(path, KEY)
    with pytest.raises(InputError, match="is being written by another run"):
        Partial(path, KEY)
    first.close()
    Partial(path, KEY).close()
