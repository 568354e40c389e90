"""Random networks that draw their signs agree with torch in every engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from sbn_converters.onnx.noise import Draw
from sbn_converters.onnx.samples import COUNT, FIRST, SEED
from sbn_deploy.export import Noise, export_model, onnx_model
from sbn_deploy.materialize import Form, materialize
from sbn_deploy.materialize.signs import noise_table, stochastic_signs
from sbn_deploy.nn import StochasticSign, models
from sbn_deploy.nn import noise as noises
from sbn_deploy.oracle import validate_members
from sbn_deploy.untrained import export_untrained
from sbn_runtime import Session
from sbn_runtime.engines.onnxruntime import session_options
from sbn_runtime.errors import ConfigError, ModelError

from .random_networks import NetworkSpec, Sign, build, networks

TABLES = {name: noise_table(noises.get(name)) for name in noises.names()}


@given(networks(), st.sampled_from(sorted(TABLES)), st.floats(0.1, 3), st.integers(0, 2**63 - 1))
@settings(
    deadline=None,
    max_examples=settings.default.max_examples // 8,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_every_engine_draws_what_torch_draws(
    spec: NetworkSpec, noise: str, scale: float, seed: int
) -> None:
    network, x = build(spec)
    draws = {
        name: Draw(TABLES[noise], scale)
        for name, module in network.named_modules()
        if isinstance(module, Sign)
    }
    made = onnx_model.build([network], x, noise=Noise(draws, 2, seed))
    results = validate_members(
        made.proto, [network], x.numpy(), stochastic=draws, traced=made.traced
    )
    assert [result for result in results if not result.ok] == []
    # The table decides about one draw in 2^12.
    assert all(result.tied_stochastic <= 5 + result.compared_bits / 256 for result in results)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that draws three samples of two members."""
    path = tmp_path_factory.mktemp("drawn") / "model.onnx"
    export_untrained(
        "cifar-vgg-s",
        path,
        Form("sample", 2, activations="stochastic", samples=3),
        size=8,
        width=8,
    )
    return path


def run(path: Path, x: np.ndarray, **numbers: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [M, S, N, K] of two members and the averaged probabilities [N, K]."""
    session = onnxruntime.InferenceSession(
        str(path), session_options(1), providers=["CPUExecutionProvider"]
    )
    fed = {name: np.array(number, np.int64) for name, number in numbers.items()}
    logits, probabilities = session.run(None, {"input": x, **fed})
    return logits.reshape(2, -1, *logits.shape[1:]), probabilities


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_seed_and_samples_are_inputs_with_defaults(model: Path) -> None:
    x = images(4)
    logits, probabilities = run(model, x)
    assert logits.shape == (2, 3, 4, 10)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities, shares.mean((0, 1)), atol=1e-6)
    np.testing.assert_array_equal(run(model, x, **{SEED: 0, COUNT: 3})[0], logits)
    assert (run(model, x, **{SEED: 1})[0] != logits).any()


def test_a_sample_does_not_depend_on_how_many_are_drawn(model: Path) -> None:
    x = images(3)
    logits, _ = run(model, x, **{COUNT: 7})
    np.testing.assert_array_equal(run(model, x, **{COUNT: 2})[0], logits[:, :2])
    later, _ = run(model, x, **{FIRST: 4, COUNT: 3})
    np.testing.assert_array_equal(later, logits[:, 4:])


def test_a_sample_is_the_same_network_for_every_image(model: Path) -> None:
    x = images(5)
    logits, _ = run(model, x)
    one_by_one = np.concatenate([run(model, x[i : i + 1])[0] for i in range(5)], axis=2)
    np.testing.assert_array_equal(one_by_one, logits)
    # Other samples and members are other networks.
    flat = logits.reshape(6, -1)
    assert len({row.tobytes() for row in flat}) == 6


def test_a_shortcut_from_before_the_noise_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    form = Form(activations="stochastic", samples=2)
    export_untrained("birealnet18", path, form, size=32, width=8)
    assert "Tile" in {node.op_type for node in onnx.load(path).graph.node}


def test_a_network_without_noise_says_so() -> None:
    with pytest.raises(ConfigError, match="no noise on its activations"):
        Noise({})


@pytest.mark.parametrize(
    ("samples", "seed", "said"),
    [(0, 0, "samples is 0"), (1 << 20, 0, "samples is"), (1, -1, "seed is -1"), (1, 2**63, "seed")],
)
def test_numbers_out_of_range(samples: int, seed: int, said: str) -> None:
    draws = {"sign": Draw(TABLES["logistic"])}
    with pytest.raises(ConfigError, match=said):
        Noise(draws, samples, seed)


def test_temperature_scales_the_noise() -> None:
    network = nn.Sequential(
        StochasticSign("uniform", temperature=4.0), StochasticSign(temperature=0.5, learnable=True)
    )
    found = stochastic_signs(network)
    assert found["0"].scale == 0.25
    assert found["1"].scale == pytest.approx(2.0)
    assert found["0"].table.cdf(np.array([0.5]))[0] == 0.75
    assert torch.is_tensor(network(torch.zeros(3)))


def test_members_of_differing_shape(tmp_path: Path) -> None:
    members = [materialize(models.create("digits-cnn", width=width))[0] for width in (8, 16)]
    with pytest.raises(ConfigError, match="members must be of one architecture: stage1"):
        export_model(members, torch.zeros(2, 1, 8, 8), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_table_that_falls(model: Path, tmp_path: Path) -> None:
    proto = onnx.load(model)
    for tensor in proto.graph.initializer:
        if list(tensor.dims) == [2, 64]:
            table = onnx.numpy_helper.to_array(tensor).copy()
            table[0, 10] = table[0, 8]
            tensor.CopyFrom(onnx.numpy_helper.from_array(table, tensor.name))
    onnx.save(proto, tmp_path / "falls.onnx")
    with pytest.raises(ModelError, match=r"table is not monotone .* at segment 9"):
        Session(tmp_path / "falls.onnx")
