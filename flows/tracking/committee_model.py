"""A committee as an MLflow model from code: MLflow keeps this file with the potential, and no pickle.

MLflow runs it to load the model, so it is short, and everything that computes is in the installed alnico.
From the types of `predict` MLflow makes the model's signature; `mlflow models serve` takes the same as JSON.
"""

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel


class Structure(BaseModel):
    """Atomic numbers, positions in Å; for a crystal the cell, its vectors as rows, in Å."""

    numbers: list[int]
    positions: list[list[float]]
    cell: list[list[float]] | None = None


class Prediction(BaseModel):
    """The committee's mean: energy in eV, forces in eV/Å; and how far its members disagree on them, eV/Å."""

    energy: float
    forces: list[list[float]]
    force_disagreement: list[float]


class Committee(PythonModel):
    """The committee in a potential's folder."""

    def load_context(self, context: PythonModelContext) -> None:
        from potential.calculator import Potential

        self.calculator = Potential.load(context.artifacts["potential"])

    def predict(
        self, context: Any, model_input: list[Structure], params: dict[str, Any] | None = None
    ) -> list[Prediction]:
        """What the committee says of each structure."""
        from ase import Atoms

        found = []
        for given in model_input:
            atoms = Atoms(given.numbers, given.positions, cell=given.cell, pbc=given.cell is not None)
            atoms.calc = self.calculator
            forces = atoms.get_forces().tolist()
            disagreement = self.calculator.results["force_disagreement"].tolist()
            energy = float(atoms.get_potential_energy())
            found.append(Prediction(energy=energy, forces=forces, force_disagreement=disagreement))
        return found


set_model(Committee())
