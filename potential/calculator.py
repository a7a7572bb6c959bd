"""The committee as an ASE calculator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from potential.data.stress import voigt_stress
from potential.evaluator import Evaluator
from potential.nequip.batch import Structures
from potential.nequip.model import NequIP
from potential.package import load_card, load_potential


class Potential(Calculator):
    """Energy, forces and stress of the committee's mean, and its disagreement.

    `results` also holds `energy_disagreement` (eV) and `force_disagreement` (eV/Angstrom for each
    atom): the sample standard deviation over the members.

        atoms.calc = Potential.load("campaigns/ethanol/potential")
        atoms.get_forces()
        atoms.calc.results["force_disagreement"].max()
    """

    implemented_properties = [  # noqa: RUF012 (ASE declares it as an instance variable)
        "energy",
        "free_energy",
        "forces",
        "stress",
        "energy_disagreement",
        "force_disagreement",
    ]

    def __init__(
        self, model: NequIP, *, device: str = "cpu", skin: float = 0.5, card: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.evaluator = Evaluator(model, skin=skin, device=device)
        self.card = card or {}

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu", skin: float = 0.5) -> Potential:
        """Read a potential's folder."""
        model = load_potential(Path(folder), device=device)
        return cls(model, device=device, skin=skin, card=load_card(Path(folder)))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise ValueError("the calculator has no atoms yet; set atoms.calc = Potential.load(...)")
        structures = _structures(atoms)
        periodic = bool(atoms.pbc.any() and atoms.cell.rank == 3)
        prediction = self.evaluator(structures, stress=periodic)
        energy = float(prediction.mean_energy[0])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": prediction.mean_forces.numpy(),
            "energy_disagreement": float(prediction.energy_disagreement[0]),
            "force_disagreement": prediction.force_disagreement.numpy(),
        }
        if prediction.mean_stress is not None:
            stress = np.asarray(prediction.mean_stress[0].double())
            self.results["stress"] = voigt_stress(stress)


def _structures(atoms: Atoms) -> Structures:
    """One structure at full precision (a `Frame` would round the positions to its grid)."""
    return Structures(
        numbers=torch.tensor(atoms.numbers, dtype=torch.int64),
        positions=torch.tensor(atoms.positions, dtype=torch.float64),
        structure=torch.zeros(len(atoms), dtype=torch.int64),
        cell=torch.tensor(atoms.cell.array, dtype=torch.float64).unsqueeze(0),
        pbc=torch.tensor(atoms.pbc).unsqueeze(0),
    )
