"""How certain a force error is, and whether one committee's is smaller than another's.

    MAE = sum_f n_f e_f / sum_f n_f

    symbol   here                 unit
    e_f      force_mae            eV/Å; mean over the force components of frame f
    n_f      n_atoms

Intervals are those of `potential.bootstrap`, in eV/Å. Frames and not atoms are drawn, for the atoms of a
frame err together. Two committees are compared on the same draws: what makes a frame hard for both cancels
in the difference.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from potential.bootstrap import Estimate, bootstrapped


def frame_errors(atoms: pd.DataFrame) -> pd.DataFrame:
    """One row a frame of a table of test atoms: `frame_id`, `n_atoms`, `force_mae` (eV/Å)."""
    error = np.abs(atoms[["fx", "fy", "fz"]].to_numpy() - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy())
    by_frame = pd.Series(error.mean(axis=1)).groupby(atoms["frame_id"].to_numpy(), sort=True)
    return pd.DataFrame({"n_atoms": by_frame.size(), "force_mae": by_frame.mean()}).reset_index(
        names="frame_id"
    )


def mae_interval(errors: pd.DataFrame) -> Estimate:
    """The force MAE over the frames of `frame_errors`."""
    return _interval(errors["n_atoms"].to_numpy(), errors["force_mae"].to_numpy())


def mae_difference(one: pd.DataFrame, other: pd.DataFrame) -> Estimate | None:
    """Force MAE of `one` less that of `other`; None where they were not measured on the same frames."""
    both = one.merge(other, on="frame_id", suffixes=("", "_other"), validate="one_to_one")
    if not len(both) == len(one) == len(other):
        return None
    return _interval(both["n_atoms"].to_numpy(), (both["force_mae"] - both["force_mae_other"]).to_numpy())


def _interval(weights: np.ndarray, values: np.ndarray) -> Estimate:
    sums = weights * values
    return bootstrapped(len(values), lambda rows: sums[rows].sum(-1) / weights[rows].sum(-1))
