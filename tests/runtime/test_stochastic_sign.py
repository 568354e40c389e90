"""StochasticSign on every kernel set: the definition's bits, and what noise must be.

`python -m tests.runtime.test_stochastic_sign` writes tests/golden/stochastic_sign.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.runtime.one_node import ISAS, SEEDS, Array, check, error_of, model, session
from tests.stochastic import limit, normal_table, random_bits, stochastic_sign

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "stochastic_sign.json"
Numbers = dict[str, int]


def feeds(
    x: NDArray[np.int16],
    table: NDArray[np.int32] | None = None,
    *,
    seed: int = 0,
    first_sample: int = 0,
    samples: int = 1,
) -> dict[str, Array]:
    """The inputs of the operator."""
    return {
        "X": x,
        "table": normal_table() if table is None else table,
        "seed": np.array(seed, np.int64),
        "first_sample": np.array(first_sample, np.int64),
        "samples": np.array(samples, np.int64),
    }


def draw(
    x: NDArray[np.int16],
    isa: str,
    *,
    layer: int = 0,
    fan_out: int = 1,
    threads: int = 1,
    table: NDArray[np.int32] | None = None,
    **numbers: int,
) -> NDArray[np.uint64]:
    """The packed signs that a kernel set draws."""
    inputs = feeds(x, table, **numbers)
    attributes = {"layer": layer, "fan_out": fan_out}
    proto = model("StochasticSign", inputs, attributes, constants=("table",), functions=False)
    inputs.pop("table")
    signs: NDArray[np.uint64] = session(proto, isa, threads=threads).run(None, inputs)[0]
    return signs


def some_integers(rng: np.random.Generator, *shape: int) -> NDArray[np.int16]:
    x = rng.integers(-(2**15), 2**15, shape)
    near = rng.integers(-600, 600, shape)
    extreme = rng.choice(np.array([-32768, 32767, 0, -1]), shape)
    return np.choose(rng.integers(0, 3, shape), [x, near, extreme]).astype(np.int16)


def random_table(rng: np.random.Generator) -> NDArray[np.int32]:
    """Any table that is allowed: steps, slopes and levels."""
    start, rise = np.zeros(64, np.int64), np.zeros(64, np.int64)
    level = int(rng.integers(32768, 40000))
    for i in range(64):
        start[i] = level
        most = -(-(65536 - level) * 512 // 511) - 1
        rise[i] = min(int(rng.integers(0, rng.choice([1, 900, 40000]))), most)
        level = int(min(65535, max(level + rise[i] * 511 // 512, level + rng.integers(0, 900))))
    return np.stack([start, rise]).astype(np.int32)


@given(
    lead=st.lists(st.integers(1, 5), max_size=2),
    images=st.integers(1, 3),
    channels=st.integers(1, 200),
    samples=st.integers(1, 4),
    first_sample=st.one_of(st.integers(0, 9), st.just(2**31 - 4)),
    layer=st.one_of(st.integers(0, 9), st.just(2**31 - 1)),
    fan_out=st.integers(0, 1),
    seed=SEEDS,
)
def test_kernels_draw_what_the_function_draws(
    lead: list[int],
    images: int,
    channels: int,
    samples: int,
    first_sample: int,
    layer: int,
    fan_out: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    rows = images if fan_out else images * samples
    inputs = feeds(
        some_integers(rng, rows, *lead, channels),
        random_table(rng),
        seed=int(rng.integers(0, 2**63)),
        first_sample=first_sample,
        samples=samples,
    )
    check("StochasticSign", inputs, {"layer": layer, "fan_out": fan_out}, ("table",))


@pytest.mark.parametrize("isa", ISAS)
def test_every_value_of_x(isa: str) -> None:
    x = np.arange(-(2**15), 2**15).astype(np.int16).reshape(1, 128, 512)
    for seed in range(8):
        table = random_table(np.random.default_rng(seed))
        expected = stochastic_sign(x, table, seed, 0, 1, layer=0, fan_out=1)
        np.testing.assert_array_equal(draw(x, isa, seed=seed, table=table), expected)


def golden_input(rows: int, pixels: int, channels: int) -> NDArray[np.int16]:
    count = rows * pixels * channels
    x = (np.arange(count, dtype=np.int64) * 40503 + 977) % 65536 - 32768
    return (
        (x // np.array([1, 8, 64])[np.arange(count) % 3])
        .astype(np.int16)
        .reshape(rows, pixels, channels)
    )


def golden_cases() -> list[dict[str, Any]]:
    """The words of the definition for some inputs."""
    cases = []
    for rows, pixels, channels, fan_out, samples, numbers in (
        (2, 6, 70, 1, 3, {"seed": 0, "first_sample": 0, "layer": 0}),
        (4, 5, 33, 0, 2, {"seed": 2**63 - 1, "first_sample": 2**31 - 2, "layer": 2**31 - 1}),
        (1, 1, 192, 1, 2, {"seed": 2**32 + 7, "first_sample": 41, "layer": 5}),
    ):
        expected = stochastic_sign(
            golden_input(rows, pixels, channels),
            normal_table(),
            numbers["seed"],
            numbers["first_sample"],
            samples,
            layer=numbers["layer"],
            fan_out=fan_out,
        )
        shape = [rows, pixels, channels]
        options = {"fan_out": fan_out, "samples": samples, **numbers}
        words = [f"{word:016x}" for word in expected.ravel().tolist()]
        cases.append({"shape": shape, "options": options, "words": words})
    return cases


def test_definition_gives_the_golden_words() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden["table"] == normal_table().tolist()
    assert golden["cases"] == golden_cases()


@pytest.mark.parametrize("isa", ISAS)
def test_kernels_give_the_golden_words(isa: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    table = np.array(golden["table"], np.int32)
    for case in golden["cases"]:
        signs = draw(golden_input(*case["shape"]), isa, table=table, **case["options"])
        assert [f"{word:016x}" for word in signs.ravel().tolist()] == case["words"]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(5, 9, 9, 200), (3, 64, 64, 130), (4, 1024)])
def test_threads_and_splits_draw_the_same(isa: str, shape: tuple[int, ...]) -> None:
    x = some_integers(np.random.default_rng(0), *shape)
    options: Numbers = {"seed": 99, "layer": 3}
    whole = draw(x, isa, samples=6, first_sample=10, **options)
    for threads in (2, 3):
        again = draw(x, isa, samples=6, first_sample=10, threads=threads, **options)
        np.testing.assert_array_equal(again, whole)
    by_sample = whole.reshape(6, shape[0], *whole.shape[1:])
    first, second = (
        draw(part, isa, samples=6, first_sample=10, **options).reshape(
            6, len(part), *whole.shape[1:]
        )
        for part in (x[:2], x[2:])
    )
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), by_sample)
    parts = [
        draw(x, isa, samples=count, first_sample=first_sample, **options)
        for first_sample, count in ((10, 2), (12, 1), (13, 3))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    repeated = np.concatenate([x] * 6)
    unfanned = draw(repeated, isa, samples=6, first_sample=10, fan_out=0, **options)
    np.testing.assert_array_equal(unfanned, whole)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [1, 31, 64, 100])
def test_unaligned_and_empty_inputs(isa: str, channels: int) -> None:
    x = some_integers(np.random.default_rng(channels), 2, 5, channels)
    memory = np.zeros(x.nbytes + 1, np.uint8)
    shifted = memory[1:].view(np.int16).reshape(x.shape)
    shifted[...] = x
    np.testing.assert_array_equal(draw(shifted, isa, samples=2), draw(x, isa, samples=2))
    assert draw(x[:0], isa, samples=2).shape == (0, 5, -(-channels // 64))
    assert draw(x[:, :0], isa, samples=2).shape == (4, 0, -(-channels // 64))


# What noise must be. Seeds are fixed: these numbers are the same in every run.


def deviations(statistic: float, freedom: int) -> float:
    """How many standard deviations a chi-square lies from its mean."""
    return (statistic - freedom) / np.sqrt(2 * freedom)


def chi_square(counts: NDArray[Any]) -> float:
    """The deviation of counts from a uniform distribution."""
    mean = counts.sum() / counts.size
    return deviations(float(((counts - mean) ** 2).sum() / mean), counts.size - 1)


def test_random_numbers_are_uniform() -> None:
    r = random_bits(1024, 1024, 1, 0, range(16))  # 2^24 of them
    assert abs(chi_square(np.bincount(r.ravel(), minlength=65536))) < 4
    for word in range(4):
        for half in range(2):
            some = r[:, word::4, half::2]
            assert abs(chi_square(np.bincount(some.ravel(), minlength=65536))) < 4
    for bit in range(16):
        ones = int((r >> np.uint16(bit) & np.uint16(1)).sum())
        assert abs(2 * ones - r.size) < 4 * np.sqrt(r.size)


def joint_chi_square(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> float:
    """Of the pairs of the lowest or highest 5 bits of two sequences, the worst."""
    worst = 0.0
    for first in (a & np.uint16(31), a >> np.uint16(11)):
        for second in (b & np.uint16(31), b >> np.uint16(11)):
            pairs = first.astype(np.int64).ravel() * 32 + second.ravel()
            worst = max(worst, abs(chi_square(np.bincount(pairs, minlength=1024))))
    return worst


def test_neighbouring_random_numbers_are_independent() -> None:
    def some(seed: int = 3, layer: int = 7, first: int = 0) -> NDArray[np.uint16]:
        return random_bits(256, 512, seed, layer, range(first, first + 8))  # 2^20 of them

    r = some()
    neighbours = {
        **{f"channel {d}": (r[..., d:], r[..., :-d]) for d in (1, 2, 3, 32, 64)},
        **{f"pixel {d}": (r[:, d:], r[:, :-d]) for d in (1, 2, 3, 4, 16)},
        "sample": (r[1:], r[:-1]),
        "samples": (r, some(first=8)),
        "layer": (r, some(layer=8)),
        "layer bit": (r, some(layer=7 ^ 64)),
        "seed": (r, some(seed=4)),
        "high seed": (r, some(seed=3 + 2**32)),
    }
    for name, (a, b) in neighbours.items():
        assert joint_chi_square(a, b) < 4.5, name


def unpacked(signs: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.unpackbits(signs.view(np.uint8), bitorder="little")


def test_signs_have_their_probabilities() -> None:
    table = normal_table()
    total = 0.0
    values = [0, 1, -1, 300, -300, 5000, -5000, 12345, -12345, 25000, -32768, 32767]
    for index, value in enumerate(values):
        x = np.full((1, 1024, 1024), value, np.int16)
        signs = draw(x, ISAS[-1], samples=10, seed=index, table=table)
        p = int(limit(x[0, 0, :1], table)[0]) / 65536
        count, draws = int(unpacked(signs).sum()), 10 * x.size
        z = (count - draws * (1 - p)) / np.sqrt(draws * p * (1 - p))
        assert abs(z) < 4, value
        total += z * z
    assert abs(deviations(total, len(values))) < 4


def test_signs_are_independent() -> None:
    x = np.zeros((1, 1024, 1024), np.int16)
    fair = np.stack([np.full(64, 32768), np.zeros(64)]).astype(np.int32)

    def signs(**numbers: int) -> NDArray[np.int32]:
        drawn = draw(x, ISAS[-1], samples=10, table=fair, **numbers)  # 10^7 of them
        return unpacked(drawn).astype(np.int32).reshape(10, 1024, 1024) * 2 - 1

    r = signs()
    pairs = [(r[..., d:], r[..., :-d]) for d in (1, 2, 31, 64)]
    pairs += [(r[:, d:], r[:, :-d]) for d in (1, 3, 4, 32)]
    pairs += [(r[1:], r[:-1]), (r, signs(first_sample=10)), (r, signs(layer=1)), (r, signs(seed=1))]
    for a, b in pairs:
        assert abs(int(np.vdot(a, b))) < 4 * np.sqrt(a.size)
    assert abs(int(r.sum())) < 4 * np.sqrt(r.size)
    # Sums over 64 channels spread as those of independent signs do.
    sums = r.reshape(-1, 64).sum(axis=1)
    assert abs(deviations(float((sums**2).sum() / 64), sums.size)) < 4


@pytest.mark.parametrize("isa", ISAS)
def test_a_larger_x_never_turns_the_sign_down(isa: str) -> None:
    values = np.sort(some_integers(np.random.default_rng(0), 200)).reshape(-1, 1, 1)
    x = np.broadcast_to(values, (200, 4, 64)).astype(np.int16)
    negative = unpacked(draw(x, isa, seed=5)).reshape(200, -1).astype(np.int8)
    assert (np.diff(negative, axis=0) <= 0).all()
    assert 0 < negative.mean() < 1


def test_images_share_the_noise_of_a_sample() -> None:
    x = np.zeros((3, 5, 100), np.int16)
    signs = draw(x, ISAS[-1], samples=2).reshape(2, 3, 5, 2)
    assert (signs == signs[:, :1]).all()
    assert (signs[0] != signs[1]).any()


# Errors.


@pytest.mark.parametrize(
    ("numbers", "attributes", "message"),
    [
        ({"seed": -1}, {}, r"input seed is -1, must lie in \[0, 9223372036854775807\]"),
        ({"samples": 0}, {}, r"input samples is 0, must lie in \[1, 65536\]"),
        ({"samples": 2**16 + 1}, {}, r"input samples is 65537, must lie in \[1, 65536\]"),
        ({"first_sample": -1}, {}, r"input first_sample is -1, must lie in \[0, 2147483647\]"),
        (
            {"first_sample": 2**31 - 2, "samples": 3},
            {},
            r"first_sample is 2147483646, must lie in \[0, 2147483645\]",
        ),
        ({"samples": 2}, {"fan_out": 0}, r"X has shape \[3, 5\].* multiple of 2 samples"),
        ({}, {"fan_out": 2}, r"'fan_out' is 2, must lie in \[0, 1\]"),
        ({}, {"layer": 2**31}, r"'layer' is 2147483648, must lie in \[0, 2147483647\]"),
    ],
)
def test_numbers_out_of_range(numbers: Numbers, attributes: Numbers, message: str) -> None:
    inputs = feeds(np.zeros((3, 5), np.int16), **numbers)
    proto = model(
        "StochasticSign",
        inputs,
        {"layer": 0, "fan_out": 1, **attributes},
        constants=("table",),
        functions=False,
    )
    assert re.search(message, error_of(proto, inputs))


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("X", np.zeros(5, np.int16), r"X has shape \[5\], needs \[N, ..., C\]"),
        ("seed", np.zeros(1, np.int64), r"seed has shape \[1\], needs \[\]"),
        ("table", np.zeros((2, 63), np.int32), r"table has shape \[2, 63\].* = \[2, 64\]"),
    ],
)
def test_wrong_shapes(tensor: str, value: Array, message: str) -> None:
    inputs = {**feeds(np.zeros((3, 5), np.int16)), tensor: value}
    attributes = {"layer": 0, "fan_out": 1}
    proto = model("StochasticSign", inputs, attributes, constants=("table",), functions=False)
    assert re.search(message, error_of(proto, inputs))


@pytest.mark.parametrize(
    ("segment", "start", "rise"),
    [
        (0, 32767, 0),
        (0, 32768, -1),
        (9, 40000, 30000),
        (63, 65536, 0),
        (63, 65535, 2),
        (63, 2**31 - 1, 2**31 - 1),
    ],
)
def test_tables_that_fall(segment: int, start: int, rise: int) -> None:
    table = np.stack([np.full(64, 32768), np.zeros(64)]).astype(np.int32)
    table[0, segment:] = 40000 if segment < 63 else 65535
    table[:, segment] = start, rise
    inputs = feeds(np.zeros((3, 5), np.int16), table)
    attributes = {"layer": 0, "fan_out": 1}
    proto = model("StochasticSign", inputs, attributes, constants=("table",), functions=False)
    message = error_of(proto, inputs)
    assert f"table is not monotone between 32768 and 65535 at segment {segment}: " in message
    assert f"start {start}, rise {rise}" in message


def test_table_must_be_constant() -> None:
    inputs = feeds(np.zeros((3, 5), np.int16))
    proto = model("StochasticSign", inputs, {"layer": 0, "fan_out": 1}, functions=False)
    assert "input table must be constant" in error_of(proto, inputs)


def test_shape_inference() -> None:
    inputs = feeds(np.zeros((3, 5, 5, 70), np.int16))
    for fan_out, batch in ((0, "N"), (1, None)):
        proto = model(
            "StochasticSign",
            inputs,
            {"layer": 0, "fan_out": fan_out},
            constants=("table",),
            shapes={"X": ["N", 5, "width", 70]},
        )
        rows, height, width, words = session(proto, ISAS[-1]).get_outputs()[0].shape
        assert (height, width, words) == (5, "width", 2)
        assert rows == batch if batch else rows != "N"


if __name__ == "__main__":
    text = json.dumps({"table": normal_table().tolist(), "cases": golden_cases()}, indent=1)
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(text + "\n")
