"""Constant pressure against what statistical mechanics says of the volume."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from exploration.dynamics.npt import NPT
from potential.data.frame import Frame
from potential.data.units import BOLTZMANN_EV_PER_K, GPA_EV_PER_ANGSTROM3
from tests.support.force_models import (
    BULK_MODULUS,
    VOLUME_PER_ATOM,
    HarmonicCrystal,
    OfEnergy,
    cosines,
    ideal_gas,
)

KT = BOLTZMANN_EV_PER_K * 300
LENGTHS = [
    pytest.param((32, 5.0, 600), id="short"),
    pytest.param((64, 2.0, 4000), marks=pytest.mark.slow, id="long"),
]


def volumes(scheme: NPT, energy, frame: Frame, length: tuple[int, float, int]) -> tuple[Tensor, Tensor]:
    """Volume and temperature at each step of each replica, after a tenth of the run."""
    replicas, dt, steps = length
    model = OfEnergy(energy)
    state = scheme.init(model, [frame] * replicas, [300.0] * replicas, seed=1)
    seen = []
    for i in range(steps + steps // 10):
        state = scheme.step(model, state, timestep_fs=dt)
        if i >= steps // 10:
            seen.append((state.volume, state.kinetic_temperature))
    volume, temperature = zip(*seen, strict=True)
    return torch.stack(volume), torch.stack(temperature)


def assert_moments(volume: Tensor, mean: float, variance: float, *, precision: tuple[float, float]) -> None:
    """Mean and variance within four standard errors, which the replicas tell and `precision` bounds."""
    for name, samples, expected, bound in (
        ("mean", volume, mean, precision[0]),
        ("variance", (volume - mean).square(), variance, precision[1]),
    ):
        replicas = samples.mean(0)
        error = float(replicas.std() / math.sqrt(len(replicas)))
        assert error < bound * expected, f"{name}: the run is too short to tell"
        assert float(replicas.mean()) == pytest.approx(expected, abs=4 * error), name


@pytest.mark.physics
@pytest.mark.parametrize("length", LENGTHS)
def test_an_ideal_gas_has_the_volume_and_the_fluctuations_of_the_gamma_distribution(length):
    """p(V) ~ V^N exp(-PV/kT): <V> = (N+1) kT/P, var V = (N+1) (kT/P)^2, at a hundredth of a GPa."""
    n, kT_by_P = 8, KT / (1e-2 * GPA_EV_PER_ANGSTROM3)
    side = ((n + 1) * kT_by_P) ** (1 / 3)
    frame = Frame.of([18] * n, np.random.default_rng(0).random((n, 3)) * side, np.eye(3) * side, True)
    scheme = NPT(  # 1/P is the gas's compressibility
        pressure_GPa=1e-2, friction_per_fs=0.02, barostat_time_fs=100, compressibility_per_GPa=100
    )
    volume, temperature = volumes(scheme, ideal_gas, frame, length)
    assert_moments(volume, (n + 1) * kT_by_P, (n + 1) * kT_by_P**2, precision=(0.02, 0.1))
    assert float(temperature.mean()) == pytest.approx(300, rel=0.03)


@pytest.mark.physics
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("pressure_GPa", [pytest.param(-1.0, marks=pytest.mark.slow), 2.0])
def test_a_harmonic_crystal_has_the_volume_and_the_fluctuations_of_its_elasticity(length, pressure_GPa):
    """p(V) ~ V exp(-(PV + B/2 (V-V0)^2/V0)/kT), by quadrature; about V0 (1 - P/B) and kT V0/B."""
    crystal = HarmonicCrystal(2)
    v0, pressure = 8 * VOLUME_PER_ATOM, pressure_GPa * GPA_EV_PER_ANGSTROM3
    v = np.linspace(0.3 * v0, 1.8 * v0, 20_001)
    weight = v * np.exp(-(pressure * v + BULK_MODULUS * (v - v0) ** 2 / (2 * v0)) / KT)
    mean = float(np.average(v, weights=weight))
    variance = float(np.average((v - mean) ** 2, weights=weight))
    assert mean == pytest.approx(v0 * (1 - pressure / BULK_MODULUS), rel=0.01)
    assert variance == pytest.approx(KT * v0 / BULK_MODULUS, rel=0.01)

    side = v0 ** (1 / 3)
    frame = Frame.of([18] * 8, crystal.sites.numpy() * side, np.eye(3) * side, True)
    scheme = NPT(
        pressure_GPa=pressure_GPa,
        barostat_time_fs=100,
        compressibility_per_GPa=GPA_EV_PER_ANGSTROM3 / BULK_MODULUS,
    )
    volume, temperature = volumes(scheme, crystal, frame, length)
    assert_moments(volume, mean, variance, precision=(0.004, 0.1))
    assert float(temperature.mean()) == pytest.approx(300, rel=0.03)


def test_the_cell_keeps_its_shape_and_the_atoms_their_places_in_it():
    """At absolute zero but for one kelvin: the pressure alone moves the cell, and the sites follow."""
    cell = np.array([[3.0, 0.4, 0.0], [0.0, 3.2, 0.1], [0.2, 0.0, 2.8]])
    frame = Frame.of([18, 18], [[0, 0, 0], [0.5, 0.5, 0.5] @ cell], cell, True)
    scheme = NPT(pressure_GPa=1.0, barostat_time_fs=50, compressibility_per_GPa=0.06)
    model = OfEnergy(cosines)
    state = scheme.init(model, [frame], [1e-6], seed=0)
    for _ in range(300):
        state = scheme.step(model, state, timestep_fs=2.0)
    after = state.structures.cell[0].numpy()
    np.testing.assert_allclose(after / after[0, 0], cell / cell[0, 0], atol=1e-12)
    expected = 2 * VOLUME_PER_ATOM * (1 - GPA_EV_PER_ANGSTROM3 / BULK_MODULUS)
    assert float(state.volume) == pytest.approx(expected, rel=1e-3)
    fractional = np.linalg.solve(after.T, state.structures.positions.numpy().T).T
    np.testing.assert_allclose(fractional[1] - fractional[0], 0.5, atol=1e-3)


def test_a_cell_about_to_leap_shows_in_the_stride():
    frame = Frame.of([18], [[0, 0, 0]], np.eye(3) * 3.0, True)
    model = OfEnergy(cosines)
    for pressure, far in ((0.0, False), (10_000.0, True)):
        scheme = NPT(pressure_GPa=pressure, compressibility_per_GPa=1.0)
        state = scheme.init(model, [frame], [10.0], seed=0)
        assert bool(scheme.stride(state, timestep_fs=1.0) > 0.5) == far


def test_what_has_no_volume_is_refused_with_what_to_write_instead():
    slab = Frame.of([6], [[0, 0, 0]], np.diag([3.0, 3.0, 20.0]), (True, True, False))
    message = r"scheme npt .* C is not periodic .*\[True, True, False\].*write scheme: langevin, or give"
    with pytest.raises(ValueError, match=message):
        NPT().check(slab)
    for wrong in (
        {"barostat_time_fs": 1.0},
        {"compressibility_per_GPa": 0.0},
        {"pressure_GPa": math.nan},
        {"pressure": 1},
    ):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            NPT(**wrong)


def test_one_gigapascal_is_a_nanonewton_per_square_nanometre():
    ase_units = pytest.importorskip("ase.units")
    assert pytest.approx(ase_units.GPa, rel=1e-7) == GPA_EV_PER_ANGSTROM3
