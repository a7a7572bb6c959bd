"""The tables and the convolution against e3nn."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3

from potential.kernels.fused import FusedConvolution, cpp_kernel
from potential.nequip.convolution import Convolution
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, SphericalHarmonics, feature_irreps


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
def test_spherical_harmonics_are_e3nns(l_max):
    unit = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    expected = o3.spherical_harmonics(list(range(l_max + 1)), unit, True, normalization="component")
    found, _ = SphericalHarmonics(l_max).with_slope(unit)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_hidden_irreps_hold_both_parities_or_the_natural_one():
    assert [str(ir) for ir in feature_irreps(2, parity=True)] == ["0e", "0o", "1o", "1e", "2e", "2o"]
    assert [str(ir) for ir in feature_irreps(2, parity=False)] == ["0e", "1o", "2e"]


def convolution_of(table: PathTable, channels: int, form: str) -> torch.nn.Module:
    if form == "plain":
        return Convolution(table)
    return FusedConvolution(cpp_kernel(table, channels, torch.float64, torch.device("cpu")), channels)


@pytest.fixture
def e3nn_in_float64():
    """e3nn bakes its Wigner 3j into a product in the default dtype of the moment it is built."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("form", ["plain", "fused"])
@pytest.mark.usefixtures("e3nn_in_float64")
def test_convolution_equals_e3nn_tensor_product(l_max, parity, form):
    generator = torch.Generator().manual_seed(l_max)
    irreps = feature_irreps(l_max, parity)
    table = PathTable.of(irreps, l_max, irreps)
    channels, atoms, edges = 3, 5, 17

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    features = random(1, atoms, sum(ir.dim for ir in irreps), channels)
    harmonics = random(1, edges, (l_max + 1) ** 2)
    weights = random(1, edges, len(table.paths), channels)
    sender = torch.randint(0, atoms, (edges,), generator=generator)
    receiver = torch.randint(0, atoms, (edges,), generator=generator).sort().values

    product = o3.TensorProduct(
        o3.Irreps([(channels, (ir.l, ir.p)) for ir in irreps]),
        o3.Irreps.spherical_harmonics(l_max),
        o3.Irreps([(channels, (path.target.l, path.target.p)) for path in table.paths]),
        [(irreps.index(path.source), path.l_edge, i, "uvu", True) for i, path in enumerate(table.paths)],
        shared_weights=False,
        internal_weights=False,
        irrep_normalization="component",
        path_normalization="none",
    )
    # e3nn keeps the channels of an irrep outermost: [channels, components].
    offsets, start = {}, 0
    for ir in irreps:
        offsets[ir], start = start, start + ir.dim
    theirs = torch.cat(
        [features[0, :, offsets[ir] : offsets[ir] + ir.dim].transpose(1, 2).flatten(1) for ir in irreps], 1
    )
    messages = product(theirs[sender], harmonics[0], weights[0].flatten(1))
    expected = torch.zeros(atoms, messages.shape[1], dtype=torch.float64).index_add(0, receiver, messages)

    topology = Topology.of(sender, receiver, atoms)
    ours = convolution_of(table, channels, form)(features, harmonics, weights, topology)[0]
    rows = []
    start = 0
    for path in table.paths:
        rows.append(ours[:, start : start + path.target.dim].transpose(1, 2).flatten(1))
        start += path.target.dim
    torch.testing.assert_close(torch.cat(rows, 1), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("form", ["plain", "fused"])
def test_convolution_has_first_and_second_derivatives(parity, form):
    irreps = feature_irreps(1, parity)
    table = PathTable.of(irreps, 1, irreps)
    topology = Topology.of(torch.tensor([1, 2, 0, 2]), torch.tensor([0, 0, 1, 1]), 3)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    inputs = (
        random(2, 3, sum(ir.dim for ir in irreps), 1),
        random(2, 4, 4),
        random(2, 4, len(table.paths), 1),
    )
    convolution = convolution_of(table, 1, form)

    def apply(h, y, w):
        return convolution(h, y, w, topology)

    assert torch.autograd.gradcheck(apply, inputs)
    assert torch.autograd.gradgradcheck(apply, inputs)
