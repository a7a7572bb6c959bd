import math

import numpy as np
import pytest
import torch

from exploration.dynamics import MDState, langevin_step, start_md, stride
from potential.data.frame import Frame
from potential.data.structure_files import molecule
from potential.data.units import BOLTZMANN_EV_PER_K, FORCE_TO_ACCELERATION
from tests.support.force_models import WELL_EV_PER_A2, Springs, wells


def argon(n: int) -> Frame:
    return Frame.of([18] * n, np.zeros((n, 3)))


def run(model, state: MDState, n: int, *, timestep_fs: float, friction_per_fs: float) -> MDState:
    for _ in range(n):
        state = langevin_step(model, state, timestep_fs=timestep_fs, friction_per_fs=friction_per_fs)
    return state


def total_energy(state: MDState) -> torch.Tensor:
    return state.kinetic_energy + state.prediction.mean_energy


@pytest.mark.physics
def test_nve_conserves_energy_to_second_order():
    water = molecule("H2O")
    model = Springs(water)

    def largest_error(timestep_fs: float) -> float:
        state = start_md(model, [water, water], [300.0, 600.0], seed=1)
        before, worst = total_energy(state), 0.0
        for _ in range(round(500 / timestep_fs)):
            state = langevin_step(model, state, timestep_fs=timestep_fs, friction_per_fs=0.0)
            worst = max(worst, float((total_energy(state) - before).abs().max()))
        return worst

    coarse, fine = largest_error(0.5), largest_error(0.25)
    assert coarse < 0.01  # eV, of about 0.1 eV kinetic
    assert coarse / fine == pytest.approx(4.0, rel=0.1)


@pytest.mark.physics
def test_nve_is_reversible():
    water = molecule("H2O")
    model = Springs(water)
    start = start_md(model, [water], [500.0], seed=2)
    there = run(model, start, 200, timestep_fs=0.5, friction_per_fs=0.0)
    assert not torch.allclose(there.structures.positions, start.structures.positions, atol=0.01)
    back = run(model, there, 200, timestep_fs=-0.5, friction_per_fs=0.0)
    torch.testing.assert_close(back.structures.positions, start.structures.positions, atol=1e-9, rtol=0)


@pytest.mark.physics
def test_nve_keeps_momentum_and_angular_momentum():
    water = molecule("H2O")
    model = Springs(water)

    def momenta(state: MDState) -> torch.Tensor:
        p = state.masses[:, None] * state.velocities
        return torch.stack([p.sum(0), torch.linalg.cross(state.structures.positions, p).sum(0)])

    state = start_md(model, [water], [500.0], seed=3)
    after = run(model, state, 500, timestep_fs=0.5, friction_per_fs=0.0)
    torch.testing.assert_close(momenta(after), momenta(state), atol=1e-10, rtol=0)


@pytest.mark.physics
def test_start_velocities_follow_maxwell_boltzmann():
    frame = Frame.of([1, 18] * 3000, np.zeros((6000, 3)))
    state = start_md(wells, [frame, frame], [300.0, 900.0], seed=4)
    torch.testing.assert_close(
        state.kinetic_temperature, torch.tensor([300.0, 900.0]).double(), rtol=0.03, atol=0
    )
    hydrogen = state.velocities[:6000:2].square().mean()
    expected = BOLTZMANN_EV_PER_K * 300 * FORCE_TO_ACCELERATION / state.masses[0]
    assert float(hydrogen / expected) == pytest.approx(1.0, rel=0.05)


@pytest.mark.physics
def test_each_replica_takes_the_temperature_of_its_bath():
    state = start_md(wells, [argon(60), argon(90)], [600.0, 600.0], seed=5)
    state = MDState(**{**vars(state), "temperature_K": torch.tensor([200.0, 800.0]).double()})
    state = run(wells, state, 300, timestep_fs=4.0, friction_per_fs=0.02)
    temperatures = []
    for _ in range(1500):
        state = langevin_step(wells, state, timestep_fs=4.0, friction_per_fs=0.02)
        temperatures.append(state.kinetic_temperature)
    mean = torch.stack(temperatures).mean(0)
    torch.testing.assert_close(mean, torch.tensor([200.0, 800.0]).double(), rtol=0.04, atol=0)


@pytest.mark.physics
def test_harmonic_well_is_sampled_without_a_time_step_error():
    """BAOAB gives <x^2> = kT/k for any stable step; velocity Verlet's own ensemble is off by 1/3 here."""
    omega = math.sqrt(WELL_EV_PER_A2 * FORCE_TO_ACCELERATION / 39.948)
    state = start_md(wells, [argon(100), argon(100)], [300.0, 1000.0], seed=6)
    settings = {"timestep_fs": 1.0 / omega, "friction_per_fs": 0.5 * omega}
    state = run(wells, state, 100, **settings)
    squares = []
    for _ in range(1500):
        state = langevin_step(wells, state, **settings)
        x2 = state.structures.positions.square().mean(1)
        squares.append(x2.reshape(2, 100).mean(1))
    expected = BOLTZMANN_EV_PER_K * torch.tensor([300.0, 1000.0]).double() / WELL_EV_PER_A2
    torch.testing.assert_close(torch.stack(squares).mean(0), expected, rtol=0.03, atol=0)


def test_the_seed_decides_and_nothing_global_is_touched():
    water = molecule("H2O")
    model = Springs(water)
    before = torch.random.get_rng_state()

    def end(seed: int) -> torch.Tensor:
        state = start_md(model, [water, water], [300.0, 300.0], seed=seed)
        return run(model, state, 50, timestep_fs=0.5, friction_per_fs=0.01).structures.positions

    assert torch.equal(end(7), end(7))
    assert not torch.allclose(end(7), end(8))
    assert not torch.allclose(end(7)[:3], end(7)[3:])  # replicas differ
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_replica_does_not_feel_the_others_leave():
    water = molecule("H2O")
    model = Springs(water)
    frames, temperatures = [water] * 3, [300.0, 400.0, 500.0]
    settings = {"timestep_fs": 0.5, "friction_per_fs": 0.01}
    together = run(model, start_md(model, frames, temperatures, seed=9), 60, **settings)
    state = run(model, start_md(model, frames, temperatures, seed=9), 20, **settings)
    state = state.keep(torch.tensor([False, True, True]))
    state = run(model, state, 20, **settings)
    state = state.keep(torch.tensor([False, True]))
    state = run(model, state, 20, **settings)
    assert state.replica.tolist() == [2]
    assert torch.equal(state.structures.positions, together.structures.positions[6:])
    assert torch.equal(state.velocities, together.velocities[6:])
    assert torch.equal(state.prediction.energy, together.prediction.energy[:, 2:])


def test_replicas_of_different_sizes_move_as_they_do_alone():
    sizes = [argon(2), argon(5), argon(1)]
    settings = {"timestep_fs": 2.0, "friction_per_fs": 0.01}
    mixed = run(wells, start_md(wells, sizes, [300.0] * 3, seed=10), 30, **settings)
    alone = run(wells, start_md(wells, sizes[:1], [300.0], seed=10), 30, **settings)
    torch.testing.assert_close(mixed.structures.positions[:2], alone.structures.positions)
    torch.testing.assert_close(mixed.kinetic_temperature[:1], alone.kinetic_temperature)


def test_stride_is_the_way_of_the_next_step_and_shows_what_is_not_finite():
    model = Springs(molecule("H2O"))
    state = start_md(model, [molecule("H2O")] * 2, [300.0] * 2, seed=11)
    after = langevin_step(model, state, timestep_fs=0.5, friction_per_fs=0.0)
    moved = (after.structures.positions - state.structures.positions).norm(dim=1).reshape(2, 3).amax(1)
    torch.testing.assert_close(stride(state, timestep_fs=0.5), moved)
    state.velocities[4] = math.nan
    assert stride(state, timestep_fs=0.5).isnan().tolist() == [False, True]


def test_frames_and_temperatures_must_pair_up():
    with pytest.raises(ValueError, match="2 frames need as many temperatures, got 1"):
        start_md(wells, [argon(1), argon(1)], [300.0], seed=0)
