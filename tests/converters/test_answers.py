"""The end of an exported graph: what it answers for each task, against numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from sbn_converters.onnx.ensemble import with_answers
from sbn_converters.onnx.samples import Samples
from sbn_runtime.errors import ConfigError
from sbn_runtime.tasks import infer_task

HEADER = '<ir_version: 9, opset_import: ["": 20]>\n'
DENSE = "m (float[N, 4] input) => (float[N, 3] y) { y = MatMul (input, W) }"
FLAT = """m (float[N, 4] input) => (float[N] y) {
    axis = Constant <value_ints = [1]> ()
    z = MatMul (input, W)
    y = ReduceSum <keepdims = 0> (z, axis)
}"""
PIXELS = """m (float[N, 4, 2, 2] input) => (float[N, 3, 2, 2] y) {
    last = Transpose <perm = [0, 2, 3, 1]> (input)
    z = MatMul (last, W)
    y = Transpose <perm = [0, 3, 1, 2]> (z)
}"""
# Each sample adds its number to what the network answers.
SAMPLED = """m (float[N, 4] input, int64 samples) => (float[rows, 3] y, float[N, 3] plain) {
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    axes = Constant <value_ints = [1, 2]> ()
    shape = Constant <value_ints = [-1, 3]> ()
    plain = MatMul (input, W)
    numbers = Range (zero, samples, one)
    floats = Cast <to = 1> (numbers)
    column = Unsqueeze (floats, axes)
    sums = Add (plain, column)
    y = Reshape (sums, shape)
}"""

Array = NDArray[Any]


def weights(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)


def network(text: str, seed: int = 0) -> ir.Model:
    proto = onnx.parser.parse_model(HEADER + text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights(seed), "W"))
    for index, node in enumerate(proto.graph.node):
        node.name = f"node{index}"
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


def compute(model: ir.Model, **fed: Array) -> dict[str, Array]:
    proto = ir.serde.serialize_model(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, fed), strict=True))


def answers(texts: list[str], x: Array, task: str) -> dict[str, Array]:
    members = [network(text, seed) for seed, text in enumerate(texts)]
    names = [f"member{index}" for index in range(len(members))]
    return compute(with_answers(members, names, task=task), input=x)


def softmax(z: Array, axis: int = 1) -> Array:
    exponentials = np.exp(z.astype(np.float64))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z.astype(np.float64)))


def rows(x: Array, count: int) -> Array:
    """What networks 0 to `count` - 1 answer, [count, N, 3] or [count, N, 3, H, W]."""
    return np.stack([np.einsum("nc...,ck->nk...", x, weights(seed)) for seed in range(count)])


def close(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.fixture
def x() -> NDArray[np.float32]:
    return np.random.default_rng(9).normal(size=(5, 4)).astype(np.float32)


@pytest.fixture
def images() -> NDArray[np.float32]:
    return np.random.default_rng(9).normal(size=(5, 4, 2, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("task", "activation"), [("classification", softmax), ("multilabel", sigmoid)]
)
def test_logits_and_averaged_probabilities(
    x: Array, task: str, activation: Callable[[Array], Array]
) -> None:
    z = rows(x, 3)
    one = answers([DENSE], x, task)
    assert list(one) == ["logits", "probabilities"]
    close(one["logits"], z[0])
    close(one["probabilities"], activation(z[0]))
    three = answers([DENSE] * 3, x, task)
    assert list(three) == ["member_logits", "probabilities"]
    close(three["member_logits"], z)
    close(three["probabilities"], np.mean([activation(row) for row in z], axis=0))


@pytest.mark.parametrize("text", [DENSE, FLAT, PIXELS])
def test_regression_averages_numbers(x: Array, images: Array, text: str) -> None:
    data = images if text is PIXELS else x
    z = rows(data, 3)
    if text is FLAT:
        z = z.sum(axis=2)
    assert list(answers([text], data, "regression")) == ["prediction"]
    close(answers([text], data, "regression")["prediction"], z[0])
    found = answers([text] * 3, data, "regression")
    assert list(found) == ["member_predictions", "prediction", "standard_deviation"]
    close(found["member_predictions"], z)
    close(found["prediction"], z.mean(axis=0))
    close(found["standard_deviation"], z.std(axis=0))


def test_segmentation_and_images(images: Array) -> None:
    z = rows(images, 2)
    one = answers([PIXELS], images, "segmentation")
    close(one["probabilities"], softmax(z[0]))
    several = answers([PIXELS] * 2, images, "segmentation")
    assert list(several) == ["member_logits", "probabilities"]
    close(several["member_logits"], z)
    close(several["probabilities"], (softmax(z[0]) + softmax(z[1])) / 2)
    found = answers([PIXELS] * 2, images, "image")
    assert list(found) == ["member_images", "image", "standard_deviation"]
    close(found["image"], z.mean(axis=0))
    close(answers([PIXELS], images, "image")["image"], z[0])


def test_without_a_task_outputs_keep_their_names(x: Array) -> None:
    z = rows(x, 2)
    (name, value) = answers([DENSE], x, "none").popitem()
    assert name == "y"
    close(value, z[0])
    found = answers([DENSE] * 2, x, "none")
    assert list(found) == ["member_y", "y"]
    close(found["member_y"], z)
    close(found["y"], z.mean(axis=0))


ENDS = {
    "softmax": ("classification", "p = Softmax <axis = 1> (z)"),
    "last axis": ("classification", "p = Softmax <axis = -1> (z)"),
    "log-softmax": ("classification", "p = LogSoftmax <axis = 1> (z)"),
    "exp of log-softmax": ("classification", "l = LogSoftmax <axis = -1> (z) p = Exp (l)"),
    "log of softmax": ("classification", "l = Softmax <axis = -1> (z) p = Log (l)"),
    "copies and casts": (
        "classification",
        "h = Cast <to = 11> (z) s = Softmax (h) i = Identity (s) p = Cast <to = 1> (i)",
    ),
    "sigmoid": ("multilabel", "p = Sigmoid (z)"),
}


@pytest.mark.parametrize("end", ENDS)
def test_networks_that_end_normalised_are_not_normalised_twice(x: Array, end: str) -> None:
    task, steps = ENDS[end]
    text = f"m (float[N, 4] input) => (float[N, 3] p) {{ z = MatMul (input, W) {steps} }}"
    activation = softmax if task == "classification" else sigmoid
    z = rows(x, 2)
    one = answers([text], x, task)
    close(one["probabilities"], activation(z[0]))
    close(one["logits"], z[0])
    two = answers([text] * 2, x, task)
    close(two["probabilities"], (activation(z[0]) + activation(z[1])) / 2)
    close(two["member_logits"], z)


@pytest.mark.parametrize(
    "steps",
    [
        "p = Softmax <axis = 0> (z)",  # over the images
        "p = Sigmoid (z)",
        "s = Softmax (z) p = Exp (s)",
        "l = LogSoftmax (z) p = Log (l)",
        "s = Softmax (z) p = Neg (s)",
        "p = Exp (z)",
    ],
)
def test_other_ends_are_part_of_the_network(x: Array, steps: str) -> None:
    text = f"m (float[N, 4] input) => (float[N, 3] p) {{ z = MatMul (input, W) {steps} }}"
    own = compute(network(text), input=x)["p"]
    one = answers([text], x, "classification")
    np.testing.assert_array_equal(one["logits"], own)
    if np.isfinite(own).all():
        close(one["probabilities"], softmax(own))


def test_softmax_stays_where_no_task_speaks_of_classes(x: Array) -> None:
    text = "m (float[N, 4] input) => (float[N, 3] p) { z = MatMul (input, W) p = Softmax (z) }"
    close(answers([text], x, "regression")["prediction"], softmax(rows(x, 1)[0]))
    close(answers([text], x, "none")["p"], softmax(rows(x, 1)[0]))


SEVERAL = """m (float[N, 4] left, float[N, 4] right)
    => (float[N, 3] y, float[N, 3] features, int64[N] best, float[N, 4] logits)
{
    logits = Add (left, right)
    features = MatMul (left, W)
    other = MatMul (right, W)
    y = Sub (features, other)
    best = ArgMax <axis = 1, keepdims = 0> (y)
}"""


def test_several_inputs_and_outputs(x: Array) -> None:
    other = x[::-1].copy()
    one = compute(with_answers([network(SEVERAL)], ["m"]), left=x, right=other)
    z, features = rows(x, 2) - rows(other, 2), rows(x, 2)
    # A name that the task needs is not free for another output.
    assert list(one) == ["logits", "probabilities", "features", "best", "logits_2"]
    close(one["logits"], z[0])
    close(one["features"], features[0])
    close(one["logits_2"], x + other)
    np.testing.assert_array_equal(one["best"], z[0].argmax(axis=1))
    members = [network(SEVERAL, seed) for seed in range(2)]
    two = compute(with_answers(members, ["a", "b"]), left=x, right=other)
    close(two["probabilities"], (softmax(z[0]) + softmax(z[1])) / 2)
    close(two["features"], features.mean(axis=0))
    close(two["member_features"], features)
    # Labels have no mean.
    assert "best" not in two
    np.testing.assert_array_equal(two["member_best"], z.argmax(axis=2))


def test_one_value_given_twice_and_an_input_given_back(x: Array) -> None:
    text = "m (float[N, 4] image) => (float[N, 3] y) { y = MatMul (image, W) }"
    model = network(text)
    model.graph.outputs.extend([model.graph.outputs[0], model.graph.inputs[0]])
    found = compute(with_answers([model], ["m"], task="regression"), image=x)
    assert list(found) == ["prediction", "y", "image_2"]
    np.testing.assert_array_equal(found["y"], found["prediction"])
    np.testing.assert_array_equal(found["image_2"], x)


def test_an_input_called_as_an_answer(images: Array) -> None:
    model = with_answers([network(PIXELS.replace("input", "image"))], ["m"], task="image")
    close(compute(model, image_input=images)["image"], rows(images, 1)[0])


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("task", ["classification", "regression", "none"])
def test_samples(x: Array, members: int, task: str) -> None:
    samples = Samples()
    made = []
    for seed in range(members):
        model = network(SAMPLED, seed)
        asked = model.graph.inputs.pop()
        asked.replace_all_uses_with(samples.count)
        made.append(model)
    model = with_answers(made, ["a", "b"][:members], samples, task)
    assert [value.name for value in model.graph.inputs] == [
        "input",
        "seed",
        "first_sample",
        "samples",
    ]
    # Nothing in this network reads the others.
    del model.graph.inputs[1:3]
    found = compute(model, input=x, samples=np.array(3, np.int64))
    z = np.concatenate([row + np.arange(3).reshape(-1, 1, 1) for row in rows(x, members)])
    name = {"classification": "member_logits", "regression": "member_predictions"}
    close(found[name.get(task, "member_y")], z)
    if task == "classification":
        close(found["probabilities"], np.mean([softmax(row) for row in z], axis=0))
    if task == "regression":
        close(found["prediction"], z.mean(axis=0))
        close(found["standard_deviation"], z.std(axis=0))
    if task == "none":
        close(found["y"], z.mean(axis=0))
    close(found["plain"], rows(x, members).mean(axis=0))
    assert ("member_plain" in found) == (members > 1)


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        (DENSE, "segmentation", r"answers \[N, K, H, W\] .* answers \[N, 3\]"),
        (FLAT, "classification", r"answers \[N, K\] .* answers \[N\]"),
        (PIXELS, "multilabel", r"answers \[N, 3, 2, 2\]"),
        (DENSE, "image", r"answers \[N, 3\]"),
        (DENSE, "ranking", "unknown task 'ranking'; choose one of classification"),
    ],
)
def test_tasks_that_do_not_fit(text: str, task: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_answers([network(text)], ["m"], task=task)


def test_one_class_is_no_classification() -> None:
    text = DENSE.replace("N, 3", "N, 1")
    model = network(
        text.replace("W)", "V)").replace(
            "{", "{ V = Constant <value = float[4, 1] {1, 1, 1, 1}> ()"
        )
    )
    with pytest.raises(ConfigError, match="K of at least 2"):
        with_answers([model], ["m"])


@pytest.mark.parametrize(
    ("shapes", "task"),
    [
        ([["N", 10]], "classification"),
        ([["N", 2]], "classification"),
        ([["N", None]], "classification"),
        ([["N"]], "regression"),
        ([["N", 1]], "regression"),
        ([["N", 3, 8, 8]], "none"),
        ([["N", 3, 8]], "none"),
        ([[]], "none"),
        ([["N", 10], ["N", 4]], "none"),
    ],
)
def test_tasks_by_shape(shapes: list[list[object]], task: str) -> None:
    assert infer_task(shapes) == task
