"""`sbn predict --ray`, and `BatchClassifier` in Ray Data: `make test-engines`."""

from __future__ import annotations

import socket
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from sbn_deploy.many import on_ray
from sbn_deploy.many.sources import Pictures
from sbn_runtime import BatchClassifier
from sbn_runtime.errors import InputError

from ..command import COMMAND
from ..docs.pages import ROOT, parts
from .pictures import classifier, encoded, write_folder, write_parquet

ray = pytest.importorskip("ray", reason="needs Ray: make test-engines")
cluster_utils = pytest.importorskip("ray.cluster_utils")

PAGE = ROOT / "docs" / "many.md"
COUNT = 2000
MEMORY = 150 << 20
# Ray's own: sockets and files that it leaves to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Placed(BatchClassifier):
    """Takes its time, so that a node can die meanwhile, and says on which node it answered."""

    def __call__(self, batch: Any) -> dict[str, Any]:
        found = super().__call__(batch)
        time.sleep(0.2)
        node = ray.get_runtime_context().get_node_id()
        return found | {"node": np.full(len(found["label"]), node, object)}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of two cores on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 2, "object_store_memory": MEMORY},
        )
        found.add_node(num_cpus=2, object_store_memory=MEMORY)
        ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield found
        ray.shutdown()
        found.shutdown()


def test_a_node_dies_and_nothing_is_lost(cluster: Any, tmp_path: Path) -> None:
    model = classifier(tmp_path / "model.onnx")
    pictures = encoded(COUNT)
    items = [{"image": {"bytes": one, "path": f"{i}.png"}} for i, one in enumerate(pictures)]
    expected = Counter(rows(BatchClassifier(model)({"image": [row["image"] for row in items]})))
    found = ray.data.from_items(items, override_num_blocks=40).map_batches(
        Placed,
        fn_constructor_args=[str(model)],
        fn_constructor_kwargs={"column": "image"},
        batch_size=50,
        concurrency=3,
    )
    answered: list[Any] = []
    nodes: set[str] = set()
    removed = False
    for batch in found.iter_batches(batch_size=50):
        if len(nodes) == 2 and not removed:
            removed = True
            (other,) = [node for node in cluster.list_all_nodes() if node != cluster.head_node]
            cluster.remove_node(other, allow_graceful=False)
        nodes |= set(batch.pop("node"))
        answered += rows(batch)
    assert Counter(answered) == expected
    assert removed, "only one node answered"
    assert sum(node["Alive"] for node in ray.nodes()) == 1


def test_the_example_of_the_page(cluster: Any, tmp_path: Path) -> None:
    (example,) = [one.code for one in parts(PAGE) if "import ray\n" in one.code]
    assert "/shared/" in example
    assert "concurrency=16" in example
    classifier(tmp_path / "digits.onnx")
    pictures = encoded(40)
    write_folder(tmp_path / "scans", pictures)
    here = example.replace("/shared/", f"{tmp_path}/").replace("concurrency=16", "concurrency=2")
    exec(compile(here, PAGE, "exec"), {})
    found = pq.read_table(tmp_path / "answers").to_pylist()
    expected = BatchClassifier(tmp_path / "digits.onnx")({"image": pictures})
    assert len(found) == len({row["path"] for row in found}) == len(pictures)
    for row in found:
        index = int(Path(row["path"]).stem)
        assert row["label"] == expected["label"][index]
        assert row["error"] == expected["error"][index]


def predict(*words: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "predict", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def works(node: Any) -> bool:
    """Whether a task of ours runs on a node."""
    (raylet, *_) = node.all_processes["raylet"]
    found = psutil.Process(raylet.process.pid).children(recursive=True)
    return any("_answers" in one.name() for one in found)


def test_the_command_goes_on_when_a_node_dies(cluster: Any, tmp_path: Path) -> None:
    """And when it is killed itself; the file is that of an undisturbed run without Ray."""
    model = classifier(tmp_path / "model.onnx")
    shards = tmp_path / "in"
    shards.mkdir()
    few = encoded(64)
    for index in range(60):
        write_parquet(shards / f"{index:02}.parquet", few * 16, group=len(few) * 16)
    whole, output = tmp_path / "whole.parquet", tmp_path / "a.parquet"
    _, said = (run := predict(model, shards, "-o", whole)).communicate()
    assert run.returncode == 0, said
    words = (model, shards, "-o", output, "--ray", cluster.address)
    parts = tmp_path / "a.parquet.parts"
    run = predict(*words)
    while not [*parts.glob("0*.arrow")] and run.poll() is None:
        time.sleep(0.01)
    run.kill()
    run.communicate()
    begun = {path: path.stat().st_mtime_ns for path in parts.glob("0*.arrow")}
    assert begun
    run = predict(*words)
    (other,) = [node for node in cluster.list_all_nodes() if node != cluster.head_node]
    while not works(other) and run.poll() is None:
        time.sleep(0.01)
    assert {path: path.stat().st_mtime_ns for path in begun} == begun
    cluster.remove_node(other, allow_graceful=False)
    _, said = run.communicate()
    assert run.returncode == 0, said
    assert "Traceback" not in said
    assert output.read_bytes() == whole.read_bytes()
    assert not parts.exists()
    assert sum(node["Alive"] for node in ray.nodes()) == 1


def test_a_damaged_shard_on_a_cluster(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    write_parquet(Path("a.parquet"), encoded(20))
    write_folder(Path("in"), encoded(20))
    content = bytearray(Path("a.parquet").read_bytes())
    content[200:1200] = bytes(1000)
    Path("a.parquet").write_bytes(content)
    run = predict(model, "a.parquet", "in", "-o", "out.parquet", "--ray", cluster.address)
    _, said = run.communicate()
    assert run.returncode == 2
    assert "error: a.parquet is damaged" in said.splitlines()[-1]
    assert "the others are done" in said
    assert len([*Path("out.parquet.parts").glob("0*.arrow")]) == 1
    # Paths are those of the folder in which the command was typed.
    run = predict(model, "in", "-o", "out.parquet", "--ray", cluster.address)
    assert run.communicate()[0].startswith("20 pictures, 2 of them unreadable")
    assert pq.read_table("out.parquet")["file"][0].as_py() == "in/000/00000.png"


def test_what_a_node_does_not_find(tmp_path: Path) -> None:
    """The task itself, as it runs on a node."""
    classify = BatchClassifier(classifier(tmp_path / "model.onnx"))
    sender = on_ray._Sender.of(classify)
    folder = write_folder(tmp_path / "in", encoded(2))
    unit = Pictures(tuple(map(str, sorted((folder / "000").iterdir()))))
    state = unit.state()
    assert isinstance(on_ray._answers(sender, unit, state), bytes)
    Path(unit.files[0]).unlink()
    for changed, what in (
        (sender, unit.files[0]),
        (replace(sender, state=(1, 2)), sender.model),
        (replace(sender, folder="/nowhere"), "/nowhere"),
    ):
        found = on_ray._answers(changed, unit, state)
        assert isinstance(found, InputError)
        assert str(found).startswith(f"{what}: node ")
    found = on_ray._answers(replace(sender, version="0.0"), unit, state)
    assert "has version" in str(found)


def test_a_cluster_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(tmp_path / "model.onnx")
    folder = write_folder(tmp_path / "in", encoded(2))
    monkeypatch.setattr(on_ray, "CONNECT_S", 10)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address, reason in (
            ("127.0.0.1:1", "no Ray cluster answers: Connection refused"),
            ("photos", "is not an address"),
            ("ray://127.0.0.1:1", "is not an address"),
            (f"127.0.0.1:{silent.getsockname()[1]}", "no Ray cluster answers within 10 seconds"),
            (on_ray.ANY, "Could not find any running Ray instance"),
        ):
            with pytest.raises(InputError, match=reason) as found:
                on_ray.Cluster(address, BatchClassifier(model))
            assert "\n" not in str(found.value)
    run = predict(model, folder, "-o", tmp_path / "a.parquet", "--ray", "127.0.0.1:1")
    _, said = run.communicate()
    assert run.returncode == 2
    assert said.splitlines()[-1].startswith("sbn: error: --ray 127.0.0.1:1: no Ray cluster")


def rows(found: Any) -> list[tuple[Any, ...]]:
    """Answers without their order."""
    names = ("label", "class", "entropy", "error")
    return [
        tuple("" if value is None or value != value else value for value in row)
        for row in zip(*(np.asarray(found[name]).tolist() for name in names), strict=True)
    ]
