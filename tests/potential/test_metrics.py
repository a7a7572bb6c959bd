"""The metrics against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from potential.evaluation import Evaluation
from potential.metrics import METRICS, energy_mae_without_offset, worst_force_error


def evaluation(force_errors: list[float], energy_errors: list[float]) -> Evaluation:
    n_atoms = np.array([2, 4, 2][: len(energy_errors)])
    frames = pd.DataFrame(
        {"energy_ref": -10.0, "energy": -10.0 + np.array(energy_errors), "n_atoms": n_atoms}
    )
    return Evaluation(
        n_frames=len(frames),
        energy_mae=0.0,
        energy_rmse=0.0,
        force_mae=0.0,
        force_rmse=0.0,
        spearman=None,
        atoms=pd.DataFrame({"force_error": force_errors}),
        frames=frames,
    )


def test_an_offset_of_all_energies_is_no_error():
    """Errors per atom 0.1, 0.1, 0.4 have the mean 0.2; what is left is 0.1, 0.1, 0.2."""
    found = energy_mae_without_offset(evaluation([0.0], [0.2, 0.4, 0.8]))
    assert found == pytest.approx(0.4 / 3)
    assert energy_mae_without_offset(evaluation([0.0], [0.2, 0.4, 0.2])) == pytest.approx(0, abs=1e-12)


def test_the_tail_is_a_hundredth_of_the_atoms_and_at_least_one():
    assert worst_force_error(evaluation([0.1, 0.5, 0.2], [0.0])) == 0.5
    errors = np.linspace(0.001, 0.2, 200).tolist()
    assert worst_force_error(evaluation(errors, [0.0])) == pytest.approx((0.2 + 0.199) / 2)


def test_names_are_keys():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.name.isidentifier() for metric in METRICS)
