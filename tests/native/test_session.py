"""`Session` in engine native answers as in engine sbn, with onnxruntime and without."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_deploy.export import export_checkpoint
from sbn_deploy.materialize import Form
from sbn_runtime import InputError, MissingDependencyError, ModelError, Session, available_isas
from sbn_runtime.engines import ENGINES, Failure, find
from sbn_runtime.native import forced_isa
from sbn_runtime.system import core_count

from .. import task_models
from ..built import ROOT
from ..calibrations import calibrated
from ..once import once
from ..small_models import (
    CLASSES,
    PREPROCESS,
    Classifier,
    random_images,
    write_float_model,
    write_pixel_classifier,
)
from .sessions import compare, compare_sessions

FORMS = {
    "threshold": Form(),
    "ensemble": Form("sample", 3, seed=1),
    "noise": Form("sample", 2, seed=1, activations="stochastic", samples=3),
}
SEEDS = st.integers(0, 2**63 - 1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trained network for digits in each form."""

    def make(folder: Path) -> None:
        for name, form in FORMS.items():
            export_checkpoint(
                ROOT / "models/digits-cnn/checkpoint.safetensors", folder / f"{name}.onnx", form
            )

    return once(tmp_path_factory, "digits-forms", make)


@pytest.fixture(scope="module")
def sessions(digits: Path) -> dict[tuple[str, str], Session]:
    """By form and engine."""
    return {
        (form, engine): Session(digits / f"{form}.onnx", engine=engine, threads=1)
        for form in FORMS
        for engine in ENGINES
    }


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "model.onnx")


def images(count: int, seed: int = 0) -> NDArray[np.float32]:
    x: NDArray[np.float32] = np.random.default_rng(seed).random((count, 1, 8, 8), np.float32)
    return 2 * x - 1


@given(st.sampled_from(sorted(FORMS)), st.integers(1, 40), SEEDS, st.integers(1, 70))
def test_answers_are_those_of_the_other_engines(
    sessions: dict[tuple[str, str], Session], form: str, batch: int, seed: int, samples: int
) -> None:
    """The definitions of the operators are slow, and tried with fewer images."""
    draw = {"seed": seed, "samples": samples} if form == "noise" else {}
    x = images(batch, batch)
    native = sessions[form, "native"]
    compare(native.run(x, **draw), sessions[form, "sbn"].run(x, **draw))
    few = {"seed": seed, "samples": min(samples, 2)} if draw else {}
    compare(native.run(x[:2], **few), sessions[form, "onnxruntime"].run(x[:2], **few))


@pytest.mark.parametrize("form", FORMS)
def test_a_file_says_the_same_of_itself(digits: Path, form: str) -> None:
    compare_sessions(digits / f"{form}.onnx")


def test_first_samples_and_defaults(sessions: dict[tuple[str, str], Session]) -> None:
    """One context serves all of them; none leaves a number behind."""
    native, x = sessions["noise", "native"], images(3)
    default = native.run(x)
    many = native.run(x, seed=5, samples=9)["member_logits"].reshape(2, 9, 3, 10)
    for count in (1, 4):
        found = native.run(x, seed=5, samples=count)["member_logits"]
        np.testing.assert_array_equal(found.reshape(2, count, 3, 10), many[:, :count])
    compare(native.run(x), default)
    engine = ENGINES["native"].load(native._path, threads=1, spin=True)
    (given,) = (info.name for info in engine.inputs)
    feeds = {given: x, "seed": np.array(5), "samples": np.array(1), "first_sample": np.array(8)}
    (ninth,) = engine.run(["member_logits"], feeds)
    np.testing.assert_array_equal(ninth, many[:, 8])
    # The same numbers one after the other, which mean others.
    for draw in ({"seed": 4, "samples": 2}, {"samples": 4, "seed": 2}):
        numbers = {name: np.array(number) for name, number in draw.items()}
        (drawn,) = engine.run(["member_logits"], {given: x, **numbers})
        np.testing.assert_array_equal(drawn, native.run(x, **draw)["member_logits"])
    (plain,) = engine.run(["member_logits"], {given: x})
    np.testing.assert_array_equal(plain, default["member_logits"])
    # What was given before is not read again.
    with pytest.raises(Failure, match="input 'input' was not given"):
        engine.run(["member_logits"], {})
    unaligned = np.frombuffer(b"0" + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    np.testing.assert_array_equal(engine.run(["member_logits"], {given: unaligned})[0], plain)


@pytest.mark.parametrize("isa", available_isas())
def test_the_kernel_set_is_chosen_for_both_libraries(digits: Path, isa: str) -> None:
    with forced_isa(isa):
        native, sbn = (Session(digits / "noise.onnx", engine=e) for e in ("native", "sbn"))
        assert native._executor._loaded._library.sbn_isa() == isa.encode()  # type: ignore[attr-defined]
    compare(native.run(images(5)), sbn.run(images(5)))


def test_threads_share_a_session(sessions: dict[tuple[str, str], Session]) -> None:
    session = sessions["noise", "native"]
    draws = [(images(seed % 3 + 1, seed), {"seed": seed, "samples": 2}) for seed in range(48)]
    alone = [session.run(x, **draw) for x, draw in draws]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: session.run(call[0], **call[1]), draws))
    for found, wanted in zip(together, alone, strict=True):
        np.testing.assert_array_equal(found["member_logits"], wanted["member_logits"])


CHILD = """
import os, sys
import numpy as np
from sbn_runtime import Session

session, x = Session(sys.argv[1], engine="native", threads=2), np.ones((1, 1, 4, 4), np.float32)
wanted = session.run(x)["logits"]
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
same = np.array_equal(session.run(x)["logits"], wanted)
del session
os._exit(not same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_runs_and_frees_what_its_parent_loaded(model: Path) -> None:
    """The threads of the parent's contexts are not in it."""
    subprocess.run([sys.executable, "-c", CHILD, model], check=True, timeout=60)


def test_what_was_answered_stays(model: Path) -> None:
    """Whatever is run afterwards, of any size, and from wherever it is read."""
    native, sbn = (Session(model, engine=engine, threads=1) for engine in ("native", "sbn"))
    x = native.preprocess(random_images(9))
    fixed = x[2:4]
    fixed.flags.writeable = False
    given = [x[:1], x[1:2], x[:3], np.asfortranarray(x[:3]), fixed, x[::-2], x[:1]]
    answered = [native.run(images) for images in given]
    for images, found in zip(given, answered, strict=True):
        compare(found, sbn.run(images))


def test_members_taken_apart(tmp_path: Path) -> None:
    path = task_models.save(
        tmp_path / "ensemble.onnx", task_models.ROWS, "classification", members=7
    )
    x = task_models.rows(50)
    for source in (path, path.read_bytes(), calibrated(path)):
        native, sbn = (Session(source, engine=engine) for engine in ("native", "sbn"))
        for confidence in (0.6, 0.99):
            settled = native.predict_until(x, confidence=confidence, group=2)
            wanted = sbn.predict_until(x, confidence=confidence, group=2)
            np.testing.assert_array_equal(settled.samples_used, wanted.samples_used)
            np.testing.assert_array_equal(settled.label, wanted.label)
        assert native.predict_within(x, ms=1000).samples_used.max() <= 7
        compare({"p": native.predict_proba(x)}, {"p": sbn.predict_proba(x)})


def test_batches_in_pieces(tmp_path: Path) -> None:
    metadata = {"preprocess": PREPROCESS, "working_set": 1 << 19}
    path = Classifier.random().write(tmp_path / "pieces.onnx", metadata=metadata)
    session = Session(path, engine="native")
    x = np.random.default_rng(0).standard_normal((5, 1, 4, 4)).astype(np.float32)
    assert session._executor._piece == 2
    np.testing.assert_array_equal(session.run(x)["logits"], Classifier.random().logits(x))
    turned = x.swapaxes(2, 3)
    np.testing.assert_array_equal(session.run(turned)["logits"], Classifier.random().logits(turned))


def test_bytes_pickles_and_several_inputs(model: Path, tmp_path: Path) -> None:
    session = Session(model.read_bytes(), engine="native")
    x = session.preprocess(random_images(3))
    again = pickle.loads(pickle.dumps(Session(model, engine="native")))
    assert again.engine == "native"
    np.testing.assert_array_equal(again.predict_proba(x), session.predict_proba(x))
    two = Session(
        task_models.save(tmp_path / "two.onnx", task_models.SEVERAL, "classification"),
        engine="native",
    )
    left, right = task_models.rows(4, 1), task_models.rows(4, 2)
    np.testing.assert_array_equal(two.run({"left": left, "right": right})["sums"], left + right)


# What cannot be had


def test_an_engine_that_there_is_not(model: Path) -> None:
    with pytest.raises(InputError, match=r"'tvm': no such engine; choose one of sbn, native, onn"):
        Session(model, engine="tvm")


def test_no_answer_depends_on_the_threads(digits: Path) -> None:
    path = digits / "noise.onnx"
    x = np.random.default_rng(0).integers(0, 17, (40, 8, 8, 1), np.uint8)
    one, *others = (
        {
            name: array.tobytes()
            for name, array in session.run(session.preprocess(x), seed=3).items()
        }
        for session in (Session(path, engine="native", threads=n) for n in (1, 2, 5, None))
    )
    assert all(other == one for other in others)


def test_how_many_threads(model: Path) -> None:
    with pytest.raises(InputError, match="threads must be 1 to"):
        Session(model, engine="native", threads=0)
    assert 1 <= core_count() <= (os.cpu_count() or 1)


def changed(path: Path, to: Path, *nodes: onnx.NodeProto) -> Path:
    proto = onnx.load(path)
    proto.graph.node.extend(nodes)
    onnx.save(proto, to)
    return to


def test_an_operator_that_it_lacks(model: Path, tmp_path: Path) -> None:
    path = changed(
        model, tmp_path / "det.onnx", onnx.helper.make_node("Det", ["input"], ["d"], name="the_det")
    )
    assert Session(path, engine="sbn").engine == "sbn"
    with pytest.raises(ModelError) as caught:
        Session(path, engine="native")
    assert str(caught.value) == (
        f"{path}: cannot be loaded: Det node 'the_det': this operator of ONNX is not supported"
        " (engine native; engine sbn has every operator)"
    )


def test_constants_in_another_file(model: Path, tmp_path: Path) -> None:
    proto = onnx.load(model)
    path = tmp_path / "outside.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights", size_threshold=0)
    assert len(Session(path, engine="sbn").run(images(1)[:, :, :4, :4])) == 2
    with pytest.raises(ModelError, match=r"initializer '\w+' lies in another file, which is not s"):
        Session(path, engine="native")


def test_files_that_are_no_models(model: Path, tmp_path: Path) -> None:
    data = model.read_bytes()
    with pytest.raises(ModelError, match="has no sbn operators"):
        Session(write_float_model(tmp_path / "float.onnx"), engine="native")
    with pytest.raises(ModelError, match=r"none\.onnx: No such file"):
        Session(tmp_path / "none.onnx", engine="native")
    for length in range(0, len(data), 61):
        with pytest.raises(ModelError) as caught:
            Session(data[:length], engine="native")
        assert "\n" not in str(caught.value)
    broken = Classifier.random().write(tmp_path / "broken.onnx", channels=65)
    with pytest.raises(ModelError, match="DenseScale"):
        Session(broken, engine="native").run(np.ones((1, 1, 4, 4), np.float32))
    path = tmp_path / "m.onnx"
    path.write_bytes(data.replace(b"logits", b"\xff\xfegits"))
    with pytest.raises(ModelError, match=r"m\.onnx: cannot be loaded: "):
        Session(path, engine="native")


def test_input_that_does_not_fit(model: Path) -> None:
    session = Session(model, engine="native")
    with pytest.raises(
        InputError, match=r"must have shape \[N, 1, 4, 4\], this has \[1, 1, 4, 5\]"
    ):
        session.run(np.ones((1, 1, 4, 5), np.float32))
    with pytest.raises(ModelError, match=r"failed on input of shape \[1048577, 1, 4, 4\]: the bat"):
        session.run(np.zeros((2**20 + 1, 1, 4, 4), np.float32))


# Without onnxruntime

ALONE = """
import sys
before = set(sys.modules)
sys.modules["onnxruntime"] = None  # as if it were not installed
import numpy as np
from sbn_runtime import MissingDependencyError, Session

session = Session(sys.argv[1])
pixels = np.load(sys.argv[2])
found = session.predict(pixels, return_uncertainty=True)
np.save(sys.argv[3], found.probabilities)
print(session.engine, *(session.metadata["classes"][k] for k in found.label))
for engine in ("sbn", "onnxruntime"):
    try:
        Session(sys.argv[1], engine=engine)
    except MissingDependencyError as error:
        print(error)
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
# numpy's own compiled parts share a module of Cython's.
loaded = {name for name in loaded if "cython" not in name}
print(*sorted(loaded - sys.stdlib_module_names - {"onnxruntime"}))
"""


def test_numpy_is_enough(tmp_path: Path) -> None:
    """A picture is classified in a process that has no onnxruntime and imports numpy alone."""
    path, pixels = write_pixel_classifier(tmp_path / "model.onnx"), random_images(3)
    np.save(tmp_path / "pixels.npy", pixels)
    files = (path, tmp_path / "pixels.npy", tmp_path / "found.npy")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    wanted = Session(path, engine="sbn").predict(pixels, return_uncertainty=True)
    names = [CLASSES[label] for label in wanted.label]
    answer, sbn, stock, modules = done.stdout.splitlines()
    assert answer.split() == ["native", *names]
    assert sbn.startswith("engine sbn needs onnxruntime, which is not installed: pip install onn")
    assert stock.endswith("or use engine native")
    assert modules.split() == ["numpy", "sbn_runtime"]
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, wanted.probabilities, 0, 1e-6)


def test_the_default_is_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(None).name == "sbn"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert find(None).name == "native"
    assert find("native").name == "native"
    with pytest.raises(MissingDependencyError, match="engine onnxruntime needs onnxruntime, which"):
        find("onnxruntime")


def test_importing_loads_no_onnxruntime() -> None:
    code = "import sys, sbn_runtime, sbn_deploy.cli; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
