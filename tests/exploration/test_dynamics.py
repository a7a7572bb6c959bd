import math

import numpy as np
import pytest
import torch

from exploration.dynamics.langevin import Langevin
from exploration.dynamics.nve import NVE
from exploration.dynamics.scheme import Scheme
from exploration.dynamics.state import MDState, start
from potential.data.frame import Frame
from potential.data.structure_files import molecule
from potential.data.units import BOLTZMANN_EV_PER_K, FORCE_TO_ACCELERATION
from tests.support.force_models import WELL_EV_PER_A2, Springs, wells


def argon(n: int) -> Frame:
    return Frame.of([18] * n, np.zeros((n, 3)))


def run(scheme: Scheme, model, state: MDState, n: int, *, timestep_fs: float) -> MDState:
    for _ in range(n):
        state = scheme.step(model, state, timestep_fs=timestep_fs)
    return state


def total_energy(state: MDState) -> torch.Tensor:
    return state.kinetic_energy + state.prediction.mean_energy


@pytest.mark.physics
def test_nve_conserves_energy_to_second_order():
    water = molecule("H2O")
    model = Springs(water)

    def largest_error(timestep_fs: float) -> float:
        state = start(model, [water, water], [300.0, 600.0], seed=1)
        before, worst = total_energy(state), 0.0
        for _ in range(round(500 / timestep_fs)):
            state = NVE().step(model, state, timestep_fs=timestep_fs)
            worst = max(worst, float((total_energy(state) - before).abs().max()))
        return worst

    coarse, fine = largest_error(0.5), largest_error(0.25)
    assert coarse < 0.01  # eV, of about 0.1 eV kinetic
    assert coarse / fine == pytest.approx(4.0, rel=0.1)


@pytest.mark.physics
def test_nve_is_reversible():
    water = molecule("H2O")
    model = Springs(water)
    here = start(model, [water], [500.0], seed=2)
    there = run(NVE(), model, here, 200, timestep_fs=0.5)
    assert not torch.allclose(there.structures.positions, here.structures.positions, atol=0.01)
    back = run(NVE(), model, there, 200, timestep_fs=-0.5)
    torch.testing.assert_close(back.structures.positions, here.structures.positions, atol=1e-9, rtol=0)


@pytest.mark.physics
def test_nve_keeps_momentum_and_angular_momentum():
    water = molecule("H2O")
    model = Springs(water)

    def momenta(state: MDState) -> torch.Tensor:
        p = state.masses[:, None] * state.velocities
        return torch.stack([p.sum(0), torch.linalg.cross(state.structures.positions, p).sum(0)])

    state = start(model, [water], [500.0], seed=3)
    after = run(NVE(), model, state, 500, timestep_fs=0.5)
    torch.testing.assert_close(momenta(after), momenta(state), atol=1e-10, rtol=0)


@pytest.mark.physics
def test_start_velocities_follow_maxwell_boltzmann():
    frame = Frame.of([1, 18] * 3000, np.zeros((6000, 3)))
    state = start(wells, [frame, frame], [300.0, 900.0], seed=4)
    torch.testing.assert_close(
        state.kinetic_temperature, torch.tensor([300.0, 900.0]).double(), rtol=0.03, atol=0
    )
    hydrogen = state.velocities[:6000:2].square().mean()
    expected = BOLTZMANN_EV_PER_K * 300 * FORCE_TO_ACCELERATION / state.masses[0]
    assert float(hydrogen / expected) == pytest.approx(1.0, rel=0.05)


@pytest.mark.physics
def test_each_replica_takes_the_temperature_of_its_bath():
    state = start(wells, [argon(60), argon(90)], [600.0, 600.0], seed=5)
    state = MDState(**{**vars(state), "temperature_K": torch.tensor([200.0, 800.0]).double()})
    scheme = Langevin(friction_per_fs=0.02)
    state = run(scheme, wells, state, 300, timestep_fs=4.0)
    temperatures = []
    for _ in range(1500):
        state = scheme.step(wells, state, timestep_fs=4.0)
        temperatures.append(state.kinetic_temperature)
    mean = torch.stack(temperatures).mean(0)
    torch.testing.assert_close(mean, torch.tensor([200.0, 800.0]).double(), rtol=0.04, atol=0)


@pytest.mark.physics
def test_harmonic_well_is_sampled_without_a_time_step_error():
    """BAOAB gives <x^2> = kT/k for any stable step; velocity Verlet's own ensemble is off by 1/3 here."""
    omega = math.sqrt(WELL_EV_PER_A2 * FORCE_TO_ACCELERATION / 39.948)
    state = start(wells, [argon(100), argon(100)], [300.0, 1000.0], seed=6)
    scheme, timestep_fs = Langevin(friction_per_fs=0.5 * omega), 1.0 / omega
    state = run(scheme, wells, state, 100, timestep_fs=timestep_fs)
    squares = []
    for _ in range(1500):
        state = scheme.step(wells, state, timestep_fs=timestep_fs)
        x2 = state.structures.positions.square().mean(1)
        squares.append(x2.reshape(2, 100).mean(1))
    expected = BOLTZMANN_EV_PER_K * torch.tensor([300.0, 1000.0]).double() / WELL_EV_PER_A2
    torch.testing.assert_close(torch.stack(squares).mean(0), expected, rtol=0.03, atol=0)


@pytest.mark.parametrize("friction_per_fs", [0.0, 0.01])
def test_the_steps_are_those_of_the_papers_to_the_last_bit(friction_per_fs):
    """B A O A B written out once more; velocity Verlet where nothing rubs."""
    scheme = Langevin(friction_per_fs=friction_per_fs) if friction_per_fs else NVE()
    water, dt = molecule("H2O"), 0.5
    model = Springs(water, scales=(0.9, 1.1))
    state = scheme.init(model, [water, water], [300.0, 500.0], seed=7)
    twin = start(model, [water, water], [300.0, 500.0], seed=7)
    s, m, v, generators = twin.structures, twin.masses[:, None], twin.velocities, twin.generators
    kT = BOLTZMANN_EV_PER_K * twin.temperature_K[s.structure]
    thermal = (kT * FORCE_TO_ACCELERATION / twin.masses).sqrt()[:, None]
    forces = model(s).mean_forces
    for _ in range(20):
        v = v + 0.5 * dt * FORCE_TO_ACCELERATION / m * forces
        x = s.positions + 0.5 * dt * v
        if friction_per_fs:
            c1 = math.exp(-friction_per_fs * dt)
            r = torch.cat([torch.randn(3, 3, generator=g, dtype=torch.float64) for g in generators])
            v = c1 * v + math.sqrt(1 - c1**2) * thermal * r
        s = s.at(x + 0.5 * dt * v)
        forces = model(s).mean_forces
        v = v + 0.5 * dt * FORCE_TO_ACCELERATION / m * forces
    state = run(scheme, model, state, 20, timestep_fs=dt)
    assert torch.equal(state.structures.positions, s.positions)
    assert torch.equal(state.velocities, v)


def test_stride_is_the_way_of_the_next_step_and_shows_what_is_not_finite():
    model = Springs(molecule("H2O"))
    state = start(model, [molecule("H2O")] * 2, [300.0] * 2, seed=11)
    after = NVE().step(model, state, timestep_fs=0.5)
    moved = (after.structures.positions - state.structures.positions).norm(dim=1).reshape(2, 3).amax(1)
    torch.testing.assert_close(NVE().stride(state, timestep_fs=0.5), moved)
    state.velocities[4] = math.nan
    assert NVE().stride(state, timestep_fs=0.5).isnan().tolist() == [False, True]


def test_frames_and_temperatures_must_pair_up():
    with pytest.raises(ValueError, match="2 frames need as many temperatures, got 1"):
        start(wells, [argon(1), argon(1)], [300.0], seed=0)
