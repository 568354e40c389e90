"""Files that are damaged, foreign or hostile: `Session` answers, or refuses them in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, TypeProto, helper

from sbn_converters import ops
from sbn_runtime import InputError, ModelError, Preprocess, Session, Standardize

from ..small_models import CLASSES, PREPROCESS, Classifier, StochasticClassifier

Shape = list[int | str]
OPSETS = [helper.make_opsetid("", ops.ONNX_OPSET), helper.make_opsetid(ops.DOMAIN, ops.VERSION)]


def refusal(path: Path, data: bytes | ModelProto, x: np.ndarray | None = None) -> str:
    """What is said when the file is opened, or else used."""
    path.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    with pytest.raises((ModelError, InputError)) as caught:
        Session(path, threads=1).predict(
            np.ones((2, 2), np.float32) if x is None else x, return_uncertainty=True
        )
    message = str(caught.value)
    assert "\n" not in message
    return message


def passing(shape: Shape | None, outputs: Mapping[str, Shape | None]) -> ModelProto:
    """A file whose outputs are all its input, of shapes as stated; None: none is."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [name]) for name in outputs],
        "passing",
        [value("x", TensorProto.FLOAT, shape)],
        [value(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
    )
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=ops.IR_VERSION)


@pytest.mark.parametrize("shape", [None, []])
def test_input_without_a_batch(tmp_path: Path, shape: Shape | None) -> None:
    message = refusal(tmp_path / "m.onnx", passing(shape, {"probabilities": shape}))
    assert "its input 'x' has no declared shape" in message


def typed(operator: str, *sides: list[TypeProto]) -> ModelProto:
    """A file of one operator with inputs and outputs of these types."""
    named = [
        [helper.make_value_info(f"{side}{i}", kind) for i, kind in enumerate(kinds)]
        for side, kinds in zip("xy", sides, strict=True)
    ]
    node = helper.make_node(operator, *([info.name for info in side] for side in named))
    graph = helper.make_graph([node], "typed", *named)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=ops.IR_VERSION)


FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2])
SEQUENCE = helper.make_sequence_type_proto(FLOATS)
TEXTS = helper.make_tensor_type_proto(TensorProto.STRING, ["N", 2])


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (typed("SequenceConstruct", [FLOATS], [SEQUENCE]), "output 'y0' is of the type seq("),
        (typed("ConcatFromSequence", [SEQUENCE], [FLOATS]), "m.onnx: "),
        (typed("Identity", [TEXTS], [TEXTS]), "input 'x0' is of the type string"),
    ],
)
def test_what_is_no_tensor_of_numbers(tmp_path: Path, model: ModelProto, what: str) -> None:
    if model.graph.node[0].op_type == "ConcatFromSequence":
        model.graph.node[0].attribute.append(helper.make_attribute("axis", 0))
    assert what in refusal(tmp_path / "m.onnx", model)


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [
        (["N"], {"probabilities": ["N"]}),
        (["N", 3], {"probabilities": ["N", 3], "member_logits": ["N", 3]}),
        (["N", 1], {"probabilities": ["N", 1]}),
        (["N", 2, 2], {"probabilities": ["N", 2, 2]}),
    ],
)
def test_outputs_of_other_shapes_than_the_task_has(
    tmp_path: Path, shape: Shape, outputs: dict[str, Shape | None]
) -> None:
    x = np.ones([2 if isinstance(size, str) else size for size in shape], np.float32)
    message = refusal(tmp_path / "m.onnx", passing(shape, outputs), x)
    assert "its outputs for classification should have the shapes [N, K]" in message


def test_rows_that_are_not_as_many_as_the_samples(tmp_path: Path) -> None:
    path = StochasticClassifier.random().write(tmp_path / "noisy.onnx")
    model = onnx.load(path)
    # `samples` no longer reaches the operator that draws.
    for node in model.graph.node:
        if node.op_type == "StochasticSign":
            node.input[4] = "three"
    three = onnx.numpy_helper.from_array(np.array(3), "three")
    model.graph.initializer.append(three)
    onnx.save(model, path)
    with pytest.raises(ModelError, match="for 4 noise samples; export the model again"):
        Session(path).run(np.ones((2, 1, 4, 4), np.float32))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"logits", b"\xff\xfegits"), (b'"preprocess"', b'"\xff\xfeeprocess"')],
)
def test_text_that_is_not_utf_8(tmp_path: Path, old: bytes, new: bytes, capfd: Any) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx")
    message = refusal(path, path.read_bytes().replace(old, new))
    assert "m.onnx: cannot be loaded: " in message
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["a\0b.onnx", "caf\udce9.onnx"])
def test_file_names_that_onnxruntime_cannot_take(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "\0" not in name:
        Classifier.random().write(path)
    with pytest.raises(ModelError, match="must be UTF-8 without NUL"):
        Session(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "1", "null", "{"])
def test_damaged_metadata(tmp_path: Path, text: str) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx", metadata=text)
    with pytest.raises(ModelError, match="its sbn metadata is damaged"):
        Session(path)


@pytest.mark.parametrize("classes", [5, "abc", [1, 2, 3], {"a": 1}, True])
def test_classes_that_are_no_names(tmp_path: Path, classes: object) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx", metadata={"classes": classes})
    with pytest.raises(ModelError, match="names of classes are not a list of texts"):
        Session(path)


@pytest.mark.parametrize("classes", [CLASSES[:2], [*CLASSES, "d"]])
def test_another_number_of_classes(tmp_path: Path, classes: list[str]) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx", metadata={"classes": classes})
    with pytest.raises(ModelError, match=f"names {len(classes)} classes but has 3"):
        Session(path)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "fields",
    [
        *({"pixel_max": value} for value in (INF, 0, 256, 1.5, "8", None)),
        *({key: [value]} for key in ("mean", "std") for value in (INF, NAN, "a", None, 10**400)),
        *({"std": [value]} for value in (0, -1)),
        *({"mean": value} for value in (5, "5", [], [1, 1], None, {})),
        *({"height": value} for value in (0, -1, 2**31, 1.5, INF, "4")),
        {"order": "gbr"},
        {"order": 1},
        {"shape": [4, 2**40]},
        {"shape": [INF]},
        {"shape": 5},
    ],
)
def test_impossible_preprocessing(tmp_path: Path, fields: dict[str, object]) -> None:
    said = {"preprocess": PREPROCESS | fields}
    path = Classifier.random().write(tmp_path / "m.onnx", metadata=said)
    with pytest.raises(ModelError, match="preprocessing description is"):
        Session(path).preprocess(np.zeros((1, 4, 4, 1), np.uint8))


@pytest.mark.parametrize(
    "apply",
    [
        Preprocess(1, 4, 4, 255, (0.5,), (1.0,)).apply,
        Standardize((4,), (0.5,) * 4, (1.0,) * 4).apply,
    ],
)
def test_lists_are_no_images(apply: Callable[[Any], object]) -> None:
    with pytest.raises(InputError, match="must be a numpy array, not list"):
        apply([[1, 2, 3, 4]])


PROGRAM = """
import sys, threading, time
import numpy as np
from sbn_runtime import Session

session = Session(sys.argv[1], threads=2)
x = np.zeros((64, 1, 4, 4), np.float32)
begun = threading.Event()

def work():
    while True:
        session.run(x)
        begun.set()

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
"""


def test_a_program_ends_while_threads_compute(tmp_path: Path) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx")
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_end_of_a_program_may_compute(tmp_path: Path) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx")
    # What is registered before sbn_runtime is imported is called after its own end.
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(session.run(np.zeros((1, 1, 4, 4), np.float32)).keys()))\n"
        "import numpy as np\nfrom sbn_runtime import Session\nsession = Session(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60
    )
    assert "probabilities" in done.stdout, done


@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph"])
def test_a_constant_that_claims_more_than_it_holds(tmp_path: Path, place: str) -> None:
    """onnxruntime would take gigabytes before it looks."""
    path = Classifier.random().write(tmp_path / "model.onnx")
    model = onnx.load(path)
    tensor = onnx.TensorProto(
        name="huge", data_type=onnx.TensorProto.INT64, dims=[1 << 24], raw_data=bytes(32)
    )
    if place == "initializer":
        model.graph.initializer.append(tensor)
    else:
        node = onnx.helper.make_node("Constant", [], ["huge"], value=tensor)
        if place == "subgraph":
            branch = onnx.helper.make_graph([node], "branch", [], [])
            node = onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch)
        model.graph.node.insert(0, node)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"claims 16,777,216 elements in \d+ bytes"):
        Session(path)
