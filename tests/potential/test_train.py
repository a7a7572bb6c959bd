"""Training learns, resumes to the same result, and says what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.calculators.morse import MorsePotential
from safetensors import safe_open

from potential.backends.choose import choose_backend
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.training.batches import Loader
from potential.training.gradient import losses_and_gradient
from potential.training.history import EpochRecord
from potential.training.loss import bootstrap_weights, errors
from potential.training.schedule import is_flat
from potential.training.train import copy_weights, train_committee
from potential.training.training_config import TrainingConfig
from tests.support.systems import water

SMALL = ModelConfig(
    l_max=1, num_features=8, num_layers=2, radial_mlp_width=16, committee_size=2, num_bessels=6, r_max=4.0
)
SHORT = TrainingConfig(max_epochs=12, checkpoint_every_epochs=3, validate_every_epochs=2, batch_size=4)


def labelled(n: int, first_seed: int = 0) -> Dataset:
    """Water-like molecules with a Morse potential between all atoms as the reference."""
    items = []
    for seed in range(first_seed, first_seed + n):
        frame = water(seed)
        atoms = frame.to_atoms()
        atoms.calc = MorsePotential(epsilon=2.0, r0=1.2, rho0=3.0)
        energy = float(atoms.get_potential_energy()) - 2000.0
        label = Label(
            frame_id=frame.id, level_key="morse", energy=energy, forces=np.array(atoms.get_forces())
        )
        items.append(LabelledFrame(frame=frame, label=label))
    return Dataset.of(items)


def train(folder, training=SHORT, data=None, model=SMALL, **arguments):
    data = labelled(10) if data is None else data
    kept, held = data.split(2, seed=0)
    return train_committee(kept, held, model=model, training=training, seed=1, folder=folder, **arguments)


def test_muon_learns_in_fewer_steps_than_adam(tmp_path):
    losses = {}
    for optimizer in ("muon", "adam"):
        short = SHORT.model_copy(update={"optimizer": optimizer, "max_epochs": 90, "max_steps": 300})
        losses[optimizer] = train(tmp_path / optimizer, short, labelled(30)).history[-1].train_loss
    assert losses["muon"] < 0.7 * losses["adam"]


def test_a_training_that_runs_away_is_told(tmp_path):
    wild = SHORT.model_copy(update={"learning_rate": 1.0, "schedule": "constant", "max_epochs": 200})
    with pytest.raises(FloatingPointError, match=r"the loss is .* lower learning_rate \(now 1\.0\)"):
        train(tmp_path, wild)


def test_training_learns_the_forces(tmp_path):
    data = labelled(30)
    result = train(tmp_path, SHORT.model_copy(update={"max_epochs": 90, "max_steps": 600}), data)
    test = labelled(20, first_seed=500)
    mean_force = np.abs(np.concatenate([label.forces for label in test.labels])).mean()
    found = errors(choose_backend(result.model), Loader(test, result.model), 8)
    assert found.force_mae < 0.15 * mean_force
    assert found.energy_mae_per_atom < 0.05


def test_training_ends_at_its_last_step_in_the_middle_of_an_epoch(tmp_path):
    short = SHORT.model_copy(update={"max_epochs": 90, "max_steps": 7})
    found = train(tmp_path, short)  # 8 frames in batches of 4
    assert [record.step for record in found.history] == [2, 4, 6, 7]
    assert found.history[-1].fraction == 1.0
    assert found.history[-1].validation_force_mae is not None
    train(tmp_path, short, on_epoch=lambda record: pytest.fail("trained again"))


class KilledError(Exception):
    pass


@pytest.mark.parametrize("kill_at", [1, 5, 11])
def test_a_killed_training_goes_on_to_the_same_result(tmp_path, kill_at):
    whole = train(tmp_path / "whole")

    def kill(record: EpochRecord) -> None:
        if record.epoch == kill_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(tmp_path / "killed", on_epoch=kill)
    epochs = []
    resumed = train(tmp_path / "killed", on_epoch=lambda record: epochs.append(record.epoch))
    assert epochs[0] == (kill_at - 1) // 3 * 3 + 1, "it must go on from the last checkpoint"
    for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert [r.train_loss for r in whole.history] == [r.train_loss for r in resumed.history]


def test_a_finished_training_is_not_repeated(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path, on_epoch=lambda record: pytest.fail("trained again"))
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_training_that_an_older_version_began_goes_on(tmp_path):
    """What tells trainings apart, as the version before products of messages wrote it."""
    items = []
    for x in (0.0, 0.25, 0.5, 0.75):
        frame = Frame.of([8, 1, 1], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [x, 1.0, 0.0]])
        label = Label(frame_id=frame.id, level_key="by hand", energy=-1.0 - x, forces=np.eye(3))
        items.append(LabelledFrame(frame=frame, label=label))
    train(tmp_path, SHORT.model_copy(update={"max_epochs": 1}), Dataset.of(items))
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert json.loads(file.metadata()["facts"])["identity"] == "038ab9d0ec941330"


def test_other_data_start_a_new_training(tmp_path):
    train(tmp_path)
    epochs = []
    train(tmp_path, data=labelled(11), on_epoch=lambda record: epochs.append(record.epoch))
    assert epochs[0] == 1


def test_training_stops_early_when_the_validation_gets_no_better(tmp_path):
    rough = {"max_epochs": 400, "schedule": "constant", "learning_rate": 0.1, "ema_decay": 0.0}
    history = train(tmp_path, SHORT.model_copy(update={**rough, "early_stop_patience_epochs": 4})).history
    assert len(history) < 400
    errors = [r.validation_force_mae for r in history if r.validation_force_mae is not None]
    assert min(errors[-2:]) > min(errors), "the best was at least two validations ago"


def test_the_rate_falls_on_a_plateau_of_the_loss(tmp_path):
    settings = {"max_epochs": 60, "schedule": "plateau", "plateau_patience_epochs": 2, "learning_rate": 0.05}
    history = train(tmp_path, SHORT.model_copy(update=settings)).history
    rates = [r.learning_rate for r in history[30:]]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.05


UNTIL_FLAT = {
    "max_epochs": 5000,
    "schedule": "until_flat",
    "learning_rate": 0.02,
    "validate_every_epochs": 10,
    "checkpoint_every_epochs": 40,
}


def test_training_ends_with_a_decay_once_the_validation_is_flat(tmp_path):
    history = train(tmp_path, SHORT.model_copy(update=UNTIL_FLAT)).history
    assert history[-1].step < 5000
    full = [r.step for r in history if r.learning_rate == pytest.approx(0.02)]
    begun = full[-1]
    assert begun >= 300, "before, a pause says nothing"
    assert history[-1].step == pytest.approx(1.25 * begun, abs=2), "the decay is a quarter of what was before"
    rates = [r.learning_rate for r in history if r.step > begun]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.001
    assert history[-1].fraction == 1.0


def test_a_training_killed_in_its_decay_goes_on_to_the_same_result(tmp_path):
    settings = SHORT.model_copy(update={**UNTIL_FLAT, "max_epochs": 100})
    whole = train(tmp_path / "whole", settings)

    def kill(record: EpochRecord) -> None:
        if record.epoch == 90:
            raise KilledError

    with pytest.raises(KilledError):
        train(tmp_path / "killed", settings, on_epoch=kill)
    resumed = train(tmp_path / "killed", settings)
    assert [r.learning_rate for r in whole.history] == [r.learning_rate for r in resumed.history]
    assert whole.history[80].learning_rate > whole.history[90].learning_rate, "it decays before the limit"


def made_up(errors_by_step: dict[int, float]) -> list[EpochRecord]:
    facts = {
        "fraction": 0.1,
        "seconds": 1.0,
        "learning_rate": 0.01,
        "train_loss": 1.0,
        "train_force_mae": 1.0,
    }
    return [
        EpochRecord(epoch=i, step=step, validation_force_mae=error, **facts)
        for i, (step, error) in enumerate(errors_by_step.items())
    ]


def test_flat_is_a_last_third_that_gained_less_than_two_percent():
    falling = {100 * i: 1.0 / i for i in range(1, 11)}
    assert not is_flat(made_up(falling))
    assert is_flat(made_up(falling | {100 * i: 0.1 for i in range(11, 17)}))
    assert not is_flat(made_up(falling | {100 * i: 0.09 for i in range(11, 17)}))
    assert not is_flat(made_up({100: 1.0, 200: 1.0})), "too few steps"
    assert not is_flat([])


def test_members_weigh_frames_differently_with_mean_one():
    bayesian = SHORT.model_copy(update={"bootstrap": "bayesian"})
    weights = bootstrap_weights(4, 200, bayesian, seed=0)
    assert weights.shape == (4, 200)
    torch.testing.assert_close(weights.mean(1), torch.ones(4))
    # Dirichlet(1, ..., 1) weights are exponential: their variance is one.
    assert weights.var(1).mean() == pytest.approx(1.0, abs=0.3)
    assert torch.equal(weights, bootstrap_weights(4, 200, bayesian, seed=0))
    assert torch.equal(bootstrap_weights(4, 3, SHORT, seed=0), torch.ones(4, 3))


def test_the_loss_is_its_formula():
    data = labelled(3)
    model = NequIP(SMALL, [1, 8], seed=0)
    batch = Loader(data, model).batch([2, 0])
    weights = torch.tensor([[1.0, 2.0], [0.5, 0.0]])
    config = TrainingConfig(energy_weight=3.0, force_weight=0.5)
    found, prediction = losses_and_gradient(choose_backend(model), batch, weights, config)
    for g in range(2):
        expected = 0.0
        for s, index in enumerate([2, 0]):
            label = data.labels[index]
            energy = (float(prediction.energy[g, s].detach()) - label.energy) / 3
            force = prediction.forces[g, 3 * s : 3 * s + 3].detach().numpy() - label.forces
            expected += float(weights[g, s]) * (3.0 * energy**2 + 0.5 * (force**2).mean()) / 2
        assert float(found[g].detach()) == pytest.approx(expected, rel=1e-5)


def test_stress_is_trained_where_labels_have_it(tmp_path):
    from tests.support.systems import crystal

    items = []
    for seed in range(4):
        frame = crystal(seed)
        stress = None if seed == 0 else np.full((3, 3), 0.01 * seed)
        label = Label(
            frame_id=frame.id, level_key="x", energy=-10.0, forces=np.zeros((len(frame), 3)), stress=stress
        )
        items.append(LabelledFrame(frame=frame, label=label))
    config = SHORT.model_copy(update={"stress_weight": 10.0, "max_epochs": 2})
    result = train_committee(
        Dataset.of(items), Dataset(), model=SMALL, training=config, seed=0, folder=tmp_path
    )
    assert np.isfinite(result.history[-1].train_loss)


def test_warm_start_begins_from_the_given_weights_and_refuses_another_architecture(tmp_path):
    first = train(tmp_path / "a", SHORT.model_copy(update={"max_epochs": 60}))
    barely = SHORT.model_copy(update={"max_epochs": 1, "learning_rate": 1e-6})
    warm = train(tmp_path / "b", barely, warm_start=first.model).history[-1].train_force_mae
    cold = train(tmp_path / "c", barely).history[-1].train_force_mae
    assert warm < 0.7 * cold
    with pytest.raises(ValueError, match="set warm_start: false"):
        copy_weights(first.model, NequIP(SMALL, [1, 6, 8]))


def test_exploding_training_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train(tmp_path, SHORT.model_copy(update={"learning_rate": 1e15, "schedule": "constant"}))


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match="label some first"):
        train_committee(Dataset(), Dataset(), model=SMALL, training=SHORT, seed=0, folder=tmp_path)


def restated(data: Dataset, **changes) -> Dataset:
    """The same data with the first frame in another state, further away so that it is another frame."""
    first = data.items[0]
    frame = replace(first.frame, positions=first.frame.positions + 0.5, **changes)
    label = replace(first.label, frame_id=frame.id)
    return data.add([LabelledFrame(frame=frame, label=label)])


def test_charges_that_the_model_cannot_tell_are_refused(tmp_path):
    data = restated(labelled(6), charge=1, spin=1)
    with pytest.raises(ValueError, match=r"H2O comes with charge \+0, spin 0 .*charge \+1, spin 1"):
        train(tmp_path, data=data)
    allowed = SHORT.model_copy(update={"mixed_charges": True, "max_epochs": 1})
    assert len(train(tmp_path, allowed, data).history) == 1


def test_a_stress_weight_without_stresses_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"stress_weight is 100, but no label has a stress"):
        train(tmp_path, SHORT.model_copy(update={"stress_weight": 100.0}))


def test_a_cutoff_without_neighbours_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"r_max is 0\.5 Å, and no two atoms"):
        train(tmp_path, model=SMALL.model_copy(update={"r_max": 0.5}))
