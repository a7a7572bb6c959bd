"""Errors of a force model on labelled frames, and how well its disagreement tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from potential.data.dataset import Dataset, LabelledFrame
from potential.force_model import ForceModel
from potential.nequip.batch import CommitteePrediction, Structures


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Errors of the committee's mean: eV/atom for energies, eV/Angstrom for force components.

    Attributes:
        atoms: one row an atom; `force_error` is the norm of the error vector, `force_disagreement`
            as in `CommitteePrediction`.
        frames: one row a frame.
        spearman: rank correlation of disagreement and true force error over all atoms; None where it
            is not defined (a single member).
    """

    n_frames: int
    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float
    spearman: float | None
    atoms: pd.DataFrame
    frames: pd.DataFrame


def evaluate(force_model: ForceModel, dataset: Dataset, *, batch_size: int = 32) -> Evaluation:
    """Compare `force_model` with the labels of `dataset`.

    Raises:
        ValueError: for an empty dataset.
    """
    if len(dataset) == 0:
        raise ValueError("cannot evaluate on no frames; give a labelled set")
    atoms, frames = [], []
    for start in range(0, len(dataset), batch_size):
        chunk = dataset.items[start : start + batch_size]
        structures = Structures.of([item.frame for item in chunk])
        prediction = force_model(structures)
        a, f = _tables(chunk, structures, prediction)
        atoms.append(a)
        frames.append(f)
    atom_table = pd.concat(atoms, ignore_index=True)
    frame_table = pd.concat(frames, ignore_index=True)
    components = (
        atom_table[["fx", "fy", "fz"]].to_numpy() - atom_table[["fx_ref", "fy_ref", "fz_ref"]].to_numpy()
    )
    per_atom = ((frame_table["energy"] - frame_table["energy_ref"]) / frame_table["n_atoms"]).to_numpy()
    return Evaluation(
        n_frames=len(dataset),
        energy_mae=float(np.abs(per_atom).mean()),
        energy_rmse=float(np.sqrt((per_atom**2).mean())),
        force_mae=float(np.abs(components).mean()),
        force_rmse=float(np.sqrt((components**2).mean())),
        spearman=_rank_correlation(atom_table),
        atoms=atom_table,
        frames=frame_table,
    )


def _tables(
    chunk: Sequence[LabelledFrame], structures: Structures, prediction: CommitteePrediction
) -> tuple[pd.DataFrame, pd.DataFrame]:
    forces = prediction.mean_forces.cpu().numpy()
    reference = np.concatenate([item.label.forces for item in chunk])
    disagreement = prediction.force_disagreement.cpu().numpy()
    owner = structures.structure.cpu().numpy()
    atoms = pd.DataFrame(
        {
            "frame_id": np.array([item.frame.id for item in chunk], dtype=object)[owner],
            "atom": np.concatenate([np.arange(len(item.frame)) for item in chunk]),
            "symbol": np.concatenate([item.frame.symbols for item in chunk]),
            **dict(zip(["fx_ref", "fy_ref", "fz_ref"], reference.T, strict=True)),
            **dict(zip(["fx", "fy", "fz"], forces.T, strict=True)),
            "force_error": np.linalg.norm(forces - reference, axis=1),
            "force_disagreement": disagreement,
        }
    )
    absolute = np.abs(forces - reference).mean(1)
    frames = pd.DataFrame(
        {
            "frame_id": [item.frame.id for item in chunk],
            "n_atoms": [len(item.frame) for item in chunk],
            "energy_ref": [item.label.energy for item in chunk],
            "energy": prediction.mean_energy.cpu().numpy(),
            "energy_disagreement": prediction.energy_disagreement.cpu().numpy(),
            "force_mae": pd.Series(absolute).groupby(owner).mean().to_numpy(),
            "max_force_disagreement": pd.Series(disagreement).groupby(owner).max().to_numpy(),
        }
    )
    return atoms, frames


def _rank_correlation(atoms: pd.DataFrame) -> float | None:
    disagreement, error = atoms["force_disagreement"], atoms["force_error"]
    if disagreement.nunique() < 2 or error.nunique() < 2 or not np.isfinite(disagreement).all():
        return None
    return float(spearmanr(disagreement, error).statistic)
