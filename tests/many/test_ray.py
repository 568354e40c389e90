"""`BatchClassifier` in Ray Data: `make test-engines`."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_runtime import BatchClassifier

from .pictures import classifier, encoded

ray = pytest.importorskip("ray", reason="needs Ray: make test-engines")
cluster_utils = pytest.importorskip("ray.cluster_utils")

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


def rows(found: Any) -> list[tuple[Any, ...]]:
    """Answers without their order."""
    names = ("label", "class", "entropy", "error")
    return [
        tuple("" if value is None or value != value else value for value in row)
        for row in zip(*(np.asarray(found[name]).tolist() for name in names), strict=True)
    ]
