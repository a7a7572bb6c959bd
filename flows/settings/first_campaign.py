"""A first campaign.yaml for a structure."""

from __future__ import annotations

import difflib
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from exploration.frame_sources import RandomDisplacement, XtbMD
from flows.errors import ConfigError, problems_of
from flows.settings.campaign_config import CampaignConfig, FrameSetConfig, StructureConfig
from flows.settings.pretraining import FromTeacher, NoPretraining, why_not
from flows.settings.template import commented_yaml
from labeling.periodic_level import PeriodicLevel
from labeling.presets import PRESETS
from potential.data.atomic_write import write_atomically
from potential.data.charge_states import charge_states, in_words, odd_electron
from potential.data.frame import Frame
from potential.data.plausibility import heights
from potential.data.smiles import conformers
from potential.data.structure_files import write_frames
from potential.training.training_config import TrainingConfig

REPEATED_A = 6.0
"""Angstrom that the cell, repeated as often as there are k-points, has along each vector at least."""


def _plain(text: str) -> str:
    """`text` as a campaign's name: accents fall, anything else becomes `_`; "" where nothing is left."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9.-]+", "_", letters).strip("._-")[:100]


def write_new_campaign(
    file: Path,
    structures: Sequence[str],
    *,
    name: str | None,
    charge: int | None,
    spin: int | None,
    force: bool,
    preset: str | None = None,
    smiles: str | None = None,
    n_conformers: int = 1,
) -> list[str]:
    """Write a commented, valid configuration; returns what to tell the user of it.

    Args:
        structures: paths of files, or the name of a molecule; none for SMILES.
        smiles: whose conformers are written to a file beside `file`.
        n_conformers: how many are drawn.
        preset: level of theory; None: the cheap one for molecules or, if there is a cell, for crystals.

    Raises:
        ConfigError: for a structure that cannot be read or labelled, or a name that no campaign can have;
            if the file is there already.
    """
    if file.exists() and not force:
        raise ConfigError(file, ["is there already; choose another name, or overwrite it with --force"])
    if preset is not None and preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRESETS)};"
        said = f"no such preset; {meant} `alnico init --preset list` says when to use which"
        raise ConfigError(f"--preset {preset}", [said])
    told = list[str]()
    try:
        if smiles is not None:
            structures = [str(_conformer_file(file, smiles, n_conformers, name, told, force=force))]
        source = _source(structures, charge, spin)
        frames = source.frames()
        in_cells = any(any(frame.pbc) for frame in frames)
        level = PRESETS[preset or ("cheap_crystal" if in_cells else "cheap")]()
        if isinstance(level, PeriodicLevel) and all(all(frame.pbc) for frame in frames):
            level = level.model_copy(update={"k_mesh": k_mesh(level, frames)})
            mesh = "x".join(map(str, level.k_mesh))
            told.append(f"k-points {mesh}: {REPEATED_A:g} Å or more along each vector; see that they suffice")
        for frame in frames:
            level.check(frame)
    except ValidationError as error:
        raise ConfigError(smiles or ", ".join(structures), problems_of(error)) from error
    except (ValueError, OSError) as error:
        raise ConfigError(smiles or ", ".join(structures), [str(error)]) from error
    written = source.model_copy(update={"files": tuple(_from(file, path) for path in source.files)})
    frame_set = FrameSetConfig(frames=20, source=RandomDisplacement(strain_std=0.01) if in_cells else XtbMD())
    chosen = name or _plain(source.molecule or source.files[0].stem) or frames[0].formula
    try:
        config = CampaignConfig(
            name=chosen,
            structure=written,
            initial=frame_set,
            test=frame_set,
            level=level,
            pretraining=FromTeacher() if why_not(level, frames) is None else NoPretraining(),
            training=TrainingConfig(stress_weight=100.0 if in_cells else 0.0, schedule="until_flat"),
        )
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = "a name is made of the letters a to z, digits, and . _ -; write e.g. --name water"
        raise ConfigError(f"the campaign's name {chosen[:80]!r}", [f"{why}; {remedy}"]) from error
    write_atomically(file, commented_yaml(config))
    states = charge_states(frames)
    question = odd_electron(states) if charge is None else None
    note = [] if question is None else [f"note: {question}"]
    return [f"{in_words(states)}; {level.name}", *told, *note]


def k_mesh(level: PeriodicLevel, frames: Sequence[Frame]) -> tuple[int, int, int]:
    """So many that the repeated cell is at least `REPEATED_A` thick; never fewer than the level's."""
    thinnest = np.min([heights(frame) for frame in frames], axis=0)
    a, b, c = (
        max(k, math.ceil(REPEATED_A / height)) for k, height in zip(level.k_mesh, thinnest, strict=True)
    )
    return a, b, c


def _source(structures: Sequence[str], charge: int | None, spin: int | None) -> StructureConfig:
    """A molecule by name, or files; a word that names no file and looks like none is a molecule."""
    paths = [Path(structure) for structure in structures]
    files = tuple(path for path in paths if path.exists() or path.suffix or len(path.parts) > 1)
    names = [str(path) for path in paths if path not in files]
    if len(names) > 1 or (names and files):
        raise ValueError(
            f"{', '.join(names)}: no such file; give files, as many as you like, or one molecule by its name"
        )
    return StructureConfig(molecule=names[0] if names else None, files=files, charge=charge, spin=spin)


def _from(file: Path, path: Path) -> Path:
    """A path as campaign.yaml has it: relative ones to its own folder."""
    return path if path.is_absolute() else Path(os.path.relpath(path, file.parent))


def _conformer_file(
    file: Path, smiles: str, n: int, name: str | None, said: list[str], *, force: bool
) -> Path:
    """Conformers in a file beside campaign.yaml."""
    found = conformers(smiles, n)
    path = file.parent / f"{_plain(name or '') or found[0].formula}.extxyz"
    if path.exists() and not force:
        raise ValueError(f"{path} is there already; choose a --name, or overwrite it with --force")
    write_frames(path, found)
    said.append(f"wrote {path}: {len(found)} conformer{'s' * (len(found) > 1)} (ETKDG, seed 0)")
    return path
