"""`alnico freq`, `optimize` and `scan`: what a potential says of a structure, with its members' spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from flows.cli.output import require_output
from flows.cli.reading import reading
from flows.cli.single_steps import potential_for
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.record.stages import is_finished
from flows.views.structures import start_of
from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.structure_files import write_frames
from potential.known_environments import OUTSIDE
from potential.properties.frequencies import Frequencies, frequencies
from potential.properties.optimum import NotRelaxedError, optimise
from potential.properties.scan import Coordinate, Point, relative, scan

WHAT_IT_MEANS = (
    "± is the sample standard deviation over the members. What all of them got wrong alike is not in it."
)
ALONE = "the potential has one member, which has nobody to disagree with"


class Relaxation(Config):
    """How far structures are relaxed."""

    max_force: Annotated[float, Field(gt=0, le=10, description="eV/Angstrom")]
    max_steps: Annotated[int, Field(ge=1, le=1_000_000)]


class ScanSettings(Config):
    """Of `alnico scan`."""

    start: Annotated[float, Field(ge=-360, le=1000)]
    stop: Annotated[float, Field(ge=-360, le=1000)]
    points: Annotated[int, Field(ge=2, le=100_000)]


def print_frequencies(potential: Path, structure: Path, *, output: Path, **given: Any) -> None:
    """Relax a structure, print its harmonic frequencies, write modes and members as a table.

    Raises:
        ConfigError: as `potential_for`, and for impossible settings.
        CampaignError: where the relaxation does not end.
    """
    require_output(output, reads=[potential, structure])
    calculator, frame = potential_for(potential, structure)
    with reading("alnico freq"):
        settings = Relaxation.model_validate(given)
    try:
        with reading(structure):
            found = frequencies(calculator, frame, **settings.model_dump())
    except NotRelaxedError as error:
        raise CampaignError(str(error)) from error
    print(f"{frame.formula}, {len(found.modes.wavenumbers)} modes at the minimum of the committee")
    print(f"{'mode':>5} {'1/cm':>10} {'±':>7}")
    spread = found.disagreement
    for k, wavenumber in enumerate(found.modes.wavenumbers):
        shown = f"{abs(wavenumber):.1f}{'i' if wavenumber < 0 else ''}"
        print(f"{k:>5} {shown:>10} {'' if spread is None else f'{spread[k]:.1f}':>7}")
    zero = found.zero_point_disagreement
    print(
        f"zero-point energy {found.zero_point_energy:.4f} eV" + ("" if zero is None else f" ± {zero:.4f} eV")
    )
    if imaginary := int((found.modes.wavenumbers < -10).sum()):
        print(f"{imaginary} imaginary: not a minimum")
    print(ALONE if spread is None else WHAT_IT_MEANS)
    write_atomically(output, _table(found).to_csv(index=False, float_format="%.3f"))
    print(f"wrote {output}")


def campaign_frequencies(folder: CampaignFolder) -> list[dict[str, str]]:
    """Rows of a table of normal modes of a campaign's first structure, by its published potential.

    Raises:
        CampaignError: where nothing is published yet, or the relaxation does not end.
    """
    from potential.calculator import Potential

    if not is_finished(folder.potential):
        raise CampaignError("no potential is published yet: frequencies are those of a finished campaign")
    with reading(folder.potential):
        calculator = Potential.load(folder.potential)
    try:
        found = frequencies(calculator, start_of(folder)[0])
    except NotRelaxedError as error:
        raise CampaignError(str(error)) from error
    spread = found.disagreement
    return [
        {
            "mode": str(k),
            "wavenumber (1/cm)": f"{abs(wavenumber):.1f}{'i' if wavenumber < 0 else ''}"
            + ("" if spread is None else f" ± {spread[k]:.1f}"),
        }
        for k, wavenumber in enumerate(found.modes.wavenumbers)
    ]


def _table(found: Frequencies) -> pd.DataFrame:
    columns = {"wavenumber_per_cm": found.modes.wavenumbers}
    if found.disagreement is not None:
        columns["disagreement_per_cm"] = found.disagreement
    columns |= {f"member_{i}_per_cm": row for i, row in enumerate(found.of_members)}
    return pd.DataFrame(columns)


def print_optimum(potential: Path, structure: Path, *, output: Path, **given: Any) -> None:
    """Relax a structure, print energy and bonds, write it as extxyz.

    Raises:
        ConfigError, CampaignError: as `print_frequencies`.
    """
    require_output(output, reads=[potential, structure])
    calculator, frame = potential_for(potential, structure)
    with reading("alnico optimize"):
        settings = Relaxation.model_validate(given)
    try:
        found = optimise(calculator, frame, **settings.model_dump())
    except NotRelaxedError as error:
        raise CampaignError(str(error)) from error
    alone = not found.of_members
    spread = "" if alone else f" ± {found.energy_disagreement:.4f}"
    print(f"{frame.formula}: {found.energy:.4f}{spread} eV, largest force {found.max_force:.4f} eV/Å")
    for bond in found.bonds():
        names = f"{frame.symbols[bond.first]}{bond.first}-{frame.symbols[bond.second]}{bond.second}"
        own = "" if bond.disagreement_A is None else f" ± {bond.disagreement_A:.4f}"
        print(f"  {names:<10} {bond.length_A:.4f}{own} Å")
    print(ALONE if alone else WHAT_IT_MEANS)
    write_frames(output, [frame.moved(found.atoms.positions, origin={"method": "optimize"})])
    print(f"wrote {output}")


def print_scan(
    potential: Path,
    structure: Path,
    *,
    atoms: Sequence[int],
    relax: bool,
    output: Path,
    **given: Any,
) -> None:
    """Scan a coordinate, print a line for each point, write a table and the structures beside it.

    Args:
        output: CSV; the structures go beside it as extxyz.

    Raises:
        ConfigError, CampaignError: as `print_frequencies`.
    """
    beside = output.with_suffix(".extxyz")
    for file in (output, beside):
        require_output(file, reads=[potential, structure])
    calculator, frame = potential_for(potential, structure)
    with reading("alnico scan"):
        settings = ScanSettings.model_validate(given)
        coordinate = Coordinate(atoms=tuple(atoms))
        coordinate.check(frame)
    names = "-".join(f"{frame.symbols[i]}{i}" for i in coordinate.atoms)
    print(f"{coordinate.name} {names} of {frame.formula}, {'relaxed' if relax else 'rigid'}")
    values = np.linspace(settings.start, settings.stop, settings.points).tolist()
    try:
        points = list(scan(calculator, frame, coordinate, values, relax=relax))
    except NotRelaxedError as error:
        raise CampaignError(str(error)) from error
    table = _scan_table(points, coordinate)
    _print_points(points, coordinate)
    print(ALONE if calculator.members == 1 else WHAT_IT_MEANS)
    write_atomically(output, table.to_csv(index=False, float_format="%.6f"))
    frames = [frame.moved(p.atoms.positions, origin={coordinate.name: p.value}) for p in points]
    write_frames(beside, frames)
    print(f"wrote {output} and {beside}")


def _print_points(points: Sequence[Point], coordinate: Coordinate) -> None:
    """Forces in eV/Å, the largest of an atom; outside of training, a point has a star."""
    energies, spread = relative(points)
    titles = (f"{coordinate.name} ({coordinate.unit})", "energy (eV)", "±", "disagreement", "expected error")
    print("{:>13} {:>12} {:>8} {:>13} {:>15} {:>8}".format(*titles, "outside"))
    for i, point in enumerate(points):
        print(
            f"{point.value:13.3f} {energies[i]:12.4f} {_shown(None if spread is None else spread[i], 4):>8} "
            f"{point.max_force_disagreement:13.3f} {_shown(point.max_expected_error, 3):>15} "
            f"{_shown(point.max_extrapolation, 2):>8}{'*' if _is_outside(point) else ''}"
        )
    if count := sum(map(_is_outside, points)):
        of = f"{count} of {len(points)} points"
        print(f"* {of} are outside of training, where members may agree and be wrong")


def _is_outside(point: Point) -> bool:
    return point.max_extrapolation is not None and point.max_extrapolation > OUTSIDE


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _scan_table(points: Sequence[Point], coordinate: Coordinate) -> pd.DataFrame:
    energies, spread = relative(points)
    return pd.DataFrame(
        {
            coordinate.name: [point.value for point in points],
            "energy_eV": energies,
            "disagreement_eV": [None] * len(points) if spread is None else spread,
            "max_force_disagreement_eV_per_A": [point.max_force_disagreement for point in points],
            "expected_error_eV_per_A": [point.max_expected_error for point in points],
            "extrapolation": [point.max_extrapolation for point in points],
        }
    )
