"""Pretraining without a campaign: for many campaigns to begin from, or as the first part of `train`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.cli.output import require_folder
from flows.cli.reading import reading
from flows.record.folder import CampaignFolder
from flows.record.lock import folder_lock
from flows.settings.pretraining import FromTeacher
from flows.views.console import counted
from flows.views.duration import duration
from potential.data.frame import Frame
from potential.data.structure_files import read_frames
from potential.nequip.model_config import ModelConfig
from potential.training.training_config import TrainingConfig


def pretrain_on_file(
    structures: Path, *, output: Path, campaign: Path | None, seed: int, **changes: Any
) -> None:
    """Teach a committee the structures of a file; `pretraining: {from: ...}` takes it from there.

    Args:
        campaign: whose model, training and teacher to take.
        changes: to the teacher's settings (`FromTeacher`); None: as they are.

    Raises:
        ConfigError: for a file that cannot be read, or impossible settings.
        CampaignError: where the teacher cannot treat the structures, or another process writes there.
    """
    from potential.training.unteachable import refuse_unteachable_frames  # imports torch

    config = None if campaign is None else CampaignFolder.open(campaign).config
    source = teacher_of(None if config is None else config.pretraining)
    given = {key: value for key, value in changes.items() if value is not None}
    with reading("alnico pretrain"):
        source = FromTeacher.model_validate(source.model_dump() | given)
    model = ModelConfig() if config is None else config.model
    training = TrainingConfig() if config is None else config.training
    with reading(structures):
        frames = read_frames(structures)
        refuse_unteachable_frames(frames, model, training)
    require_folder(output)
    with folder_lock(output):
        potential = taught_potential(frames, source, model=model, training=training, seed=seed, folder=output)
    print(f"wrote {potential}\nIn a campaign: pretraining: {{from: {potential.resolve()}}}")


def teacher_of(configured: object) -> FromTeacher:
    """The teacher that a campaign says, or the usual one."""
    return configured if isinstance(configured, FromTeacher) else FromTeacher()


def taught_potential(
    structures: Sequence[Frame],
    source: FromTeacher,
    *,
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    folder: Path,
) -> Path:
    """The folder of a potential that has learned from the teacher; goes on where it was interrupted."""
    from flows.steps import teacher

    frames, percent = (
        partial(counted, n, text, unit)
        for n, text, unit in ((source.frames, "teacher's frames", "frame"), (100, "pretraining", "%"))
    )
    made = teacher.gather(folder / "teach", structures, source, seed=seed, counting=frames)
    print(f"{made.n_frames} frames of {source.teacher.name}, {duration(made.seconds)} of computing")
    for text in made.broken:
        print(f"  a walk ended early: {text}")
    learned = teacher.learn(
        folder / "pretrain",
        teacher.taught(folder / "teach")[0],
        source,
        model=model,
        rounds=training,
        elements=sorted({z for frame in structures for z in frame.numbers.tolist()}),
        seed=seed,
        counting=percent,
    )
    error = 1000 * (learned.force_mae or 0.0)
    print(
        f"pretrained on {learned.n_train} of them, {learned.steps} steps in {duration(learned.seconds)}: "
        f"{error:.1f} meV/Å on {learned.n_held_out} that were held out"
    )
    return folder / "pretrain" / "potential"
