"""Models with many features: what compiled blocks keep on the stack of a thread is bounded."""

from __future__ import annotations

import pytest
import torch

from potential.backends.compiled import Compiled
from potential.backends.reference import Reference
from potential.kernels.block import block_functions
from potential.kernels.build import CompilerError
from potential.kernels.layout import BlockLayout
from potential.nequip.irreps import PathTable, feature_irreps
from potential.nequip.neighbors import neighbor_list
from tests.support.systems import batch, ethanol, model


@pytest.mark.slow  # the compiler works longer than the test
def test_many_features_equal_the_model():
    committee = model([1, 6, 8], l_max=3, parity=True, num_features=128, num_layers=2, members=1)
    structures = batch(ethanol())
    edges = neighbor_list(structures, committee.config.r_max)
    species = committee.species_of(structures.numbers)
    graph = committee.graph(species, edges, edges.vectors(structures.positions))
    expected = Reference(committee).energy_and_slope(graph)
    energy, slope = Compiled(committee).energy_and_slope(graph)
    torch.testing.assert_close(energy, expected.energy, rtol=0, atol=1e-9)
    torch.testing.assert_close(slope, expected.slope, rtol=0, atol=1e-9)


def test_more_features_than_the_stack_can_hold_are_refused():
    irreps = feature_irreps(1, parity=True)
    layout = BlockLayout(PathTable.of(irreps, 1, irreps), 4096, 1)
    with pytest.raises(CompilerError, match="features of one atom are too large for the stack"):
        block_functions("evaluate", layout, torch.float64)
