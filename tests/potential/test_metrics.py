"""The metrics against numbers worked out by hand, their intervals against formulas."""

import numpy as np
import pandas as pd
import pytest

from potential.evaluation import Evaluation
from potential.metrics import BASIC, METRICS, Metric, intervals

ALL = {metric.name: metric for metric in (*BASIC, *METRICS)}


def evaluation(force_errors: list[list[float]], energy_errors: list[float]) -> Evaluation:
    """Frames with one force error an atom, all of it in x, and of as many atoms."""
    n_atoms = np.array([len(errors) for errors in force_errors])
    error = np.concatenate(force_errors)
    frames = pd.DataFrame(
        {"energy_ref": -10.0, "energy": -10.0 + np.array(energy_errors), "n_atoms": n_atoms}
    )
    atoms = pd.DataFrame({"fx": error, "force_error": error, "force_disagreement": error**2})
    atoms[["fy", "fz", "fx_ref", "fy_ref", "fz_ref"]] = 0.0
    nothing = dict.fromkeys(("energy_mae", "energy_rmse", "force_mae", "force_rmse"), 0.0)
    return Evaluation(n_frames=len(frames), **nothing, spearman=None, atoms=atoms, frames=frames)


def test_an_offset_of_all_energies_is_no_error():
    """Errors per atom 0.1, 0.1, 0.4 have the mean 0.2; what is left is 0.1, 0.1, 0.2."""
    metric, forces = ALL["energy_mae_without_offset"], [[0.0] * 2, [0.0] * 4, [0.0] * 2]
    assert metric.of(evaluation(forces, [0.2, 0.4, 0.8])) == pytest.approx(0.4 / 3)
    assert metric.of(evaluation(forces, [0.2, 0.4, 0.2])) == pytest.approx(0, abs=1e-12)


def test_the_tail_is_a_hundredth_of_the_atoms_and_at_least_one():
    metric = ALL["worst_force_error"]
    assert metric.of(evaluation([[0.1, 0.5, 0.2]], [0.0])) == 0.5
    errors = np.linspace(0.001, 0.2, 200).reshape(20, 10).tolist()
    assert metric.of(evaluation(errors, [0.0] * 20)) == pytest.approx((0.2 + 0.199) / 2)


def test_a_frame_drawn_twice_counts_twice():
    """Of frames 0, 0, 1 out of three, as if these were the test set."""
    errors, energies = [[0.1, 0.2], [0.4], [0.9]], [0.1, 0.2, 0.7]
    drawn = evaluation([errors[i] for i in (0, 0, 1)], [energies[i] for i in (0, 0, 1)])
    for metric in (*BASIC, *METRICS):
        if metric.name != "spearman":  # whose ranks are those of the whole set
            found = metric.over(evaluation(errors, energies))(np.array([[0, 0, 1]]))[0]
            assert found == pytest.approx(metric.of(drawn)), metric.name


def test_every_interval_holds_its_number_and_that_of_a_mean_is_the_formulas():
    errors = np.random.default_rng(1).gamma(4.0, 0.01, size=(400, 3))
    scored = evaluation(errors.tolist(), np.random.default_rng(2).normal(size=400).tolist())
    found = intervals(scored)
    assert set(found) == set(ALL)
    for name, (low, high) in found.items():
        assert low <= ALL[name].of(scored) <= high, name
    mean, half = errors.mean() / 3, 1.96 * errors.mean(1).std() / 3 / np.sqrt(400)
    assert found["force_mae"] == pytest.approx((mean - half, mean + half), abs=0.12 * half)


def test_what_is_not_defined_has_no_number_and_no_interval():
    alike = evaluation([[0.1, 0.1], [0.1, 0.1]], [0.0, 0.0])
    assert ALL["spearman"].of(alike) is None
    assert "spearman" not in intervals(alike)
    assert intervals(evaluation([[0.1, 0.2]], [0.1])) == {}  # a single frame says nothing of the spread


def test_names_are_keys():
    metrics: tuple[Metric, ...] = (*BASIC, *METRICS)
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert all(metric.name.isidentifier() for metric in metrics)
