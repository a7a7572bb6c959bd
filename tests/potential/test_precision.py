"""TF32: a switch for the time of a call, refused without a card, and what it does to forces."""

from __future__ import annotations

import pytest
import torch

from benchmarks.tf32 import EmulatedTF32, rounded
from potential.evaluator import Evaluator
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.nequip.precision import float32_products
from potential.nequip.radial import RadialNetwork
from potential.training.training_config import TrainingConfig
from tests.support.systems import batch, ethanol, model, predict


def test_rounding_keeps_ten_bits_of_the_mantissa():
    x = torch.tensor([1.0, -1.0, 1 + 2.0**-10, 1 + 2.0**-12, 1 + 2.0**-11 + 2.0**-13, 3e-30])
    assert rounded(x)[:5].tolist() == [1.0, -1.0, 1 + 2.0**-10, 1.0, 1 + 2.0**-10]
    many = torch.randn(1000)
    assert 2.0**-13 < float(((rounded(many) - many) / many).abs().max()) <= 2.0**-11


@pytest.mark.parametrize("outside", ["none", "ieee", "tf32"])
def test_precision_holds_for_the_block_and_no_longer(outside):
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = outside
        with float32_products("tf32"):
            assert matmul.fp32_precision == "tf32"
            with float32_products("ieee"):
                assert matmul.fp32_precision == "ieee"
            assert matmul.fp32_precision == "tf32"
        with pytest.raises(KeyError), float32_products("tf32"):
            raise KeyError
        assert matmul.fp32_precision == outside
    finally:
        matmul.fp32_precision = before


def test_tf32_is_refused_on_the_cpu():
    with pytest.raises(ValueError, match="set device: cuda or tf32: false"):
        Evaluator(model([1, 8]), tf32=True)
    with pytest.raises(ValueError, match="device is cpu"):
        TrainingConfig(tf32=True)
    assert TrainingConfig(tf32=True, device="cuda:1").tf32


@pytest.mark.parametrize("radial", ["spline", "mlp"])
def test_forces_in_emulated_tf32_differ_by_what_ten_bits_allow(radial):
    config = ModelConfig(num_layers=2, num_features=8, committee_size=2, radial=radial)
    committee, structures = NequIP(config, [1, 6, 8]), batch(ethanol(0), ethanol(1))
    exact = predict(committee, structures).forces
    with EmulatedTF32() as mode, float32_products("tf32"):
        forces = predict(committee, structures).forces
    assert mode.products > 10
    difference = float((forces - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    assert 1e-5 < difference < 3e-3


def test_knots_of_splines_keep_full_precision():
    radial = NequIP(ModelConfig(num_features=8), [1, 8]).get_submodule("blocks.0.radial")
    assert isinstance(radial, RadialNetwork)
    exact = radial.coefficients()
    with EmulatedTF32() as mode, float32_products("tf32"):
        assert torch.equal(radial.coefficients(), exact)
    assert mode.products == 0
