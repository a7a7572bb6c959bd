"""Products of an atom's messages with themselves: the couplings, and what a block sees with them."""

from __future__ import annotations

import math

import pytest
import torch
from e3nn import o3

from potential.backends.reference import Reference
from potential.data.frame import Frame
from potential.nequip.irreps import dimension, feature_irreps
from potential.nequip.neighbors import neighbor_list
from potential.nequip.products import Product, ProductTable
from tests.support.systems import batch, model


def features(irreps, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, dimension(irreps), 5, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("parity", [True, False])
def test_each_path_is_e3nns_clebsch_gordan_product(parity, square):
    irreps = feature_irreps(2, parity)
    table = ProductTable.of(irreps, irreps, square=square)
    left = features(irreps, 0)
    right = left if square else features(irreps, 1)
    found = torch.cat([*Product(table)(left, right).values()], 2)
    row = 0
    for pair in table.pairs:
        a, b = (
            x.narrow(2, dimension(irreps[: irreps.index(ir)]), ir.dim)
            for x, ir in ((left, pair.left), (right, pair.right))
        )
        w3j = o3.wigner_3j(pair.left.l, pair.right.l, pair.target.l, dtype=torch.float64)
        exact = math.sqrt(pair.target.dim) * torch.einsum("ijk,mniu,mnju->mnku", w3j, a, b)
        torch.testing.assert_close(found.narrow(2, row, pair.target.dim), exact, rtol=0, atol=1e-12)
        assert exact.abs().max() > 1e-3, f"{pair} is nothing for all inputs"
        row += pair.target.dim
    assert row == table.rows == found.shape[2]


def test_no_path_is_left_out():
    """All of e3nn's full product; in a square unlike irreps once, and the symmetric half of like ones."""
    irreps = feature_irreps(2, parity=True)
    full = o3.FullTensorProduct(
        "+".join(f"1x{ir}" for ir in irreps),
        "+".join(f"1x{ir}" for ir in irreps),
        filter_ir_out=[str(ir) for ir in irreps],
    )
    assert len(ProductTable.of(irreps, irreps, square=False).pairs) == len(full.instructions)
    like = sum(
        irreps[i.i_in1] == irreps[i.i_in2] for i in full.instructions if full.irreps_out[i.i_out].ir.l != 1
    )
    unlike = sum(irreps[i.i_in1] != irreps[i.i_in2] for i in full.instructions) // 2
    assert len(ProductTable.of(irreps, irreps, square=True).pairs) == like + unlike


def center(places: list[float], **settings) -> float:
    """Energy of an atom with neighbours on the unit circle at these angles, after one interaction block."""
    network = model([1, 8], num_layers=1, members=1, l_max=3, **settings)
    neighbours = [[math.cos(angle), math.sin(angle), 0.0] for angle in places]
    structures = batch(Frame.of([8] + [1] * len(places), [[0.0, 0.0, 0.0], *neighbours]))
    edges = neighbor_list(structures, network.config.r_max)
    graph = network.graph(network.species_of(structures.numbers), edges, edges.vectors(structures.positions))
    return float(Reference(network).energy_and_slope(graph).energy[0, 0])


def test_one_block_sees_angles_with_a_correlation_of_two():
    for correlation, differs in [(1, False), (2, True)]:
        wide, narrow = (center([0, angle], correlation=correlation) for angle in (2.0, 2.6))
        assert (abs(wide - narrow) > 1e-4) is differs


def test_one_block_sees_three_neighbours_at_once_with_a_correlation_of_three():
    """Neighbours at {0, 1, 3, 4} and at {0, 1, 2, 5} eighths of a turn: the same angles, each as often.

    Only triples tell them apart (A. L. Patterson, Phys. Rev. 65, 195 (1944)).
    """
    for correlation, differs in [(2, False), (3, True)]:
        one, two = (
            center([2 * math.pi * k / 8 for k in places], correlation=correlation)
            for places in [(0, 1, 3, 4), (0, 1, 2, 5)]
        )
        assert (abs(one - two) > 1e-4) is differs
