"""The bootstrap over frames, against formulas."""

import numpy as np
import pandas as pd
import pytest

from flows.views.error_bars import frame_errors, mae_difference, mae_interval


def frames(force_mae: np.ndarray, n_atoms: int | np.ndarray = 9) -> pd.DataFrame:
    ids = [f"{i:016x}" for i in range(len(force_mae))]
    return pd.DataFrame({"frame_id": ids, "n_atoms": n_atoms, "force_mae": force_mae})


def test_the_interval_is_that_of_a_mean() -> None:
    """For many frames of one size the bootstrap gives mean ± 1.96 s / sqrt(n)."""
    values = np.random.default_rng(1).gamma(4.0, 0.01, size=400)
    found = mae_interval(frames(values))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.12 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.12 * half)


def test_frames_count_by_their_atoms() -> None:
    assert mae_interval(frames(np.array([0.1, 0.4]), np.array([9, 3]))).value == pytest.approx(0.175)
    assert mae_difference(frames(np.array([0.1, 0.4]), 3), frames(np.array([0.3, 0.5]), 3)).value == (
        pytest.approx(-0.15)
    )


def test_errors_of_frames_are_those_of_their_components() -> None:
    atoms = pd.DataFrame({"frame_id": ["b", "a", "b"]})
    for i, axis in enumerate("xyz"):
        atoms[f"f{axis}_ref"] = [0.0, 1.0, 2.0]
        atoms[f"f{axis}"] = [0.1 * i, 1.0, 2.0 - 0.1 * i]
    found = frame_errors(atoms)
    assert found["frame_id"].tolist() == ["a", "b"]
    assert found["n_atoms"].tolist() == [1, 2]
    assert found["force_mae"].tolist() == pytest.approx([0.0, 0.1])
