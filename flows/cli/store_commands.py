"""`alnico quarantine` and `alnico labels`: what can be done with a label store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

CAMPAIGNS, TOOLS = Group("Campaigns", sort_key=0), Group("Single steps", sort_key=1)

Stored = Annotated[
    str,
    Parameter(
        help="a campaign's YAML file or folder, or a label store: labels.db, postgresql://user@host/name"
    ),
]
Ids = Annotated[list[str], Parameter(help="frame ids, or their first digits, or `all`", negative=())]
File = Annotated[Path, Parameter(help="extxyz with units, level of theory and provenance of each label")]

quarantine = App(
    name="quarantine",
    help="Frames that could not be labelled, and what to do with them.",
    group=CAMPAIGNS,
)
labels = App(name="labels", help="Look into a label store; take labels out of it and in.", group=CAMPAIGNS)


@quarantine.command(name="list")
def quarantine_list(source: Stored) -> None:
    """Show the frames in quarantine, each with what was wrong, its numbers and advice."""
    from flows.cli.quarantine import print_quarantine

    print_quarantine(source)


@quarantine.command(name="release")
def quarantine_release(source: Stored, frames: Ids) -> None:
    """Take the numbers of frames that a check rejected as labels all the same."""
    from flows.cli.quarantine import release

    release(source, frames)


@quarantine.command(name="relabel")
def quarantine_relabel(source: Stored, frames: Ids) -> None:
    """Forget that labelling these frames failed, so that the next run tries again."""
    from flows.cli.quarantine import relabel

    relabel(source, frames)


@labels.command(name="stats")
def labels_stats(source: Stored) -> None:
    """Labels, failures and seconds spent, by level of theory."""
    from flows.cli.labels import print_statistics

    print_statistics(source)


@labels.command(name="export")
def labels_export(
    source: Stored,
    file: File,
    *,
    level: Annotated[str | None, Parameter(help="key of the level of theory, if there are several")] = None,
) -> None:
    """Write the labels of one level of theory to a file."""
    from flows.cli.labels import export_to

    export_to(source, file, level)


@labels.command(name="import")
def labels_import(
    source: Stored,
    file: Annotated[Path, Parameter(help="what `labels export` wrote; with --vouch any labelled structures")],
    *,
    any_composition: Annotated[
        bool, Parameter(help="into a campaign: take what it is not about, too", negative=())
    ] = False,
    vouch: Annotated[
        str | None,
        Parameter(help="the labels are another program's, and of this level of theory, on your word"),
    ] = None,
    energy: Annotated[
        str | None,
        Parameter(help="with --vouch: the file's name for the energy, if not energy (or free_energy)"),
    ] = None,
    forces: Annotated[str, Parameter(help="its name for the forces")] = "forces",
    stress: Annotated[str | None, Parameter(help="its name for the stress or virial")] = None,
    charge: Annotated[int | None, Parameter(help="of all structures; default: what the file says")] = None,
    spin: Annotated[int | None, Parameter(help="unpaired electrons of all structures")] = None,
    unchecked: Annotated[
        bool, Parameter(help="with --vouch: take labels that fail a check", negative=())
    ] = False,
    rest_failed: Annotated[
        bool, Parameter(help="give up the frames in to_label.extxyz that have no label", negative=())
    ] = False,
) -> None:
    """Take in the labels of a file; those of another level, composition or charge are refused."""
    if vouch is None:
        from flows.cli.labels import import_from

        import_from(source, file, any_composition=any_composition)
        return
    from flows.cli.foreign import import_vouched
    from potential.data.label_keys import LabelKeys

    keys = LabelKeys(energy=energy, forces=forces, stress=stress)
    import_vouched(
        source,
        file,
        vouch,
        keys=keys,
        charge=charge,
        spin=spin,
        unchecked=unchecked,
        any_composition=any_composition,
        rest_failed=rest_failed,
    )


@labels.command(name="verify")
def labels_verify(source: Stored) -> None:
    """Check every label anew: content, digest, level of theory, finiteness, net force and the rest."""
    from flows.cli.labels import verify_store

    verify_store(source)


@labels.command(name="upgrade")
def labels_upgrade(source: Stored) -> None:
    """Give labels of an older version the digest that they lack, after checking them."""
    from flows.cli.labels import upgrade_store

    upgrade_store(source)


@labels.command(name="compare")
def labels_compare(
    file: Annotated[Path, Parameter(help="labelled structures, e.g. what `alnico label` wrote")],
    reference: Annotated[Path, Parameter(help="the same structures with the labels to compare with")],
    *,
    energy: Annotated[
        str | None, Parameter(help="the reference's name for the energy, if not energy (or free_energy)")
    ] = None,
    forces: Annotated[str, Parameter(help="the reference's name for the forces")] = "forces",
) -> None:
    """How far labels are from others of the same structures, e.g. published ones."""
    from flows.cli.labels import print_agreement

    print_agreement(file, reference, energy=energy, forces=forces)
