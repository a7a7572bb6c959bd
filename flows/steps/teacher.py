"""What a teacher does for a committee, into a folder: frames with labels, then a training on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from exploration.teacher_md import Taught, Walk, Walked, distinct, walk, walks
from flows.errors import CampaignError, DamagedFileError
from flows.jobs.job import Done
from flows.jobs.training import TeachersTraining
from flows.record.pretraining_results import PretrainSummary, TeachSummary
from flows.record.results import SUMMARY_FILE
from flows.record.seeds import seed_for
from flows.record.stage_inputs import Settings
from flows.record.table import PRETRAIN, TEACH
from flows.settings.pretraining import FromTeacher
from labeling.ase_labeler import calculator_for
from labeling.ase_level import AseLevel
from labeling.level import settings
from labeling.provenance import where_and_with
from labeling.store import LabelStore
from labeling.workers import available_cores
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.nequip.model_config import ModelConfig
from potential.training.training_config import NOT_OF_THE_RESULT, TrainingConfig

STORE = "teacher.db"
ENDED = "walk ended early"
"""In a label's provenance: why its walk broke; None where it did not."""
HELD_OUT = 20
"""The last of so many frames, in the order of the walks, is held out; of fewer the last."""


Counting = Callable[[], AbstractContextManager[Callable[[int], None]]]
"""Opens something that shows how many are done; called only where something is to be done."""


def gather(
    folder: Path, structures: Sequence[Frame], source: FromTeacher, *, seed: int, counting: Counting
) -> TeachSummary:
    """The stage in `folder` that walks with the teacher; each walk is stored when it ends.

    Args:
        seed: the campaign's.
        counting: frames.

    Raises:
        CampaignError: where the teacher cannot treat the structures, or walks that broke left less than
            half of the frames.
    """
    try:
        for frame in structures:
            source.teacher.check(frame)
    except ValueError as error:
        raise CampaignError(f"pretraining: {error}; or write `pretraining: off`") from error
    inputs = {
        "teacher": settings(source.teacher),
        "dynamics": Settings(source.dynamics),
        "frames": source.frames,
        "structure": [frame.id for frame in structures],
        "seed": seed,
    }

    def make(into: Path) -> None:
        with counting() as count:
            _gather(into, structures, source, seed_for(seed, "teach"), count)

    TEACH.run(folder, inputs, make)
    return TeachSummary.model_validate_json((folder / SUMMARY_FILE).read_text())


def _gather(
    into: Path,
    structures: Sequence[Frame],
    source: FromTeacher,
    seed: int,
    count: Callable[[int], None],
) -> None:
    packages = dict.fromkeys(("ase", source.teacher.entry.distribution))
    provenance = {"level": source.teacher.model_dump(mode="json"), **where_and_with(*packages)}
    every = walks(source.frames, len(structures), source.dynamics)
    seconds, broken = 0.0, dict[int, str]()  # of walks that came to nothing, which the store cannot keep
    with LabelStore(into / STORE) as store:
        done = {frame.origin["walk"] for frame in store.frames(source.teacher.key)}
        left = [here for here in every if here.number not in done]
        made = source.frames - sum(here.n_frames for here in left)
        for here, walked, took in _side_by_side(partial(_run, structures, source, seed), left):
            told = provenance | {"seconds": took / max(1, len(walked.taught)), ENDED: walked.broken}
            store.add_all(_labelled(item, source.teacher, told) for item in walked.taught)
            if not walked.taught:
                seconds += took
                broken[here.number] = walked.broken or "it made no frame"
            made += here.n_frames
            count(made)
        for item in store:
            seconds += item.label.provenance.get("seconds", 0.0)
            if ended := item.label.provenance.get(ENDED):
                broken[item.frame.origin["walk"]] = ended
    data, n_alike = taught(into)
    if len(data) + n_alike < source.frames / 2:
        why = next((f"; {broken[number]}" for number in sorted(broken)), "")
        raise CampaignError(
            f"pretraining: {source.teacher.name} made {len(data) + n_alike} of {source.frames} frames{why}. "
            "Check charge and spin, lower temperatures_K or timestep_fs in `pretraining.dynamics`, or write "
            "`pretraining: off`."
        )
    summary = TeachSummary(
        n_frames=len(data),
        n_alike=n_alike,
        n_walks=len(every),
        broken=tuple(broken[number] for number in sorted(broken)),
        seconds=seconds,
    )
    write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))


def taught(folder: Path) -> tuple[Dataset, int]:
    """What a teacher has made, in the order of its walks, and how many frames are left out as alike.

    Raises:
        DamagedFileError: for a store with labels that no teacher made.
    """
    with LabelStore(folder / STORE) as store:
        items = list(store)
    if not all({"walk", "step"} <= set(item.frame.origin) for item in items):
        raise DamagedFileError(
            f"{folder / STORE} has labels that no teacher made; delete {folder} to make it anew"
        )
    items.sort(key=lambda item: (item.frame.origin["walk"], item.frame.origin["step"]))
    kept = distinct([item.frame for item in items])
    return Dataset.of(items[i] for i in kept), len(items) - len(kept)


def learn(
    folder: Path,
    data: Dataset,
    source: FromTeacher,
    *,
    model: ModelConfig,
    rounds: TrainingConfig,
    elements: Sequence[int],
    seed: int,
    counting: Counting,
    how: Callable[[TeachersTraining, Path, Done], None] = TeachersTraining.__call__,
) -> PretrainSummary:
    """The stage in `folder` that trains a committee on the teacher's labels; a killed training goes on.

    Args:
        rounds: how the rounds train, which `source.training` changes.
        elements: atomic numbers that the potential must know.
        seed: the campaign's.
        counting: per cent.
        how: computes the training; in this process where nothing is said.

    Raises:
        CampaignError: for fewer than two frames.
    """
    if len(data) < 2:
        raise CampaignError(
            f"pretraining: {source.teacher.name} made {len(data)} frame that differs from the others, "
            "which is nothing to learn from; raise `frames`, or write `pretraining: off`"
        )
    training, every = source.training(rounds), min(HELD_OUT, len(data))
    inputs = {
        "source": data.fingerprint,
        "model": Settings(model),
        "training": Settings(training, NOT_OF_THE_RESULT),
        "elements": list(elements),
        "seed": seed,
    }

    work = TeachersTraining(
        learned=Dataset.of(item for i, item in enumerate(data.items, start=1) if i % every),
        held_out=Dataset.of(data.items[every - 1 :: every]),
        model=model,
        training=training,
        elements=tuple(elements),
        seed=seed_for(seed, "pretrain"),
        source=source.teacher.name,
        card={
            "name": "pretrained",
            "reference": {"level of theory": source.teacher.name} | source.teacher.model_dump(mode="json"),
        },
        title="pretraining",
    )

    def make(into: Path) -> None:
        with counting() as count:
            how(work, into, count)

    PRETRAIN.run(folder, inputs, make)
    return PretrainSummary.model_validate_json((folder / SUMMARY_FILE).read_text())


def _run(
    structures: Sequence[Frame], source: FromTeacher, seed: int, here: Walk
) -> tuple[Walk, Walked, float]:
    began = time.perf_counter()
    calculator = partial(calculator_for, level=source.teacher)
    walked = walk(structures[here.start], here, source.dynamics, calculator, seed=seed)
    return here, walked, time.perf_counter() - began


def _side_by_side(
    run: Callable[[Walk], tuple[Walk, Walked, float]], every: Iterable[Walk]
) -> Iterator[tuple[Walk, Walked, float]]:
    """As they come, in threads: the teacher computes in compiled code, which lets other threads run."""
    threads = ThreadPoolExecutor(available_cores())
    try:
        with threadpool_limits(1):  # a walk a core
            futures = [threads.submit(run, here) for here in every]
            for future in as_completed(futures):
                yield future.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _labelled(item: Taught, teacher: AseLevel, provenance: Mapping[str, Any]) -> LabelledFrame:
    label = Label(
        frame_id=item.frame.id,
        level_key=teacher.key,
        energy=item.energy,
        forces=item.forces,
        stress=item.stress,
        provenance=dict(provenance),
    )
    return LabelledFrame(frame=item.frame, label=label)
