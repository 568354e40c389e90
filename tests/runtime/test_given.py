"""What a session is made of, and what it takes in the place of arrays."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbn_runtime import InputError, ModelError, Preprocess, Session
from sbn_runtime.decode import decode
from sbn_runtime.session import session_options

from ..small_models import Classifier, random_images, write_pixel_classifier

FITS = Preprocess(3, 4, 4, 255, (0.5,) * 3, (0.5,) * 3, fit="crop")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "m.onnx")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_path_bytes_or_an_open_file(model: Path) -> None:
    x = Session(model).preprocess(random_images(3))
    wanted = Session(model).predict_proba(x)
    for source in (str(model), model.read_bytes(), bytearray(model.read_bytes())):
        assert np.array_equal(Session(source).predict_proba(x), wanted)
    with model.open("rb") as file:
        assert np.array_equal(Session(file).predict_proba(x), wanted)
    assert np.array_equal(Session(io.BytesIO(model.read_bytes())).predict_proba(x), wanted)


def test_what_is_no_model(model: Path) -> None:
    with pytest.raises(InputError, match="a model is a path, bytes or an open file, not int"):
        Session(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"was opened as text; open it with mode 'rb'"):
        Session(io.StringIO("model"))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="model in memory: not an ONNX model, or a truncated"):
        Session(model.read_bytes()[:-9])
    closed = model.open("rb")
    closed.close()
    with pytest.raises(ModelError, match=r"m\.onnx: cannot be read: .*closed file"):
        Session(closed)


def test_a_session_is_pickled_by_its_path(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(model.parent)
    kept = pickle.dumps(Session(model.name, threads=1, spin=False))
    monkeypatch.chdir("/")
    again = pickle.loads(kept)
    x = again.preprocess(random_images(2))
    assert np.array_equal(again.predict(x), Session(model).predict(x))
    with pytest.raises(
        InputError, match="a session created from bytes cannot be pickled; create it from a p"
    ):
        pickle.dumps(Session(model.read_bytes()))


def test_threads_need_not_spin(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "session.intra_op.allow_spinning"
    for spin, wanted in ((False, "0"), (True, None)):
        options = session_options(2, spin=spin)
        try:
            found = options.get_session_config_entry(key)
        except RuntimeError:  # it was not set
            found = None
        assert found == wanted
        found = Session(model, threads=2, spin=spin).predict(np.ones((1, 1, 4, 4), np.float32))
        assert found.shape == (1,)


def test_image_files(tmp_path: Path, photo: Path) -> None:
    model = Session(write_pixel_classifier(tmp_path / "m.onnx", 3, preprocess=FITS.to_json()))
    wanted = FITS.fitted(decode(photo))[np.newaxis]
    assert np.array_equal(model.preprocess(photo), wanted)
    assert np.array_equal(model.preprocess([photo, str(photo)]), np.repeat(wanted, 2, axis=0))
    assert np.array_equal(model.predict_proba(photo), model.predict_proba(wanted))
    assert model.predict([photo] * 3).shape == (3,)
    assert model.run((photo,))["probabilities"].shape == (1, 3)


def test_image_files_that_cannot_be_taken(model: Path, photo: Path, tmp_path: Path) -> None:
    older = Session(model)
    with pytest.raises(InputError, match=r"photo\.png: has 9x14 pixels \(height x width\), and th"):
        older.predict(photo)
    with pytest.raises(InputError, match=r"none\.png: No such file"):
        older.predict("none.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(InputError, match=r"text\.png: not a readable image"):
        older.predict(tmp_path / "text.png")
    with pytest.raises(InputError, match="must be a numpy array, this is list"):
        older.predict([])  # type: ignore[arg-type]


def test_floats_in_place_of_pixels(tmp_path: Path) -> None:
    model = Session(write_pixel_classifier(tmp_path / "m.onnx", 3))
    with pytest.raises(InputError) as caught:
        model.predict(np.zeros((1, 4, 4, 3), np.float32))
    assert "the model takes the pixels of images as they are, uint8 [N, H, W, C]" in str(
        caught.value
    )
    assert "astype" not in str(caught.value)
