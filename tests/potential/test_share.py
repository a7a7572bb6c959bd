"""A committee over several processes: the same numbers as in one."""

import os
import signal
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.training import share
from potential.training.history import EpochRecord
from potential.training.run import TrainedCommittee
from potential.training.share import Share
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig
from tests.potential.test_train import SMALL, labelled

TRAINING = TrainingConfig(
    max_epochs=12,
    checkpoint_every_epochs=3,
    validate_every_epochs=2,
    batch_size=4,
    schedule="plateau",
    plateau_patience_epochs=2,
    early_stop_patience_epochs=4,
    bootstrap="bayesian",
    max_gradient_norm=1.0,
)
COMMITTEE = SMALL.model_copy(update={"committee_size": 4})


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """The last bits depend on the number of threads, which the processes share a machine for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(
    folder: Path, processes: int, *, model: ModelConfig = COMMITTEE, **arguments: Any
) -> TrainedCommittee:
    learned, held_out = labelled(10).split(3, seed=0)
    training = TRAINING.model_copy(update={"processes": processes})
    return train_committee(
        learned,
        held_out,
        model=model,
        training=training,
        seed=1,
        folder=folder,
        warm_start=NequIP(model, [1, 8], seed=9),
        **arguments,
    )


def numbers(history: list[EpochRecord]) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(record).items() if k != "seconds"} for record in history]


def same(one: TrainedCommittee, other: TrainedCommittee) -> bool:
    states = [trained.model.state_dict() for trained in (one, other)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> TrainedCommittee:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = train(tmp_path_factory.mktemp("alone"), 1)
    torch.set_num_threads(before)
    return trained


@pytest.mark.whole
def test_two_processes_train_what_one_does(alone: TrainedCommittee, tmp_path: Path) -> None:
    together = train(tmp_path, 2)
    assert same(alone, together)
    assert numbers(alone.history) == numbers(together.history)
    assert together.model.members == 4
    assert len({record.learning_rate for record in together.history}) > 2  # the plateau was seen


@pytest.mark.slow
def test_a_member_alone_differs_in_the_last_bits_at_most(tmp_path: Path) -> None:
    """A product of matrices of one member may be summed up in another order."""
    three = COMMITTEE.model_copy(update={"committee_size": 3})
    alone, together = (train(tmp_path / str(n), n, model=three).model.state_dict() for n in (1, 2))
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=1e-4, atol=1e-6)
        if value.dim() > 1:
            assert torch.equal(together[key][:2], value[:2])  # of the two that share a process


@pytest.mark.slow
def test_what_two_began_one_finishes(alone: TrainedCommittee, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(record: EpochRecord) -> None:
        if record.epoch == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(tmp_path, 2, on_epoch=stop)
    again = train(tmp_path, 1)
    assert same(alone, again)
    assert numbers(alone.history) == numbers(again.history)


@pytest.mark.whole
def test_a_process_that_dies_ends_the_training_and_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)

    def kill(record: EpochRecord) -> None:
        os.kill(started[0].pid, signal.SIGKILL)

    with pytest.raises(RuntimeError, match="a share of the committee has died"):
        train(tmp_path, 3, on_epoch=kill)
    assert len(started) == 2
    assert None not in [process.poll() for process in started]


def test_shares_are_cut_and_put_together_again() -> None:
    whole = NequIP(COMMITTEE, [1, 8], seed=4)
    shares = [Share(index=index, of=3) for index in (0, 1, 2)]
    parts = [share.network(whole, "cpu") for share in shares]
    assert [part.members for part in parts] == [2, 1, 1]
    for key, value in whole.state_dict().items():
        cut = [part.state_dict()[key] for part in parts]
        assert torch.equal(value, torch.cat(cut) if value.dim() > 1 else cut[1])


def test_each_process_has_a_gpu_of_its_own() -> None:
    assert TrainingConfig(processes=2, device="cuda").devices == ("cuda:0", "cuda:1")
    assert TrainingConfig(processes=2).devices == ("cpu", "cpu")
    assert TrainingConfig(device="cuda").devices == ("cuda",)
    with pytest.raises(ValueError, match="write device: cuda"):
        TrainingConfig(processes=2, device="cuda:1")


def test_processes_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "SERVE", "import time; time.sleep(1)")
    torch.set_num_threads(4)
    with share.team(2, {}):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4
