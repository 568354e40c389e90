"""Sounds that have not ended yet are answered as they would be on the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import Listener, ModelError, Session

from ..sounds import RATE, network, recording


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(network(tmp_path_factory.mktemp("sound") / "model.onnx"), threads=1)


@pytest.mark.parametrize("pieces", [[1], [37], [800], [1, 5000, 17], [20_000]])
def test_pieces_do_not_matter(session: Session, pieces: list[int]) -> None:
    samples = recording(2, seconds=2.0)
    whole = Listener(session).push(samples)
    listener, answers, at = Listener(session), [], 0
    while at < len(samples):
        for size in pieces:
            if at < len(samples):
                answers += listener.push(samples[at : at + size])
                at += size
    assert [one.seconds for one in answers] == [one.seconds for one in whole]
    for one, expected in zip(answers, whole, strict=True):
        np.testing.assert_array_equal(one.probabilities, expected.probabilities)


def test_answers_are_those_of_the_window_before_them(session: Session) -> None:
    samples = recording(3, seconds=2.5)
    listener = Listener(session)
    sound = listener.sound
    answers = listener.push(samples)
    steps = np.diff([one.seconds for one in answers])
    np.testing.assert_allclose(steps, listener.frames_between * sound.hop / sound.rate)
    assert 0.05 < steps[0] < 0.15
    full = [one for one in answers if one.seconds * sound.rate >= sound.samples]
    assert full
    for one in full:
        end = round(one.seconds * sound.rate)
        window = samples[end - sound.samples : end]
        expected = session.predict_proba(session.preprocess(window))[0]
        np.testing.assert_array_equal(one.probabilities, expected)


def test_before_a_window_is_full_silence_stands_before_it(session: Session) -> None:
    samples = recording(1, seconds=0.4)
    first = Listener(session).push(samples)[0]
    sound = Listener(session).sound
    heard = samples[: round(first.seconds * RATE)]
    levels = sound.levels(sound.powers(heard / 32768.0))
    picture = np.zeros((1, sound.bands, sound.frames, 1), np.uint8)
    picture[0, :, sound.frames - levels.shape[1] :, 0] = levels
    expected = session.predict_proba(session.preprocess(picture))[0]
    np.testing.assert_array_equal(first.probabilities, expected)


def test_a_model_of_pictures_cannot_listen(tmp_path: Path) -> None:
    from sbn_deploy.materialize import Form
    from sbn_deploy.untrained import export_untrained

    path = tmp_path / "pictures.onnx"
    export_untrained("digits-cnn", path, Form(), width=8)
    with pytest.raises(ModelError, match="takes no sounds"):
        Listener(Session(path))
