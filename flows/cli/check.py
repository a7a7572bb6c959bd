"""`alnico check`: is a campaign sound, and what will it cost? One label and some steps are tried."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from flows.cli.engine import label_once
from flows.cli.open_store import open_location
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.record.stages import is_finished
from flows.record.subject import subject_line
from flows.settings.campaign_config import CampaignConfig
from flows.settings.pretraining import FromTeacher
from flows.views.disk import shown_size
from flows.views.duration import duration
from flows.views.forecast import Left, Pace, left
from labeling.foreign_level import ForeignLevel
from labeling.location import is_url
from labeling.store import is_there
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame

TRIAL_STEPS = 3
LABEL_KB, FRAME_BYTES_PER_ATOM = 7.0, 100
"""On disk: a label in the store and in Prefect's database; an explored frame as extxyz."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Wall seconds of a gradient step and of a step of the exploration, and the model's parameters."""

    step_s: float
    move_s: float
    parameters: int


def check_campaign(source: Path) -> None:
    """Validate a campaign altogether, try one label and some training, and print what all will cost.

    Nothing is stored.

    Raises:
        ConfigError: for whatever `alnico run` would refuse.
        CampaignError: if there is no label, or the pretraining's teacher cannot treat the structure.
    """
    folder = CampaignFolder.open(source)
    config = folder.config
    rounds = f"{config.rounds} round{'s' * (config.rounds != 1)}"
    print(f"campaign {config.name}: {config.level.name}, {rounds}", flush=True)
    from flows.campaign.settle import pending
    from flows.campaign.start import start_frames

    frames = start_frames(folder)
    change, _ = pending(folder)
    if change is not None:
        print("\n".join(["changed since it ran:", *(f"  {line}" for line in change.said)]), flush=True)
    print(subject_line(folder), flush=True)
    _check_store(folder)
    print("settings, structure, spin, device, engine and store are sound", flush=True)
    largest = max(frames, key=len)
    pace_label, at_once = _try_label(config, largest, folder.path)
    trial = _try_model(config, largest)
    print(f"one gradient step     {1000 * trial.step_s:.0f} ms ({config.training.batch_size} frames)")
    replicas = config.exploration.n_replicas
    print(f"one step of dynamics  {1000 * trial.move_s:.0f} ms ({replicas} replicas)", flush=True)
    pace = Pace(
        label_s=pace_label,
        step_s=trial.step_s,
        exploration_s=config.exploration.n_steps * trial.move_s,
    )
    found = left(folder, pace)
    taught = _teaching(folder, frames, trial)
    _print_times(found, taught, at_once)
    memory_GB = _memory(at_once)
    size = shown_size(_disk(config, found, len(largest), trial.parameters))
    print(
        f"memory                about {memory_GB:.1f} GB, of which a label process may take all it is given:"
    )
    print(f"                      {config.labeling.memory_GB:g} GB each at most (labeling.memory_GB)")
    print(f"disk                  about {size} in {folder.path}")


def _try_label(config: CampaignConfig, frame: Frame, folder: Path) -> tuple[float, int]:
    """Seconds of computing of a label, and how many are computed at once."""
    if isinstance(config.level, ForeignLevel):
        print("labels                are made elsewhere, and imported")
        return 0.0, 1
    print(f"computing one label   {frame.formula}; it may take minutes, Ctrl-C ends it", flush=True)
    outcome = label_once(config, frame, folder)
    seconds = float(outcome.label.provenance.get("seconds", outcome.seconds))
    print(f"one label             {duration(seconds)} of computing ({frame.formula})", flush=True)
    return seconds, outcome.at_once


def _check_store(folder: CampaignFolder) -> None:
    """A store that is there can be opened; one that is not can be made."""
    location = folder.label_store
    if is_there(location) or is_url(location):
        open_location(location)
        return
    place = next(p for p in Path(location).absolute().parents if p.exists())
    if not place.is_dir() or not _may_write(place):
        raise ConfigError(folder.config.name, [f"the label store {location} cannot be made in {place}"])


def _may_write(place: Path) -> bool:
    try:
        with TemporaryDirectory(dir=place):
            return True
    except OSError:
        return False


def _try_model(config: CampaignConfig, frame: Frame) -> Trial:
    """Train on made-up labels for a few steps, then move with what came of it."""
    import torch

    from potential.evaluator import Evaluator
    from potential.nequip.batch import Structures
    from potential.training.train import train_committee

    rng = np.random.default_rng(0)
    trial = config.training.model_copy(
        update={
            "max_epochs": TRIAL_STEPS + 1,
            "max_steps": None,
            "max_seconds": None,
            "stress_weight": 0.0,
            "force_weight": 1.0,
        }
    )
    data = Dataset.of(_made_up(frame, rng) for _ in range(config.training.batch_size))
    with TemporaryDirectory() as scratch:
        trained = train_committee(
            data, Dataset.of([]), model=config.model, training=trial, seed=0, folder=Path(scratch)
        )
    first, last = trained.history[0], trained.history[-1]
    evaluator = Evaluator(trained.model, device=config.training.device)
    frames = [data.frames[i % len(data)] for i in range(config.exploration.n_replicas)]
    structures = Structures.of(frames)
    evaluator(structures)
    began = time.perf_counter()
    for _ in range(TRIAL_STEPS):
        evaluator(structures)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return Trial(
        step_s=(last.seconds - first.seconds) / TRIAL_STEPS,
        move_s=(time.perf_counter() - began) / TRIAL_STEPS,
        parameters=sum(p.numel() for p in trained.model.parameters()),
    )


def _made_up(frame: Frame, rng: np.random.Generator) -> LabelledFrame:
    moved = frame.moved(frame.positions + rng.normal(0, 0.02, frame.positions.shape))
    label = Label(
        frame_id=moved.id, level_key="trial", energy=0.0, forces=rng.normal(0, 1, frame.positions.shape)
    )
    return LabelledFrame(frame=moved, label=label)


def _teaching(folder: CampaignFolder, frames: Sequence[Frame], trial: Trial) -> tuple[float, float] | None:
    """Wall seconds of the teacher's dynamics and of learning from it; None where nothing is left to teach."""
    from flows.steps.pretrain import source_of

    config, source = folder.config, source_of(folder, frames)
    if not isinstance(source, FromTeacher) or is_finished(folder.pretrain):
        return None
    from exploration.teacher_md import FAILURES
    from labeling.ase_labeler import calculator_for

    atoms = frames[0].to_atoms()
    atoms.calc = calculator_for(frames[0], source.teacher)
    try:
        atoms.get_forces()  # loads its library
        atoms.rattle(0.01, seed=0)
        began = time.perf_counter()
        atoms.get_forces()
        call_s = time.perf_counter() - began
    except FAILURES as error:
        raise CampaignError(
            f"pretraining: {source.teacher.name} cannot treat {frames[0].formula} (charge "
            f"{frames[0].charge:+d}, spin {frames[0].spin}): {str(error).strip()}; check charge and spin, or "
            "write `pretraining: off`"
        ) from error
    dynamics = source.dynamics
    calls = source.frames * dynamics.spacing_fs / dynamics.timestep_fs
    dilated = source.batch_size / config.training.batch_size
    return calls * call_s / config.labeling.workers_here, source.max_steps * trial.step_s * dilated


def _print_times(found: Left, taught: tuple[float, float] | None, at_once: int) -> None:
    in_all = found.seconds + sum(taught or ())
    if taught is not None:
        print(f"teacher's frames      {duration(taught[0])}\nlearning from them    {duration(taught[1])}")
    print(f"labelling             {duration(found.labelling_s)} ({found.labels} labels, {at_once} at once)")
    print(f"training              {duration(found.training_s)} ({found.steps} gradient steps)")
    print(f"exploration           {duration(found.exploring_s)} ({found.explorations} times)")
    print(
        f"in all                about {duration(in_all)} of wall time, at most; it can be stopped and goes on"
    )


def _memory(at_once: int) -> float:
    """GB: this process, and as many label processes as there are at once."""
    unit = 1e9 if sys.platform == "darwin" else 1e6  # ru_maxrss is in bytes there, in kB here
    mine, child = (
        resource.getrusage(who).ru_maxrss / unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return mine + at_once * child


def _disk(config: CampaignConfig, found: Left, n_atoms: int, parameters: int) -> float:
    """Bytes."""
    weights = 4 * parameters * (found.explorations + 2)
    exploration = config.exploration
    records = exploration.n_replicas * exploration.n_steps / exploration.record_every
    explored = found.explorations * records * n_atoms * FRAME_BYTES_PER_ATOM
    return weights + explored + found.labels * 1000 * LABEL_KB
