"""Processes and machines that train one network: two agents of torchrun on the loopback."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sbn_deploy import data, tasks
from sbn_deploy.nn import models
from sbn_deploy.train import checkpoint, loop
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.distributed import Ranks
from sbn_deploy.train.head import Head
from sbn_deploy.train.loop import CHECKPOINT
from sbn_deploy.train.state import STATE
from sbn_deploy.train.torchrun import main
from sbn_deploy.train.trainer import Trainer
from sbn_runtime.errors import ConfigError

from ..sampled import few

WAIT_S = 300
# What every process would import; the last at its first step.
PRELOADED = ["sbn_deploy.train.loop", "sklearn.datasets", "torch._dynamo"]
SMALL: dict[str, Any] = {
    "model": {"width": 4},
    "batch_size": 256,
    "members": 1,
    "threads": 1,
    "device": "cpu",
}
# Nothing is drawn, so that a step of several processes can be that of one.
PLAIN = {"weights": "deterministic", "activations": "deterministic", "shift": 0}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _train(settings: dict[str, Any], resume: bool, variables: dict[str, str], said: Path) -> None:
    os.environ |= variables
    try:
        loop.train(TrainConfig(**settings), resume=resume)
    except ConfigError as error:
        said.write_text(str(error))


def together(folder: Path, *settings: Mapping[str, Any], resume: bool = False) -> list[str]:
    """Trains in as many processes, forked from one that has torch already: how each refused."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    shared = {"WORLD_SIZE": str(len(settings)), "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = str(free_port())
    processes = []
    for rank, own in enumerate(settings):
        variables = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        arguments = ({**SMALL, **own}, resume, variables, folder / f"said{rank}")
        processes.append(context.Process(target=_train, args=arguments))
        processes[-1].start()
    for process in processes:
        process.join(WAIT_S)
        assert process.exitcode == 0
    files = [folder / f"said{rank}" for rank in range(len(settings))]
    return [file.read_text() if file.exists() else "" for file in files]


def parameters(folder: Path) -> dict[str, Tensor]:
    """The trained ones, without what batch-norms count."""
    network, _ = checkpoint.load(folder / CHECKPOINT)
    return {name: value.detach() for name, value in network.named_parameters()}


@pytest.mark.parametrize("kind", few([PLAIN, {"twin": True, "shift": 0}], 1), ids=["sbn", "twin"])
def test_two_processes_are_one_that_accumulates(tmp_path: Path, kind: dict[str, Any]) -> None:
    """Bit for bit: each normalises its own half of the batch, as the one does half by half."""
    settings = {"epochs": 2, **kind}
    assert together(tmp_path, *2 * [{"out": tmp_path / "two", **settings}]) == ["", ""]
    alone = {**SMALL, **settings, "out": tmp_path / "one", "gradient_accumulation": 2}
    loop.train(TrainConfig(**alone))
    one, two = parameters(tmp_path / "one"), parameters(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(two[name], value), name


@pytest.mark.long
def test_running_statistics_are_those_of_the_first_process(tmp_path: Path) -> None:
    """After one step from the same beginning, of the images of its half."""
    settings = {**SMALL, **PLAIN, "out": tmp_path, "epochs": 1, "batch_size": 1024}
    assert together(tmp_path, settings, settings) == ["", ""]
    trained, _ = checkpoint.load(tmp_path / CHECKPOINT)
    recipe = TrainConfig(**settings)
    torch.manual_seed(recipe.seed)
    model = models.create("digits-cnn", width=4)
    head = Head(tasks.find("classification"))
    images = data.load("digits", "train+validation")
    first = Trainer(model, head, images, None, recipe, Ranks(0, 2, torch.device("cpu")))
    first.step()
    expected = {name: value for name, value in model.named_buffers() if "running" in name}
    found = dict(trained.named_buffers())
    assert expected
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_folder_that_not_all_share(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(_: Sequence[Mapping[str, Any]]) -> None:
        raise Enough

    with pytest.raises(Enough):
        loop.train(TrainConfig(out=tmp_path / "a", **SMALL), after_epoch=stop)
    folders = ({"out": tmp_path / name} for name in ("a", "b"))
    for said in together(tmp_path, *folders, resume=True):
        assert "not all processes see the same run in" in said


def test_a_missing_node(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    conf = ("--rdzv-conf", "join_timeout=1")
    words = ("-m", "sbn_deploy.cli", "train", "--out", str(tmp_path))
    assert main([*agent(port), *conf, *words]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"sbn: error: not all 2 nodes came to 127.0.0.1:{port} in time; start")


def agent(port: int) -> list[str]:
    """The options of each of two nodes."""
    return [
        *("--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"),
    ]


@pytest.mark.long
@pytest.mark.parametrize("killed", ["process", "node"])
def test_training_outlives_one_of_two_nodes(tmp_path: Path, killed: str) -> None:
    """Killed in the middle; it ends in the bits of an undisturbed run in two processes."""
    settings = {**SMALL, "epochs": 8, "same_weights": True}
    assert together(tmp_path, *2 * [{**settings, "out": tmp_path / "whole"}]) == ["", ""]
    out, recipe = tmp_path / "run", tmp_path / "recipe.toml"
    lines = (f"{name} = {json.dumps(value)}" for name, value in settings.items() if name != "model")
    recipe.write_text("\n".join([*lines, "[model]", "width = 4"]))
    port = free_port()
    command = [sys.executable, "-m", "sbn_deploy.train.torchrun", *agent(port)]
    command += ["-m", "sbn_deploy.cli", "train", "--config", str(recipe), "--out", str(out)]
    command += ["--resume"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}

    def start(number: int) -> subprocess.Popen[bytes]:
        with (tmp_path / f"node{number}").open("ab") as file:
            return subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    nodes = [start(0), start(1)]
    try:
        while not (out / STATE).exists() and all(node.poll() is None for node in nodes):
            time.sleep(0.01)
        workers = children(nodes[1].pid)
        assert workers, (tmp_path / "node1").read_text()
        if killed == "node":
            nodes[1].kill()
            nodes[1].wait()
            nodes[1] = start(1)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        for number, node in enumerate(nodes):
            assert node.wait(WAIT_S) == 0, (tmp_path / f"node{number}").read_text()
    finally:
        for node in nodes:
            node.terminate()
            node.wait()
    assert (out / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
