"""What every scheme of dynamics must do: a new one joins the union and is tested here."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from exploration.dynamics.npt import NPT
from exploration.dynamics.scheme import Ensemble, Scheme
from exploration.dynamics.state import MDState
from potential.data.frame import Frame
from potential.data.structure_files import molecule
from potential.nequip.batch import CommitteePrediction, Structures
from tests.support.force_models import OfEnergy, cosines

SCHEMES = get_args(get_args(Ensemble)[0])
LIVELY = {NPT: NPT(barostat_time_fs=50, compressibility_per_GPa=0.06)}  # a volume that is seen to move
DT = 2.0


@pytest.fixture(params=SCHEMES, ids=lambda kind: kind.__name__)
def scheme(request) -> Scheme:
    return LIVELY.get(request.param, request.param())


def crystal(n: int) -> Frame:
    """n argon atoms at random valleys of the cosines, in a slanted cell of their volume."""
    rng = np.random.default_rng(n)
    cell = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.2], [0.1, 0.0, 1.0]])
    cell *= (27.0 * n / np.linalg.det(cell)) ** (1 / 3)
    sites = np.array(np.meshgrid(*[[0.0, 0.5]] * 3)).reshape(3, -1).T
    return Frame.of([18] * n, rng.permutation(sites)[:n] @ cell, cell, True)


class EachOfItsSize:
    """Cosines of structures of different sizes, one after the other; some may be broken."""

    def __init__(self, *, broken: int | None = None, from_call: int = 0, value: float = math.nan) -> None:
        self.model, self.broken, self.from_call, self.value = OfEnergy(cosines), broken, from_call, value
        self.calls = 0

    def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
        self.calls += 1
        parts = []
        for i in range(structures.n_structures):
            mine = structures.structure == i
            one = Structures(
                numbers=structures.numbers[mine],
                positions=structures.positions[mine],
                structure=torch.zeros_like(structures.structure[mine]),
                cell=structures.cell[[i]],
                pbc=structures.pbc[[i]],
            )
            parts.append(self.model(one, stress=stress))
            if i == self.broken and self.calls > self.from_call:
                parts[-1].forces[:] = self.value
                if stress:
                    parts[-1].stress[:] = self.value
        return CommitteePrediction(
            energy=torch.cat([p.energy for p in parts], dim=1),
            forces=torch.cat([p.forces for p in parts], dim=1),
            stress=torch.cat([p.stress for p in parts], dim=1) if stress else None,
        )


FRAMES, TEMPERATURES = [crystal(2), crystal(5), crystal(3)], [100.0, 200.0, 300.0]
ATOMS = [slice(0, 2), slice(2, 7), slice(7, 10)]


def begin(scheme: Scheme, model, *, seed: int = 1) -> MDState:
    return scheme.init(model, FRAMES, TEMPERATURES, seed=seed)


def run(scheme: Scheme, model, state: MDState, n: int) -> MDState:
    for _ in range(n):
        state = scheme.step(model, state, timestep_fs=DT)
    return state


def same(state: MDState, i: int, other: MDState, j: int) -> bool:
    """Whether replica i of one state is, to the last bit, replica j of the other."""
    a, b = ((s, s.structures.structure == k) for s, k in ((state, i), (other, j)))
    return (
        torch.equal(a[0].structures.positions[a[1]], b[0].structures.positions[b[1]])
        and torch.equal(a[0].velocities[a[1]], b[0].velocities[b[1]])
        and torch.equal(state.structures.cell[i], other.structures.cell[j])
        and torch.equal(state.prediction.energy[:, i], other.prediction.energy[:, j])
        and int(state.replica[i]) == int(other.replica[j])
    )


def test_the_configuration_is_read_as_it_is_written(scheme):
    reader = TypeAdapter(Ensemble)
    assert reader.validate_json(scheme.model_dump_json()) == scheme
    assert reader.validate_python({"scheme": scheme.scheme}) == type(scheme)()


def test_a_step_is_one_call_and_everything_stays_finite(scheme):
    model = EachOfItsSize()
    state = run(scheme, model, begin(scheme, model), 100)
    assert model.calls == 101
    for values in (
        state.structures.positions,
        state.structures.cell,
        state.velocities,
        state.prediction.energy,
    ):
        assert values.isfinite().all()
    assert (state.volume > 0).all()
    assert (scheme.stride(state, timestep_fs=DT) < 0.5).all()


def test_the_prediction_is_that_of_where_the_replicas_are(scheme):
    """Forces, energy and, where the cell moves, stress and recorded cell belong together."""
    model = EachOfItsSize()
    state = run(scheme, model, begin(scheme, model), 5)
    again = model(state.structures, stress=True)
    assert torch.equal(state.prediction.forces, again.forces)
    assert torch.equal(state.prediction.energy, again.energy)
    if state.prediction.stress is None:
        assert torch.equal(state.structures.cell, Structures.of(FRAMES).cell)
    else:
        assert torch.equal(state.prediction.stress, again.stress)
        assert not torch.equal(state.structures.cell, Structures.of(FRAMES).cell)


def test_the_seed_decides_and_nothing_global_is_touched(scheme):
    model, before = EachOfItsSize(), torch.random.get_rng_state()
    one, two, other = (run(scheme, model, begin(scheme, model, seed=s), 30) for s in (1, 1, 2))
    assert all(same(one, i, two, i) for i in range(3))
    assert not torch.allclose(one.structures.positions, other.structures.positions)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_replica_does_not_feel_the_others_leave(scheme):
    model = EachOfItsSize()
    together = run(scheme, model, begin(scheme, model), 45)
    state = run(scheme, model, begin(scheme, model), 15).keep(torch.tensor([False, True, True]))
    state = run(scheme, model, state, 15).keep(torch.tensor([False, True]))
    state = run(scheme, model, state, 15)
    assert state.n_replicas == 1
    assert same(state, 0, together, 2)


def test_a_replica_does_not_feel_who_is_beside_it(scheme):
    model = EachOfItsSize()
    together = run(scheme, model, begin(scheme, model), 30)
    alone = run(scheme, model, scheme.init(model, FRAMES[:1], TEMPERATURES[:1], seed=1), 30)
    hot = scheme.init(model, FRAMES, [100.0, 900.0, 900.0], seed=1)
    assert same(alone, 0, together, 0)
    assert same(run(scheme, model, hot, 30), 0, together, 0)


def test_a_state_taken_up_again_goes_on_as_if_it_had_not_stopped(scheme):
    model = EachOfItsSize()
    through = run(scheme, model, begin(scheme, model), 30)
    stopped = run(scheme, model, begin(scheme, model), 10)
    taken_up = replace(stopped, generators=tuple(map(_copy, stopped.generators)))
    end = run(scheme, model, taken_up, 20)
    assert all(same(end, i, through, i) for i in range(3))


def _copy(generator: torch.Generator) -> torch.Generator:
    fresh = torch.Generator()
    fresh.set_state(generator.get_state())
    return fresh


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e30])
def test_a_broken_replica_is_seen_before_it_moves_and_does_not_poison_the_others(scheme, value):
    sound = EachOfItsSize()
    healthy = run(scheme, sound, begin(scheme, sound), 12)
    model = EachOfItsSize(broken=1, from_call=8, value=value)
    state = run(scheme, model, begin(scheme, model), 8)
    ready = scheme.stride(state, timestep_fs=DT) <= 0.5
    assert ready.tolist() == [True, False, True]
    state = run(scheme, EachOfItsSize(), state, 4)  # whoever goes on all the same harms itself alone
    assert same(state, 0, healthy, 0)
    assert same(state, 2, healthy, 2)


def test_a_frame_that_is_refused_never_moves(scheme):
    """Whatever `check` says of a frame, `init` says too."""
    slab = Frame.of([18], [[0, 0, 0]], np.diag([3.0, 3.0, 20.0]), (True, True, False))
    for frame in (molecule("H2O"), slab, crystal(2)):
        refusal = _refusal(lambda frame=frame: scheme.check(frame))
        begun = _refusal(lambda frame=frame: scheme.init(still, [frame], [300.0], seed=0))
        assert refusal == begun
        assert not refusal or (f"scheme {scheme.scheme}" in refusal and "write scheme: " in refusal)
    assert _refusal(lambda: scheme.check(crystal(2))) == ""
    with pytest.raises(ValueError, match="2 frames need as many temperatures, got 1"):
        scheme.init(still, [crystal(2)] * 2, [300.0], seed=0)


def still(structures: Structures, *, stress: bool = False) -> CommitteePrediction:
    n = structures.n_structures
    return CommitteePrediction(
        energy=torch.zeros(1, n),
        forces=torch.zeros(1, len(structures.numbers), 3),
        stress=torch.zeros(1, n, 3, 3) if stress else None,
    )


def _refusal(call) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""
