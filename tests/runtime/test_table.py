"""Rows of numbers from CSV files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import InputError, ModelError, Session
from sbn_runtime.preprocess import Standardize, preprocess_from
from sbn_runtime.table import read_rows

from ..task_models import ROWS, answers, rows, save

NAMED = Standardize((2,), (0.0, 0.0), (1.0, 1.0), ("age", "bmi"))
NAMELESS = Standardize((2,), (0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("age,bmi\n59,32.1\n48,21.6\n", NAMED),
        ('\ufeff"bmi", name ,age\r\n32.1,"Doe, J.", 59\r\n\r\n21.6,,48\r\n', NAMED),
        ("59,32.1\n4.8e1,21.6", NAMED),
        ("59,32.1\n48,21.6", NAMELESS),
        ("a,b\n59,32.1\n48,21.6", NAMELESS),
    ],
)
def test_rows(tmp_path: Path, content: str, wanted: Standardize) -> None:
    """Columns by name where both sides have names, else as they stand."""
    file = tmp_path / "rows.csv"
    file.write_text(content, encoding="utf-8", newline="")
    found = read_rows(file, wanted)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[59, 32.1], [48, 21.6]], np.float32))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty; give it a row"),
        ("\n , \n", "is empty; give it a row"),
        ("age,bmi\n", "has a header, but no rows"),
        ("age,BMI\n1,2\n", r"has no columns named 'bmi' in its header \(age, BMI\)"),
        ("age,age,bmi\n1,2,3\n", "has 2 columns named 'age'"),
        ("1,2,3\n", "has 3 columns, but the model takes 2 features: age, bmi"),
        ("age,bmi\n1,2\n\n3\n", "line 4 has 1 cells, others 2"),
        ("age,bmi\n1,\n", "line 2, column bmi: '' is not a finite number"),
        ("age,bmi\n1,1e39\n", "line 2, column bmi: '1e39' is not a finite number"),
        ("1,2\nnan,2\n", "line 2, column 1: 'nan' is not a finite number"),
        ("age;bmi\n1;2\n", "has no columns named 'age' in its header"),
        ('age,bmi\n"1,2\n', "is not a CSV file: unexpected end of data"),
        (b"\xff\xfe\n", "is not a CSV file: .*utf-8"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str | bytes, problem: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"rows.csv: {problem}"):
        read_rows(file, NAMED)


def test_files_and_models_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_rows(tmp_path / "rows.csv", NAMED)
    with pytest.raises(InputError, match="Is a directory"):
        read_rows(tmp_path, NAMED)
    with pytest.raises(InputError, match=r"numbers of shape \[1, 2\], not rows"):
        read_rows(tmp_path / "rows.csv", Standardize((1, 2), (0.0,), (1.0,)))


def test_a_session_takes_csv_files(tmp_path: Path) -> None:
    names = tuple(f"f{index}" for index in range(16))
    fields = Standardize((16,), (100.0,) * 16, (4.0,) * 16, names).to_json()
    model = save(tmp_path / "m.onnx", ROWS, "regression", metadata={"preprocess": fields})
    x = rows(4)
    raw = x * 4 + 100
    for part, file in ((raw[:3], "a.csv"), (raw[3:], "b.csv")):
        # Backwards: columns are found by name.
        np.savetxt(
            tmp_path / file, part[:, ::-1], "%.9g", ",", header=",".join(names[::-1]), comments=""
        )
    session = Session(model)
    found = session.predict(session.preprocess([tmp_path / "a.csv", tmp_path / "b.csv"]))
    np.testing.assert_allclose(found, answers(x, 0), rtol=1e-5, atol=1e-5)
    with pytest.raises(ModelError, match="takes numbers of shape"):
        session.preprocess(tmp_path / "a.png")


def test_names_survive_json() -> None:
    assert preprocess_from(NAMED.to_json()) == NAMED
    assert "features" not in NAMELESS.to_json()
    for wrong in (["a"], ["a", "a"], "ab", [1, 2], 3):
        with pytest.raises(ModelError, match="preprocessing description is"):
            preprocess_from(NAMED.to_json() | {"features": wrong})
