"""`alnico label`: label the structures of a file, without a campaign around them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from flows.cli.open_store import open_location, require_writable, take_in
from flows.cli.output import require_output
from flows.cli.reading import reading
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.record.subject import refuse_strangers
from flows.settings.yaml_file import load_level
from labeling.failure import LabelFailure
from labeling.foreign_level import ForeignLevel
from labeling.level import LevelOfTheory, PySCFLevel
from labeling.location import without_passwords
from labeling.spool import Spool
from labeling.store import LabelStore
from labeling.task import label, label_all
from labeling.workers import LabelingConfig
from potential.data.charge_states import charge_states, in_words, odd_electron
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames


def label_file(
    structures: Path,
    *,
    campaign: Path | None,
    level_file: Path | None,
    given: Mapping[str, Any],
    store: Path | str,
    workers: int | None,
    output: Path,
    charge: int | None = None,
    spin: int | None = None,
    any_composition: bool = False,
) -> None:
    """Label the frames of a file in parallel; each label is stored when it arrives.

    Args:
        campaign: whose level of theory, labeling settings and store are used; without it
        level_file: a YAML file with the level, as campaign.yaml has it; without both
        given: settings of a `PySCFLevel`.
        charge: of all frames, elementary charges; None: what the file says, else 0.
        spin: unpaired electrons of all frames; None: what the file says, else the fewest.
        any_composition: take into a campaign's store what the campaign is not about, too.

    Raises:
        ConfigError: for a file that cannot be read, a level that cannot label its frames, or an output that
            would replace what is read.
        OSError: where output or store cannot be written; before anything is computed.
        CampaignError: if a frame could not be labelled; the others are written.
    """
    level: LevelOfTheory
    location = store
    labeling = LabelingConfig(workers=workers)
    if campaign is not None:
        folder = CampaignFolder.open(campaign)
        level, location = folder.config.level, folder.label_store
        labeling = folder.config.labeling.model_copy(update={} if workers is None else {"workers": workers})
    elif level_file is not None:
        level = load_level(level_file)
    else:
        with reading("level of theory"):
            level = PySCFLevel(**given)
    if isinstance(level, ForeignLevel):
        raise ConfigError("alnico label", [f"labels of {level.name!r} are made elsewhere (labeler: none)"])
    with reading(structures):
        frames = read_frames(structures, charge=charge, spin=spin)
        for frame in frames:
            level.check(frame)
    if campaign is not None and not any_composition:
        refuse_strangers(folder, frames)
    states = charge_states(frames)
    print(in_words(states))
    if charge is None and (question := odd_electron(states)):
        print(f"note: {question}", file=sys.stderr)
    require_output(output, reads=[structures, location])
    labelled = open_location(location)
    require_writable(labelled)
    spool = Spool.beside(labelled.path, Path() if campaign is None else folder.path)
    take_in(spool, labelled)
    different = {frame.id: frame for frame in frames}
    missing = [frame for frame in different.values() if not labelled.get(frame.id, level.key)]
    alike = f", {len(different)} of them different" if len(different) < len(frames) else ""
    before = len(different) - len(missing)
    print(f"{len(frames)} frames at {level.name}{alike}, {before} labelled before")
    failed = _label(missing, level, labeling, labelled, spool)
    take_in(spool, labelled)
    labels = {label.frame_id: label for label in labelled.dataset(frames, level.key).labels}
    # one for each structure of the file, in its order, with what the file says of it
    write_frames(output, [LabelledFrame(frame=f, label=labels[f.id]) for f in frames if f.id in labels])
    print(f"wrote {output}; labels are in {without_passwords(location)}")
    if failed:
        raise CampaignError(f"{failed} of {len(frames)} frames have no label")


def _label(
    frames: list[Frame], level: LevelOfTheory, config: LabelingConfig, store: LabelStore, spool: Spool
) -> int:
    """Returns how many have no label. What is done when the work is broken off is kept, too."""

    def label_and_keep(frame: Frame, level: LevelOfTheory, config: LabelingConfig) -> Label | LabelFailure:
        outcome = label(frame, level, config)
        was_waiting = spool.is_waiting
        if not spool.record(store, frame, outcome) and not was_waiting:
            print(f"the label store cannot be written; labels wait in {spool.where}")
        return outcome

    failed = 0
    with closing(label_all(frames, level, config, task=label_and_keep)) as outcomes:
        for count, (frame, outcome) in enumerate(outcomes, start=1):
            head = f"{count}/{len(frames)} {frame.formula} {frame.id}"
            if isinstance(outcome, Label):
                print(f"{head}  {outcome.energy:.6f} eV")
            else:
                print(f"{head}  {outcome.kind}: {outcome.message}\n  {outcome.advice}")
                failed += 1
    return failed
