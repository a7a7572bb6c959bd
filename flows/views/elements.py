"""Force errors of each element on a frozen test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flows.views.summary import decimals_of, three_digits
from potential.bootstrap import bootstrapped


def element_table(atoms: pd.DataFrame) -> list[dict[str, str]]:
    """One row per element of a table of test atoms, the most frequent first; errors in meV/Å.

    The MAE of components with half of its 95 % interval over the frames, the RMSE, the largest error of an
    atom.
    """
    errors = atoms[["fx", "fy", "fz"]].to_numpy(float) - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy(float)
    table = atoms.assign(absolute=np.abs(errors).mean(1), squared=(errors**2).mean(1))
    return [
        {
            "element": str(symbol),
            "atoms": str(len(mine)),
            "MAE (meV/Å)": _mae(mine),
            "RMSE (meV/Å)": three_digits(1000 * float(np.sqrt(mine["squared"].mean()))),
            "largest error of an atom (meV/Å)": three_digits(1000 * float(mine["force_error"].max())),
        }
        for symbol, mine in sorted(table.groupby("symbol"), key=lambda group: -len(group[1]))
    ]


def _mae(atoms: pd.DataFrame) -> str:
    by_frame = atoms.groupby("frame_id")["absolute"]
    sums, counts = by_frame.sum().to_numpy(), by_frame.size().to_numpy()
    found = bootstrapped(len(sums), lambda rows: sums[rows].sum(-1) / counts[rows].sum(-1))
    half = 1000 * (found.high - found.low) / 2
    if np.isnan(half):
        return three_digits(1000 * found.value)
    decimals = max(0, decimals_of(half, 2))
    return f"{1000 * found.value:.{decimals}f} ± {half:.{decimals}f}"
