"""Rows of numbers from CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .preprocess import Standardize

SUFFIX = ".csv"
LARGEST = float(np.finfo(np.float32).max)
Row = tuple[int, list[str]]
"""The number of a line, and its cells."""


def read_rows(path: Path, wanted: Standardize) -> NDArray[np.float32]:
    """The features in a CSV file, float32 [N, F], not normalised.

    Cells are divided by commas, and the text is UTF-8. The first row is a header if one of its
    cells is not a number. Where the model names its features, a header's columns are found by
    name, in any order, and others are left out; else all columns are taken as they stand.

    Raises:
        InputError: the file is missing, damaged, lacks a feature or has a cell that is not a
            finite number; or the model takes no rows.
    """
    if len(wanted.shape) != 1:
        raise InputError(
            f"{path}: the model takes numbers of shape {list(wanted.shape)}, not rows; give it a"
            " .npy file"
        )
    (first, titles), *rows = _lines(path)
    columns: Sequence[int] = range(len(titles))
    if any(_number(cell) is None for cell in titles):
        titles = [title.strip() for title in titles]
        if wanted.features:
            columns = [_column(path, titles, name) for name in wanted.features]
        if not rows:
            raise InputError(f"{path}: has a header, but no rows; add some")
    else:
        rows = [(first, titles), *rows]
        titles = [str(index + 1) for index in columns]
    if len(columns) != wanted.shape[0]:
        raise InputError(
            f"{path}: has {len(columns)} columns, but the model takes {wanted.shape[0]} features"
            + (f": {', '.join(wanted.features)}" if wanted.features else "")
        )
    return np.array([_row(path, row, titles, columns) for row in rows], np.float32)


def _lines(path: Path) -> list[Row]:
    """The rows that are not empty, one at least."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            found = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: is not a CSV file: {error}; separate cells by commas, in UTF-8"
        ) from error
    if not found:
        raise InputError(f"{path}: is empty; give it a row for each input")
    return found


def _column(path: Path, titles: Sequence[str], name: str) -> int:
    """The place of a feature in a header."""
    if titles.count(name) != 1:
        raise InputError(
            f"{path}: has {titles.count(name) or 'no'} columns named {name!r} in its header"
            f" ({', '.join(titles)}); the model needs one"
        )
    return titles.index(name)


def _row(path: Path, row: Row, titles: Sequence[str], columns: Sequence[int]) -> list[float]:
    line, cells = row
    if len(cells) != len(titles):
        raise InputError(f"{path}: line {line} has {len(cells)} cells, others {len(titles)}")
    numbers = []
    for column in columns:
        number = _number(cells[column])
        if number is None or not abs(number) <= LARGEST:
            raise InputError(
                f"{path}: line {line}, column {titles[column]}: {cells[column]!r} is not a finite"
                " number; mend it or remove the row"
            )
        numbers.append(number)
    return numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
