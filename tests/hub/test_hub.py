"""Models on the hub, with the real client and a stand-in of the hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sbn_runtime import Session

from ..command import sbn
from ..small_models import Classifier
from . import stand_in

pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")

# What a test asks of it, in a process whose client knows no other hub.
SCRIPT = """
import json, sys
import numpy as np
from sbn_deploy.hub import from_pretrained, push_to_hub
from sbn_runtime.errors import SbnError

loaded = {name.partition(".")[0] for name in sys.modules}
answers = []
for function, arguments, options in json.load(sys.stdin):
    try:
        made = {"push": push_to_hub, "open": from_pretrained}[function](*arguments, **options)
        if function == "open":
            images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1) % 17
            made = made.predict_proba(made.preprocess(images)).tolist()
        answers.append(made)
    except SbnError as error:
        answers.append([type(error).__name__, str(error)])
print(json.dumps({"answers": answers, "loaded": sorted(loaded)}))
"""


@pytest.fixture
def hub() -> Iterator[stand_in.Hub]:
    with stand_in.running() as known:
        yield known


def ask(address: str, home: Path, *calls: Any, **variables: str) -> dict[str, Any]:
    """What the functions of `sbn_deploy.hub` answer to calls, one after the other."""
    client = {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_TOKEN": stand_in.TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(calls),
        env=os.environ | client | {"NO_PROXY": "127.0.0.1"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pushed(folder: Path, name: str = "m.onnx", license: str = "apache-2.0") -> tuple[Path, Path]:
    """A model and its card."""
    model = Classifier.random().write(folder / name)
    card = folder / "card.md"
    assert sbn("card", model, "-o", card, "--license", license).status == 0
    return model, card


def test_a_model_is_pushed_and_opened(hub: stand_in.Hub, tmp_path: Path) -> None:
    model, card = pushed(tmp_path)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("epochs = 1\n")
    push = ("push", [str(model), "me/shapes"], {"card": str(card)})
    more = ("push", [str(model), "me/shapes"], {"card": str(card), "files": [str(recipe)]})
    found = ask(
        hub.address,
        tmp_path / "cache",
        push,
        more,
        ("open", ["me/shapes"], {}),
        ("open", ["me/shapes", "m.onnx"], {"revision": "main", "threads": 1}),
    )
    first, second, opened, named = found["answers"]
    assert hub.commits[0] == ("Upload m.onnx", ["README.md", "m.onnx"])
    assert hub.repos["me/shapes"] == {
        "m.onnx": model.read_bytes(),
        "README.md": card.read_bytes(),
        "recipe.toml": recipe.read_bytes(),
    }
    assert not hub.private["me/shapes"]
    assert first.startswith(f"{hub.address}/me/shapes/commit/")
    assert second == f"{hub.address}/me/shapes/commit/{hub.commit('me/shapes')}"
    session = Session(model)
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1) % 17
    assert opened == named == session.predict_proba(session.preprocess(images)).tolist()
    # A device needs none of the large packages.
    assert not {"torch", "onnx", "pydantic", "huggingface_hub"} & {*found["loaded"]}


def test_a_model_that_was_opened_is_there_without_the_hub(
    hub: stand_in.Hub, tmp_path: Path
) -> None:
    model, card = pushed(tmp_path)
    push = ("push", [str(model), "me/shapes"], {"card": str(card)})
    opened = ("open", ["me/shapes", "m.onnx"], {})
    cache = tmp_path / "cache"
    _, first = ask(hub.address, cache, push, opened)["answers"]
    (again,) = ask("http://127.0.0.1:9", cache, opened, HF_HUB_OFFLINE="1")["answers"]
    assert again == first


def test_what_cannot_be_pushed_or_opened(hub: stand_in.Hub, tmp_path: Path) -> None:
    model, card = pushed(tmp_path)
    other = Classifier.random().write(tmp_path / "other.onnx")
    parted = tmp_path / "parted" / "m.onnx"
    parted.parent.mkdir()
    whole = onnx.load(model)
    onnx.save(whole, parted, save_as_external_data=True, location="m.data", size_threshold=0)
    bad = tmp_path / "bad.md"
    bad.write_text('---\nlicense: "mine"\ndatasets: ["folder:fruit"]\n---\n# m\n')
    said = {"card": str(card)}
    cases: list[tuple[Any, str, str]] = [
        (("push", [str(model), "me/a"], {"card": str(bad)}), "ConfigError", "must be one of"),
        (("push", [str(model), "a b c"], said), "ConfigError", "a b c: "),
        (("push", [str(card), "me/a"], said), "ModelError", "not an ONNX model"),
        (("push", [str(model), "me/a"], {"card": "none.md"}), "InputError", "no such file"),
        (("push", [str(parted), "me/a"], said), "ModelError", "keeps constants in m.data"),
        (
            ("push", [str(model), "me/a"], said | {"files": [str(model)]}),
            "InputError",
            "another file is called m.onnx too",
        ),
        (("push", [str(model), "me/b"], said | {"token": "wrong"}), "RemoteError", "401"),
        (("open", ["me/none"], {}), "RemoteError", "me/none: "),
        (("open", ["me/a"], {}), "ConfigError", "me/a has 0 .onnx files"),
    ]
    answers = ask(hub.address, tmp_path / "cache", *(call for call, _, _ in cases))["answers"]
    for (call, kind, text), answer in zip(cases, answers, strict=True):
        assert answer[0] == kind, (call, answer)
        assert text in answer[1], (call, answer)
        assert "\n" not in answer[1]
    assert not hub.commits
    two = ("push", [str(model), "me/two"], said | {"files": [str(other)], "private": True})
    calls = (two, ("open", ["me/two"], {}), ("open", ["me/two", "third.onnx"], {}))
    _, both, third = ask(hub.address, tmp_path / "cache", *calls)["answers"]
    assert hub.private["me/two"]
    assert both == ["ConfigError", "me/two has 2 .onnx files; name one of m.onnx, other.onnx"]
    assert third[0] == "RemoteError"


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    model, card = pushed(tmp_path)
    with stand_in.running() as gone:
        address = gone.address
    # What is read the client asks for again and again, for half a minute.
    call = ("push", [str(model), "me/a"], {"card": str(card)})
    (answer,) = ask(address, tmp_path / "cache", call)["answers"]
    assert answer[0] == "RemoteError"
    assert answer[1].startswith("me/a: ")
