"""A first campaign.yaml for a structure."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from pydantic import ValidationError

from exploration.settings import RandomDisplacement, XtbMD
from flows.errors import ConfigError, problems_of
from flows.settings.campaign_config import CampaignConfig, FrameSetConfig, StructureConfig
from flows.settings.pretraining import FromTeacher, NoPretraining, why_not
from flows.settings.template import commented_yaml
from labeling.presets import PRESETS, advice
from potential.data.atomic_write import write_atomically
from potential.data.charge_states import charge_states, in_words, odd_electron
from potential.training.training_config import TrainingConfig


def _plain(text: str) -> str:
    """`text` as a campaign's name: accents fall, anything else becomes `_`; "" where nothing is left."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9.-]+", "_", letters).strip("._-")[:100]


def write_new_campaign(
    file: Path,
    structure: str,
    *,
    name: str | None,
    charge: int | None,
    spin: int | None,
    force: bool,
    preset: str | None = None,
) -> list[str]:
    """Write a commented, valid configuration; returns what to tell the user of it.

    Args:
        structure: the path of a file, or the name of a molecule.
        preset: level of theory; None: the cheap one for molecules or, if there is a cell, for crystals.

    Raises:
        ConfigError: for a structure that cannot be read or labelled, or a name that no campaign can have;
            if the file is there already.
    """
    if file.exists() and not force:
        raise ConfigError(file, ["is there already; choose another name, or overwrite it with --force"])
    path = Path(structure)
    is_file = path.exists() or bool(path.suffix) or len(path.parts) > 1
    molecule = None if is_file else structure
    files: tuple[Path, ...] = (path.resolve(),) if is_file else ()
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"--preset {preset}", ["no such preset; choose one of", *advice().splitlines()])
    try:
        source = StructureConfig(molecule=molecule, files=files, charge=charge, spin=spin)
        frames = source.frames()
        in_cells = any(any(frame.pbc) for frame in frames)
        level = PRESETS[preset or ("cheap_crystal" if in_cells else "cheap")]()
        for frame in frames:
            level.check(frame)
    except ValidationError as error:
        raise ConfigError(structure, problems_of(error)) from error
    except (ValueError, OSError) as error:
        raise ConfigError(structure, [str(error)]) from error
    frame_set = FrameSetConfig(frames=20, source=RandomDisplacement(strain_std=0.01) if in_cells else XtbMD())
    chosen = name or _plain(molecule or files[0].stem) or frames[0].formula
    try:
        config = CampaignConfig(
            name=chosen,
            structure=source,
            initial=frame_set,
            test=frame_set,
            level=level,
            pretraining=FromTeacher() if why_not(level, frames) is None else NoPretraining(),
            training=TrainingConfig(stress_weight=100.0 if in_cells else 0.0),
        )
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = "a name is made of the letters a to z, digits, and . _ -; write e.g. --name water"
        raise ConfigError(f"the campaign's name {chosen[:80]!r}", [f"{said}; {remedy}"]) from error
    write_atomically(file, commented_yaml(config))
    states = charge_states(frames)
    question = odd_electron(states) if charge is None else None
    return [f"{in_words(states)}; {level.name}", *([] if question is None else [f"note: {question}"])]
