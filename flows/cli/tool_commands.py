"""Commands on files, without a campaign around them. Heavy imports wait until a command needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def study(source: Annotated[Path, Parameter(help="the study's YAML file")]) -> None:
    """Learning curves of strategies and models on a labelled pool; a stopped study goes on."""
    from flows.cli.study import study_and_tell

    study_and_tell(source)


def label(
    structures: Annotated[Path, Parameter(help="file that ASE or pymatgen reads")],
    *,
    campaign: Annotated[Path | None, Parameter(help="take level of theory and store from this one")] = None,
    level: Annotated[Path | None, Parameter(help="YAML file with the level, as in campaign.yaml")] = None,
    xc: Annotated[str, Parameter(help="without campaign and level: functional")] = "PBE",
    basis: Annotated[str, Parameter(help="without campaign and level: basis set")] = "def2-SVP",
    dispersion: Annotated[str | None, Parameter(help="without them: d3bj, d3zero or d4")] = None,
    grid_level: Annotated[int, Parameter(help="without them: PySCF's integration grid, 1 to 9")] = 3,
    store: Annotated[str, Parameter(help="without a campaign: label store, file or URL")] = "labels.db",
    workers: Annotated[int | None, Parameter(help="labels at once; default: one per core")] = None,
    output: Annotated[Path, Parameter(help="extxyz with the labelled frames")] = Path("labelled.extxyz"),
    charge: Annotated[int | None, Parameter(help="of all; default: what the file says, else 0")] = None,
    spin: Annotated[int | None, Parameter(help="unpaired electrons; default: the file's, or fewest")] = None,
    any_composition: Annotated[
        bool, Parameter(help="with a campaign: take what it is not about, too", negative=())
    ] = False,
) -> None:
    """Label the structures of a file; labels that the store has are not computed again."""
    from flows.cli.label import label_file

    label_file(
        structures,
        campaign=campaign,
        level_file=level,
        given={"xc": xc, "basis": basis, "dispersion": dispersion, "grid_level": grid_level},
        store=store,
        workers=workers,
        output=output,
        charge=charge,
        spin=spin,
        any_composition=any_composition,
    )


def train(
    data: Annotated[Path, Parameter(help="labelled structures, e.g. extxyz with energy and forces")],
    *,
    output: Annotated[Path, Parameter(help="folder of the potential")] = Path("potential"),
    campaign: Annotated[Path | None, Parameter(help="take model and training settings from this one")] = None,
    committee_size: Annotated[int | None, Parameter(help="members of the committee")] = None,
    max_seconds: Annotated[float | None, Parameter(help="stop after this time, s")] = None,
    max_epochs: Annotated[int | None, Parameter(help="stop after so many epochs")] = None,
    seed: int = 0,
    pretrain: Annotated[
        bool, Parameter(help="teach it first, with GFN2-xTB or as the campaign says", negative=())
    ] = False,
    mixed_charges: Annotated[
        bool, Parameter(help="take several charges or spins of one composition", negative=())
    ] = False,
    energy: Annotated[
        str | None, Parameter(help="the file's name for the energy, if not energy (or free_energy)")
    ] = None,
    forces: Annotated[str, Parameter(help="the file's name for the forces")] = "forces",
    stress: Annotated[str | None, Parameter(help="its name for the stress or virial")] = None,
) -> None:
    """Train a committee on a labelled file; a killed training goes on when started again."""
    from flows.cli.single_steps import train_on_file

    changes: dict[str, dict[str, object]] = {
        "model": {"committee_size": committee_size},
        "training": {
            "max_seconds": max_seconds,
            "max_epochs": max_epochs,
            "mixed_charges": mixed_charges or None,
        },
    }
    names = {"energy": energy, "forces": forces, "stress": stress}
    train_on_file(
        data, output=output, campaign=campaign, changes=changes, seed=seed, names=names, pretrain=pretrain
    )


def pretrain(
    structures: Annotated[Path, Parameter(help="molecules to be taught, in any file of structures")],
    *,
    output: Annotated[Path, Parameter(help="folder for frames, labels and the potential")] = Path(
        "pretrained"
    ),
    campaign: Annotated[Path | None, Parameter(help="take model, training and teacher from it")] = None,
    frames: Annotated[int | None, Parameter(help="frames of the teacher, in all")] = None,
    max_steps: Annotated[int | None, Parameter(help="gradient steps on them")] = None,
    seed: int = 0,
) -> None:
    """Teach a committee a cheap method (GFN2-xTB), for many campaigns to begin from; goes on after a kill."""
    from flows.cli.pretrain import pretrain_on_file

    pretrain_on_file(
        structures, output=output, campaign=campaign, seed=seed, frames=frames, max_steps=max_steps
    )


def md(
    potential: Annotated[Path, Parameter(help="folder of a potential")],
    structure: Annotated[Path, Parameter(help="file with the structure to start from (its last)")],
    *,
    temperature_K: Annotated[float, Parameter(name="--temperature-K")] = 300.0,
    steps: int = 1000,
    timestep_fs: float = 0.5,
    friction_per_fs: float = 0.01,
    every: Annotated[int, Parameter(help="steps between the lines and frames that are written")] = 50,
    output: Annotated[Path, Parameter(help="trajectory, extxyz")] = Path("md.extxyz"),
    stop_at: Annotated[
        float | None,
        Parameter(help="stop where an atom is so many times as far from training as usual"),
    ] = None,
    seed: int = 0,
) -> None:
    """Molecular dynamics with a potential (Langevin, ASE), its disagreement printed along the way."""
    from flows.cli.md import run_md

    run_md(
        potential,
        structure,
        temperature_K=temperature_K,
        steps=steps,
        timestep_fs=timestep_fs,
        friction_per_fs=friction_per_fs,
        every=every,
        output=output,
        seed=seed,
        stop_at=stop_at,
    )


def evaluate(
    potential: Annotated[Path, Parameter(help="folder of a potential; or a campaign, YAML file or folder")],
    data: Annotated[
        Path | None,
        Parameter(
            help="labelled structures, e.g. extxyz with energy and forces; of a campaign its frozen tests"
        ),
    ] = None,
    *,
    energy: Annotated[
        str | None, Parameter(help="the file's name for the energy, if not energy (or free_energy)")
    ] = None,
    forces: Annotated[str, Parameter(help="the file's name for the forces")] = "forces",
    stress: Annotated[str | None, Parameter(help="its name for the stress or virial")] = None,
    output: Annotated[Path | None, Parameter(help="folder for tables per atom and per frame")] = None,
) -> None:
    """Errors of a potential on labelled structures, and how well its disagreement tells them."""
    from flows.cli.evaluate import evaluate_campaign, evaluate_on_file

    if data is None:
        evaluate_campaign(potential, output=output)
        return
    names = {"energy": energy, "forces": forces, "stress": stress}
    evaluate_on_file(potential, data, names=names, output=output)


OfPotential = Annotated[Path, Parameter(help="folder of a potential")]
OfStructure = Annotated[Path, Parameter(help="file with the structure (its last)")]
MaxForce = Annotated[float, Parameter(help="eV/Å, to which structures are relaxed")]


def freq(
    potential: OfPotential,
    structure: OfStructure,
    *,
    max_force: MaxForce = 0.002,
    max_steps: int = 1000,
    output: Annotated[Path, Parameter(help="table of the modes, CSV")] = Path("frequencies.csv"),
) -> None:
    """Harmonic frequencies at the nearest minimum, with the spread of the members."""
    from flows.cli.properties import print_frequencies

    print_frequencies(potential, structure, output=output, max_force=max_force, max_steps=max_steps)


def optimize(
    potential: OfPotential,
    structure: OfStructure,
    *,
    max_force: MaxForce = 0.005,
    max_steps: int = 1000,
    output: Annotated[Path, Parameter(help="the relaxed structure, extxyz")] = Path("optimized.extxyz"),
) -> None:
    """Relax a structure; energy and bond lengths with the spread of the members."""
    from flows.cli.properties import print_optimum

    print_optimum(potential, structure, output=output, max_force=max_force, max_steps=max_steps)


def scan(
    potential: OfPotential,
    structure: OfStructure,
    *,
    atoms: Annotated[
        list[int],
        Parameter(
            help="from 0: two for a distance, three for an angle, four for a dihedral", consume_multiple=True
        ),
    ],
    start: Annotated[float, Parameter(name="--from", help="first value, Å or degrees")],
    stop: Annotated[float, Parameter(name="--to", help="last value")],
    points: Annotated[int, Parameter(help="how many values")] = 21,
    relax: Annotated[bool, Parameter(help="relax all else at each point", negative=())] = False,
    output: Annotated[Path, Parameter(help="table, CSV; structures go beside it")] = Path("scan.csv"),
) -> None:
    """Energies along a distance, an angle or a dihedral, with the spread of the members."""
    from flows.cli.properties import print_scan

    print_scan(
        potential,
        structure,
        atoms=atoms,
        relax=relax,
        output=output,
        start=start,
        stop=stop,
        points=points,
    )


COMMANDS: tuple[Callable[..., None], ...] = (
    study,
    label,
    train,
    pretrain,
    md,
    evaluate,
    freq,
    optimize,
    scan,
)
