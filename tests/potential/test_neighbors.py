"""Neighbour lists against ASE's, and the Verlet skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.neighborlist import neighbor_list as ase_neighbor_list

from potential.data.frame import Frame
from potential.nequip.neighbors import NeighborList, neighbor_list
from tests.support.systems import batch, crystal, ethanol, water


def sorted_vectors(edges, positions):
    rows = torch.cat(
        [edges.receiver.unsqueeze(1), edges.sender.unsqueeze(1), edges.vectors(positions)], dim=1
    ).numpy()
    return rows[np.lexsort(np.round(rows, 9).T[::-1])]


def slab() -> Frame:
    frame = crystal(3)
    return Frame.of(frame.numbers, frame.positions, frame.cell, [True, True, False])


@pytest.mark.parametrize("cutoff", [3.0, 5.0])
@pytest.mark.parametrize("frame", [ethanol(), crystal(), slab()], ids=["molecule", "crystal", "slab"])
def test_pairs_are_ases(frame, cutoff):
    structures = batch(frame)
    i, j, d = ase_neighbor_list("ijD", frame.to_atoms(), cutoff)
    expected = np.column_stack([i, j, d])
    expected = expected[np.lexsort(np.round(expected, 9).T[::-1])]
    found = sorted_vectors(neighbor_list(structures, cutoff), structures.positions)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_mixed_batch_is_sorted_by_receiver_and_stays_within_structures():
    structures = batch(water(), crystal(), ethanol())
    edges = neighbor_list(structures, 4.0)
    assert (edges.receiver.diff() >= 0).all()
    assert torch.equal(structures.structure[edges.receiver], structures.structure[edges.sender])


def test_a_skin_gives_the_same_pairs_while_the_atoms_move():
    structures = batch(ethanol(), crystal())
    skinned = NeighborList(4.0, skin=0.6)
    generator = torch.Generator().manual_seed(0)
    searches = set()
    for _ in range(12):
        step = 0.05 * torch.randn(structures.positions.shape, generator=generator, dtype=torch.float64)
        structures = structures.at(structures.positions + step)
        found = sorted_vectors(skinned(structures), structures.positions)
        exact = sorted_vectors(neighbor_list(structures, 4.0), structures.positions)
        np.testing.assert_allclose(found, exact, atol=1e-9)
        searches.add(id(skinned._searched))
    assert 1 < len(searches) < 12, "the list must be reused between searches, and searched again in time"
    stretched = replace(structures, cell=structures.cell * 1.3)
    np.testing.assert_allclose(
        sorted_vectors(skinned(stretched), stretched.positions),
        sorted_vectors(neighbor_list(stretched, 4.0), stretched.positions),
        atol=1e-9,
    )


def test_atoms_on_one_point_are_refused():
    with pytest.raises(ValueError, match="atoms 0 and 1 of the batch sit on one point"):
        neighbor_list(batch(Frame.of([1, 1], np.zeros((2, 3)))), 3.0)
