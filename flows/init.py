"""A first campaign.yaml for a structure."""

from __future__ import annotations

import re
from pathlib import Path

from exploration.config import XtbMD
from flows.config import CampaignConfig, FrameSetConfig, StructureConfig
from flows.errors import ConfigError
from flows.stages import write_atomically
from flows.template import commented_yaml
from labeling.presets import PRESETS, advice


def write_new_campaign(
    file: Path,
    structure: str,
    *,
    name: str | None,
    charge: int | None,
    spin: int | None,
    force: bool,
    preset: str = "cheap",
) -> None:
    """Write a commented, valid configuration.

    Args:
        structure: the path of a file, or the name of a molecule.

    Raises:
        ConfigError: for a structure that cannot be read or labelled, or if the file is there already.
    """
    if file.exists() and not force:
        raise ConfigError(file, ["is there already; choose another name, or overwrite it with --force"])
    path = Path(structure)
    is_file = path.exists() or bool(path.suffix) or len(path.parts) > 1
    molecule = None if is_file else structure
    files: tuple[Path, ...] = (path.resolve(),) if is_file else ()
    if preset not in PRESETS:
        raise ConfigError(f"--preset {preset}", ["no such preset; choose one of", *advice().splitlines()])
    level = PRESETS[preset]()
    try:
        source = StructureConfig(molecule=molecule, files=files, charge=charge, spin=spin)
        for frame in source.frames():
            level.check(frame)
    except (ValueError, OSError) as error:
        raise ConfigError(structure, [str(error)]) from error
    frame_set = FrameSetConfig(frames=20, source=XtbMD())
    config = CampaignConfig(
        name=name or re.sub(r"\W+", "_", molecule or files[0].stem).strip("_"),
        structure=source,
        initial=frame_set,
        test=frame_set,
        level=level,
    )
    write_atomically(file, commented_yaml(config))
