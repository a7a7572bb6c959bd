"""Force errors of each element on a frozen test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flows.views.error_bars import frame_errors, mae_interval
from flows.views.summary import plus_minus, three_digits


def element_table(atoms: pd.DataFrame) -> list[dict[str, str]]:
    """One row per element of a table of test atoms, the most frequent first; errors in meV/Å.

    The MAE of components with half of its 95 % interval over the frames, the RMSE, the largest error of an
    atom.
    """
    errors = atoms[["fx", "fy", "fz"]].to_numpy(float) - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy(float)
    table = atoms.assign(squared=(errors**2).mean(1))
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
    found = mae_interval(frame_errors(atoms))
    return plus_minus(*(1000 * number for number in (found.value, found.low, found.high)))
