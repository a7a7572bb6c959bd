"""Energies are invariant and forces equivariant, for any model, structure and motion of space."""

from __future__ import annotations

import numpy as np
import torch
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from potential.data.frame import Frame
from potential.nequip.batch import Structures
from tests.support.systems import model, predict, rattled

STRUCTURES = {
    "ethanol": molecule("CH3CH2OH"),
    "water": molecule("H2O"),
    "salt": bulk("NaCl", "rocksalt", a=5.6, cubic=True),
}
seeds = st.integers(0, 2**16)
settings_of_models = st.fixed_dictionaries(
    {
        "l_max": st.integers(0, 2),
        "parity": st.booleans(),
        "num_layers": st.integers(1, 2),
        "correlation": st.integers(1, 3),
    }
)


@settings(max_examples=12)
@given(st.sampled_from(sorted(STRUCTURES)), settings_of_models, seeds)
def test_rotation_reflection_translation_and_permutation(
    name: str, chosen: dict[str, int | bool], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = rattled(STRUCTURES[name], seed)
    network = model(sorted(set(frame.numbers.tolist())), seed=seed, **chosen)
    turn = Rotation.random(random_state=seed).as_matrix() * (1 if seed % 2 else -1)  # odd: proper
    order, shift = rng.permutation(len(frame)), rng.normal(0, 3, 3)
    moved = Structures.of([frame]).positions.numpy() @ turn.T + shift
    other = Frame.of(frame.numbers[order], moved[order], frame.cell @ turn.T, frame.pbc)
    one, two = (predict(network, Structures.of([f]), stress=all(frame.pbc)) for f in (frame, other))
    torch.testing.assert_close(two.energy, one.energy, rtol=0, atol=1e-6)
    turned = one.forces @ torch.tensor(turn.T)
    torch.testing.assert_close(two.forces, turned[:, order], rtol=0, atol=1e-5)
    if one.stress is not None and two.stress is not None:
        matrix = torch.tensor(turn)
        torch.testing.assert_close(two.stress, matrix @ one.stress @ matrix.T, rtol=0, atol=1e-6)


@settings(max_examples=8)
@given(st.lists(st.sampled_from(["ethanol", "water"]), min_size=2, max_size=4), seeds)
def test_structures_in_a_batch_do_not_see_one_another(names: list[str], seed: int) -> None:
    frames = [rattled(STRUCTURES[name], seed + i) for i, name in enumerate(names)]
    network = model([1, 6, 8], seed=seed)
    together = predict(network, Structures.of(frames))
    alone = [predict(network, Structures.of([frame])) for frame in frames]
    torch.testing.assert_close(together.energy, torch.cat([p.energy for p in alone], 1), rtol=0, atol=1e-10)
    torch.testing.assert_close(together.forces, torch.cat([p.forces for p in alone], 1), rtol=0, atol=1e-10)
