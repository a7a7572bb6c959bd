import math

import torch

from exploration.uncertainty import uncertainty
from potential.data.structure_files import molecule
from potential.nequip.batch import CommitteePrediction, Structures


def test_reduces_the_atoms_of_each_structure():
    structures = Structures.of([molecule("H2O"), molecule("H2")])
    generator = torch.Generator().manual_seed(0)
    forces = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    energy = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    found = uncertainty(CommitteePrediction(energy=energy, forces=forces), structures)
    # sqrt(sum_g |F_g - <F>|^2 / (G - 1)), written out
    per_atom = ((forces - forces.mean(0)).square().sum(-1).sum(0) / 3).sqrt()
    torch.testing.assert_close(found.max_force, torch.stack([per_atom[:3].max(), per_atom[3:].max()]))
    torch.testing.assert_close(found.mean_force, torch.stack([per_atom[:3].mean(), per_atom[3:].mean()]))
    spread = ((energy - energy.mean(0)).square().sum(0) / 3).sqrt()
    torch.testing.assert_close(found.energy_per_atom, spread / torch.tensor([3, 2]))


def test_nan_of_one_member_stays_with_its_structure():
    structures = Structures.of([molecule("H2O"), molecule("H2")])
    forces = torch.zeros(4, 5, 3)
    forces[2, 4, 1] = math.nan
    found = uncertainty(CommitteePrediction(energy=torch.zeros(4, 2), forces=forces), structures)
    assert found.max_force.isnan().tolist() == [False, True]
    assert found.mean_force.isnan().tolist() == [False, True]
