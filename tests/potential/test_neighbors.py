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


def random_crystal(rng: np.random.Generator, n: int) -> Frame:
    """n atoms anywhere in a random cell, slanted at will, up to a few Angstrom thin."""
    while True:
        cell = rng.normal(size=(3, 3)) * rng.uniform(2.0, 5.0)
        heights = abs(np.linalg.det(cell)) * np.linalg.norm(np.linalg.inv(cell), axis=0)
        if abs(np.linalg.det(cell)) > 5 and heights.min() > 1.5:
            return Frame.of([6] * n, rng.random((n, 3)) @ cell, cell, True)


@pytest.mark.parametrize("seed", range(8))
def test_a_skin_misses_no_pair_while_cells_strain_shear_and_turn(seed):
    """Random cells, steps of every size: what is reused has all the pairs, with the shifts of now."""
    rng = np.random.default_rng(seed)
    cutoff, skin, reused, searched = 4.0, 0.8, 0, 0
    for size in (0.002, 0.01, 0.03, 0.1):
        structures = batch(*(random_crystal(rng, n) for n in (1, 4, 7)))
        skinned = NeighborList(cutoff, skin=skin)
        for _ in range(10):
            strain = torch.from_numpy(np.eye(3) + size * rng.normal(size=(3, 3, 3)))
            own = torch.from_numpy(3 * size * rng.normal(size=structures.positions.shape))
            structures = replace(
                structures,
                positions=torch.einsum("ai,aij->aj", structures.positions, strain[structures.structure])
                + own,
                cell=structures.cell @ strain,
            )
            before = skinned._searched
            found = skinned(structures)
            reused, searched = (
                reused + (skinned._searched is before),
                searched + (skinned._searched is not before),
            )
            np.testing.assert_allclose(
                sorted_vectors(found, structures.positions),
                sorted_vectors(neighbor_list(structures, cutoff), structures.positions),
                atol=1e-9,
            )
    assert reused > 8
    assert searched > 8


def test_a_strain_alone_is_followed_up_to_the_skin_and_no_further():
    """No own displacement: s (cutoff + skin) = cutoff where the list ends, however far atoms are carried."""
    structures = batch(crystal())
    far = structures.at(structures.positions + 1000.0)  # unwrapped, as in a long trajectory
    for scale, reused in ((1.2, True), (0.9, True), (4.0 / 4.8 * 1.001, True), (4.0 / 4.8 * 0.999, False)):
        skinned = NeighborList(4.0, skin=0.8)
        skinned(far)
        squeezed = replace(far, positions=far.positions * scale, cell=far.cell * scale)
        skinned(squeezed)
        assert (skinned._searched is far) == reused, scale


def test_a_cell_that_moves_without_three_periods_is_searched_again():
    structures = batch(slab(), crystal())
    for which, reused in ((0, False), (1, True)):
        skinned = NeighborList(4.0, skin=0.8)
        skinned(structures)
        cell = structures.cell.clone()
        cell[which] *= 1.001
        skinned(replace(structures, cell=cell))
        assert (skinned._searched is structures) == reused


def test_a_cell_that_is_not_finite_is_never_near():
    structures = batch(crystal())
    skinned = NeighborList(4.0, skin=0.8)
    skinned(structures)
    assert skinned._reusable(replace(structures, cell=structures.cell * float("nan"))) is None
    assert skinned._reusable(structures.at(structures.positions * float("nan"))) is None


def test_atoms_on_one_point_are_refused():
    with pytest.raises(ValueError, match="atoms 0 and 1 of the batch sit on one point"):
        neighbor_list(batch(Frame.of([1, 1], np.zeros((2, 3)))), 3.0)
