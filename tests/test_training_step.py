"""What makes a training step cheap changes nothing in what it computes."""

from __future__ import annotations

import copy
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from pytorch_optimizer import SOAP  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from rdae.autoencoder.layers import Depthwise, Linear, Points, Residual  # noqa: E402
from rdae.model.spec import NUM_ANCHORS  # noqa: E402
from rdae.training import trainer as training  # noqa: E402
from rdae.training.data import Ahead  # noqa: E402
from rdae.training.optimizer import RotatingSOAP  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
SETTINGS: dict[str, Any] = {
    "lr": 0.01,
    "betas": (0.95, 0.95),
    "weight_decay": 0.0,
    "precondition_frequency": 5,
}


def problem(optimizer: type[SOAP], **settings: Any) -> tuple[Tensor, SOAP]:
    # float64, since Adam makes whole steps of the noise in directions that have no gradient
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 24 * 40).double().reshape(24, 40))
    return weight, optimizer([weight], **SETTINGS, **settings)


def descend(weight: Tensor, optimizer: SOAP, steps: range) -> None:
    for step in steps:
        inputs = torch.randn(32, 24, generator=torch.Generator().manual_seed(step)).double()
        optimizer.zero_grad()
        (inputs @ weight).sin().square().mean().backward()
        optimizer.step()


def test_moments_in_the_eigenbasis_give_the_weights_of_the_published_algorithm():
    expected, published = problem(SOAP)
    weight, ours = problem(RotatingSOAP, low_precision=False)
    descend(expected, published, range(23))
    descend(weight, ours, range(23))
    torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_the_published_algorithm_goes_on():
    expected, published = problem(SOAP)
    descend(expected, published, range(13))
    weight, ours = problem(RotatingSOAP, low_precision=False)
    weight.data.copy_(expected)
    ours.load_state_dict(copy.deepcopy(published.state_dict()))
    descend(expected, published, range(13, 23))
    descend(weight, ours, range(13, 23))
    torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)


def test_a_branch_in_bfloat16_is_near_float32_with_its_gradients():
    torch.manual_seed(0)
    points = Points(torch.tensor([3.0, 9.0]), NUM_ANCHORS)
    outer = [Linear(32, 48, 3), Linear(48, 32)]
    branch = Residual([outer[0], Depthwise(48, 3), outer[1]])
    x = torch.randn(2, 8, 8, 32, requires_grad=True)
    found = []
    for low in (False, True):
        for layer in outer:
            layer.low_precision = low
        branch.zero_grad()
        x.grad = None
        y = branch(x, points)
        assert y.dtype == torch.float32
        y.square().mean().backward()
        gradients = [p.grad.clone() for p in (x, *branch.parameters())]
        assert all(g.dtype == torch.float32 for g in gradients)
        found.append([y.detach(), *gradients])
    for whole, low in zip(*found, strict=True):
        assert not torch.equal(whole, low)
        assert (whole - low).norm() < 0.04 * whole.norm()


def test_the_leak_in_place_gives_the_same_gradients():
    torch.manual_seed(0)
    layer, x = Linear(8, 6, 3), torch.randn(5, 8, requires_grad=True)
    layer(x, None).square().sum().backward()
    inputs = x.detach().requires_grad_()
    reference = functional.leaky_relu(functional.linear(inputs, layer.weight, layer.bias), 1 / 8)
    reference.square().sum().backward()
    assert torch.allclose(x.grad, inputs.grad)


def test_crops_drawn_ahead_come_in_order_and_a_state_repeats_them():
    def draw(rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, 256, (1, 4, 4, 3)).astype(np.uint8)

    expected = [draw(rng) for rng in [np.random.default_rng(5)] for _ in range(6)]
    ahead = Ahead(draw, np.random.default_rng(5))
    assert all(np.array_equal(ahead.next(), crop) for crop in expected[:3])
    again = Ahead(draw, np.random.default_rng(0))
    again.next()
    again.start_at(ahead.state)
    assert all(np.array_equal(again.next(), crop) for crop in expected[3:])
    ahead.start_at(ahead.state)
    assert np.array_equal(ahead.next(), expected[3])


def test_hours_are_those_of_computing(monkeypatch):
    trainer: Any = SimpleNamespace(device=torch.device("cpu"))
    times = []
    monkeypatch.setattr(time, "process_time", lambda: 2.0 * torch.get_num_threads())
    for wall in (10.0, 500.0):  # suspended in between
        monkeypatch.setattr(time, "monotonic", partial(float, wall))
        times.append(training.Trainer._clock(trainer))
    assert times == [(10.0, 2.0), (500.0, 2.0)]
