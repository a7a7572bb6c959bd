"""The committee as an ASE calculator."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from potential.calibration.calibration import Calibration
from potential.data.frame import Frame
from potential.data.stress import voigt_stress
from potential.evaluator import Evaluator
from potential.known_environments import KnownEnvironments, growth
from potential.nequip.batch import CommitteePrediction, Structures
from potential.nequip.model import NequIP
from potential.package import load_card, load_potential

SMALLEST_CELL_A3 = 1e-3
"""No atom has less room: one of hydrogen at 10 TPa has 0.3."""


class Results(dict[str, Any]):
    """ASE's results, and beside them what ASE has no name for.

    ASE hands `results` on to functions that refuse a property they do not know. So the disagreement can
    be read here by its name, but is not among the keys. What takes time and is not always wanted stands
    beside as a function, which is called when its value is first read.
    """

    def __init__(self, known: dict[str, Any], beside: dict[str, Any]) -> None:
        super().__init__(known)
        self.beside = beside

    def __missing__(self, key: str) -> Any:
        value = self.beside[key]
        if callable(value):
            value = self.beside[key] = value()
        return value

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self or key in self.beside else default

    def __reduce__(self) -> tuple[Any, ...]:
        return Results, (dict(self), {key: self[key] for key in self.beside})


class Potential(Calculator):
    """Energy, forces and stress of the committee's mean, and its disagreement.

    `results["energy_disagreement"]` (eV) and `results["force_disagreement"]` (eV/Angstrom for each atom)
    are the sample standard deviation over the members, `results["member_energies"]` (members) and
    `results["member_forces"]` (members, atoms, 3) what each of them says. They can be read, but are not
    among the keys of `results`, since ASE's own functions refuse what they do not know. Can be copied and
    pickled.

    `results["extrapolation"]` says of each atom how far its surroundings are from the training's
    (`potential.known_environments`: known up to about 1, unknown above 1.5), `results["expected_error"]`
    (eV/Angstrom for each atom) the force error to expect, from the disagreement and that distance. They are
    there for potentials that came with what it takes: a campaign's have both.

        atoms.calc = Potential.load("campaigns/ethanol/potential")
        atoms.get_forces()
        atoms.calc.results["force_disagreement"].max()
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's)

    def __init__(
        self,
        model: NequIP,
        *,
        device: str = "cpu",
        skin: float = 0.5,
        card: dict[str, Any] | None = None,
        environments: KnownEnvironments | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self._setting: dict[str, Any] = {"model": model, "device": device, "skin": skin}
        self.evaluator = Evaluator(model, skin=skin, device=device)
        self.card = card or {}
        self.environments, self.calibration = environments, calibration

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu", skin: float = 0.5) -> Potential:
        """Read a potential's folder."""
        folder = Path(folder)
        return cls(
            load_potential(folder, device=device),
            device=device,
            skin=skin,
            card=load_card(folder),
            environments=KnownEnvironments.load(folder),
            calibration=Calibration.load(folder),
        )

    @property
    def members(self) -> int:
        """How many models the committee has."""
        return self.evaluator.model.members

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
        _refuse_lost_atoms(atoms)
        structures = _structures(atoms)
        periodic = bool(atoms.pbc.any() and atoms.cell.rank == 3)
        prediction = self.evaluator(structures, stress=periodic)
        energy = float(prediction.mean_energy[0])
        beside = {
            "energy_disagreement": float(prediction.energy_disagreement[0]),
            "force_disagreement": prediction.force_disagreement.numpy(),
            "member_energies": prediction.energy[:, 0].double().numpy(),
            "member_forces": prediction.forces.double().numpy(),
            **self._outside(atoms, prediction),
        }
        forces = prediction.mean_forces.numpy()
        self.results = Results({"energy": energy, "free_energy": energy, "forces": forces}, beside)
        if prediction.mean_stress is not None:
            stress = np.asarray(prediction.mean_stress[0].double())
            self.results["stress"] = voigt_stress(stress)

    def _outside(self, atoms: Atoms, prediction: CommitteePrediction) -> dict[str, Any]:
        """What the training's surroundings and the calibration say, to be computed when it is read."""
        known, calibration = self.environments, self.calibration
        frame = Frame.of(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        found: dict[str, Any] = {}
        if known is not None:
            found["extrapolation"] = cache(partial(known.extrapolation, frame))
        if calibration is not None:
            disagreement = prediction.force_disagreement.double().numpy()

            def expected() -> Any:
                error = calibration.expected_error(disagreement, frame.symbols)
                return error if known is None else error * growth(found["extrapolation"]())

            found["expected_error"] = expected
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without the evaluator, whose compiled kernels live in this process alone."""
        return {name: value for name, value in vars(self).items() if name != "evaluator"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.evaluator = Evaluator(**self._setting)


def _refuse_lost_atoms(atoms: Atoms) -> None:
    lost = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(lost):
        raise ValueError(
            f"atom {lost[0]} of {atoms.get_chemical_formula()} is at {atoms.positions[lost[0]].tolist()}: "
            "the positions are not finite; the dynamics or optimisation has blown up, take a smaller step"
        )
    if not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"the cell is not finite: {atoms.cell.array.tolist()}; take a smaller step")
    missing = (atoms.pbc & ~atoms.cell.any(1)).any()
    if atoms.pbc.any() and (missing or abs(np.linalg.det(atoms.cell.complete())) < SMALLEST_CELL_A3):
        raise ValueError(
            f"the cell {atoms.cell.array.tolist()} has no volume, and pbc is {atoms.pbc.tolist()}; give it "
            "vectors that are not in one plane, or set pbc to False"
        )


def _structures(atoms: Atoms) -> Structures:
    """One structure at full precision (a `Frame` would round the positions to its grid)."""
    return Structures(
        numbers=torch.tensor(atoms.numbers, dtype=torch.int64),
        positions=torch.tensor(atoms.positions, dtype=torch.float64),
        structure=torch.zeros(len(atoms), dtype=torch.int64),
        cell=torch.tensor(atoms.cell.array, dtype=torch.float64).unsqueeze(0),
        pbc=torch.tensor(atoms.pbc).unsqueeze(0),
    )
