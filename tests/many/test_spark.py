"""`BatchClassifier.frames` in Spark: `make test-engines`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import BatchClassifier

from .pictures import classifier, encoded, write_folder

pytest.importorskip("pyspark", reason="needs Spark: make test-engines")
pytest.importorskip("pandas")
pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17"),
    # Of Spark's own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_files_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    model = classifier(tmp_path / "model.onnx")
    pictures = encoded(120)
    folder = write_folder(tmp_path / "in", pictures)
    classify = BatchClassifier(
        model, column="content", keep=["path"], coverage=0.9, reject="unknown"
    )
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "512m")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "25")
        .config("spark.sql.warehouse.dir", str(tmp_path / "warehouse"))
        .getOrCreate()
    )
    try:
        frame = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        read = frame.load(str(folder)).select("path", "content").repartition(4)
        answers = read.mapInPandas(classify.frames, f"path string, {classify.schema}").collect()
    finally:
        spark.stop()
    assert len({answer["path"] for answer in answers}) == len(answers) == len(pictures)
    expected = classify({"content": pictures, "path": range(len(pictures))})
    for answer in answers:
        index = int(Path(answer["path"]).stem)
        assert answer["label"] == expected["label"][index]
        assert answer["class"] == expected["class"][index]
        assert answer["error"] == expected["error"][index]
        assert answer["unknown"] == expected["unknown"][index]
        assert answer["set"] == expected["set"][index]
        entropy, found = expected["entropy"][index], answer["entropy"]
        assert found == entropy or (np.isnan(entropy) and (found is None or np.isnan(found)))
