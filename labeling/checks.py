"""What a sound label must satisfy; a label that does not is rejected with its numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from labeling.failure import RejectedByCheckError
from potential.data.config import Config
from potential.data.dataset import Label
from potential.data.frame import Frame

# A million of any of these units is far beyond every molecule, so it switches a check off.
Limit = Annotated[float, Field(gt=0, le=1e6)]
LimitOrNone = Annotated[float, Field(ge=0, le=1e6)]


class CheckLimits(Config):
    """What a label must satisfy; one that does not goes to quarantine. Changing it changes no label.

    No value may be above 1e6, which switches a check off.
    """

    # With grid response the net force of a converged DFT gradient is below 1e-5 eV/Angstrom.
    net_force_eV_per_angstrom: Annotated[
        Limit, Field(description="largest net force on the whole frame; it should vanish")
    ] = 5e-3
    # A grid that keeps its axes when the molecule turns leaves 0.02 (ethanol on level 1, aspirin on 3)
    # or 0.0002 and 0.002 (level 4).
    net_torque_eV: Annotated[
        Limit, Field(description="largest net torque on a molecule; it should vanish")
    ] = 0.3
    # Thermal frames stay below 30; more means atoms inside each other, and would rule the fit.
    max_force_eV_per_angstrom: Annotated[
        Limit, Field(description="largest force on an atom; thermal frames stay below 30")
    ] = 100.0
    spin_contamination: Annotated[
        Limit, Field(description="largest <S^2> - S(S+1); above, higher spins are mixed in")
    ] = 0.3
    min_gap_eV: Annotated[
        LimitOrNone,
        Field(description="smallest HOMO-LUMO gap; it must be positive in any case"),
    ] = 0.0
    # Zero, but for what a coarse grid leaves; the broken symmetry is then lower by next to nothing.
    min_spin_stability_eV: Annotated[
        float,
        Field(
            ge=-100,
            le=100,
            description="smallest curvature of a closed shell's energy as its spins part; below 0 it is not "
            "the ground state (a stretched bond); -100 takes every closed shell",
        ),
    ] = -0.003
    committee_sigmas: Annotated[
        Limit,
        Field(description="an energy so many committee deviations off its mean is computed a second time"),
    ] = 5.0
    committee_floor_meV_per_atom: Annotated[
        LimitOrNone, Field(description="and no energy nearer to the committee's mean than this is")
    ] = 10.0
    state_tolerance_meV: Annotated[
        Limit, Field(description="two SCFs from different guesses that differ by more: another state")
    ] = 1.0


def checked(frame: Frame, label: Label, limits: CheckLimits | None = None) -> Label:
    """The label with its check values in `provenance["checks"]`.

    Checked: shape and finiteness of energy, forces and stress; net force; net torque of a molecule;
    largest force; where the labeler reports them, the HOMO-LUMO gap, <S^2>, and whether a closed shell is
    stable. The <S^2> of a broken symmetry is what it is: up to one for each parted pair.

    Raises:
        RejectedByCheckError: naming every value out of bounds.
    """
    checks, faults = values_and_faults(frame, label, limits or CheckLimits())
    if not checks:
        raise RejectedByCheckError("; ".join(faults))
    label = dataclasses.replace(label, provenance={**label.provenance, "checks": checks})
    if faults:
        raise RejectedByCheckError("; ".join(faults), label)
    return label


def values_and_faults(
    frame: Frame, label: Label, limits: CheckLimits
) -> tuple[dict[str, float | None], list[str]]:
    """The check values of a label, and each that is out of bounds; no values where there are none."""
    if label.forces.shape != (len(frame), 3):
        return {}, [f"forces of shape {label.forces.shape} for {len(frame)} atoms"]
    net, squares = label.forces.sum(axis=0), (label.forces**2).sum(axis=1)
    stress = 0.0 if label.stress is None else float(label.stress.sum())
    if not all(map(math.isfinite, (label.energy, float(squares.sum()), stress))):
        return {}, ["energy, forces or stress are not finite"]

    electrons = _of_electrons(label.provenance, frame.spin)
    checks = {
        "net_force_eV_per_angstrom": math.hypot(*net.tolist()),
        "max_force_eV_per_angstrom": math.sqrt(squares.max()),
        "net_torque_eV": None if any(frame.pbc) else _net_torque(frame, label),
        **electrons,
    }
    above = {
        "net_force_eV_per_angstrom": limits.net_force_eV_per_angstrom,
        "net_torque_eV": limits.net_torque_eV,
        "max_force_eV_per_angstrom": limits.max_force_eV_per_angstrom,
    }
    faults = [
        f"{name} {value:.3g} is above {above[name]:g}"
        for name, value in checks.items()
        if name in above and value is not None and value > above[name]
    ]
    return checks, [*faults, *faults_of_electrons(label.provenance, frame.spin, limits)]


def faults_of_electrons(provenance: Mapping[str, Any], spin: int, limits: CheckLimits) -> list[str]:
    """What is out of bounds of what a label's provenance says of its gap and spins.

    Args:
        spin: unpaired electrons of the frame.
    """
    said = _of_electrons(provenance, spin)
    gap, contamination, stability = said.values()
    faults = list[str]()
    if contamination is not None and contamination > limits.spin_contamination:
        faults.append(f"spin_contamination {contamination:.3g} is above {limits.spin_contamination:g}")
    if gap is not None and gap <= 0:
        faults.append(f"gap_eV {gap:.3g} is not positive: an occupied orbital lies above an empty one")
    elif gap is not None and gap < limits.min_gap_eV:
        faults.append(f"gap_eV {gap:.3g} is below {limits.min_gap_eV:g}: another state is near")
    if stability is not None and stability < limits.min_spin_stability_eV:
        faults.append(
            f"spin_stability_eV {stability:.3g} is below {limits.min_spin_stability_eV:g}: this closed "
            "shell is not the ground state, its energy falls as its spins part (RKS to UKS). Write "
            "`stability: true` under `level`, or the frame's `spin` if it is no singlet; or release it"
        )
    return faults


def _of_electrons(provenance: Mapping[str, Any], spin: int) -> dict[str, float | None]:
    """Gap, <S^2> above that of the spin, and the curvature where spins part; None where nothing is said."""
    square = None if provenance.get("broken_symmetry") else provenance.get("spin_square")
    return {
        "gap_eV": provenance.get("gap_eV"),
        "spin_contamination": None if square is None else square - spin / 2 * (spin / 2 + 1),
        "spin_stability_eV": provenance.get("spin_stability_eV"),
    }


def in_one_state(label: Label, second: Label, limits: CheckLimits) -> Label:
    """`label`, confirmed by `second`, which was computed from another guess.

    Raises:
        RejectedByCheckError: if the energies differ, so that one of them belongs to an excited state; it
            holds the lower one.
    """
    flip_eV = second.energy - label.energy
    if abs(flip_eV) * 1000 > limits.state_tolerance_meV:
        raise RejectedByCheckError(
            f"state flip: another SCF guess leads to an energy {flip_eV:+.4f} eV from this one's, more than "
            f"{limits.state_tolerance_meV:g} meV apart; the numbers kept are those of the lower state",
            min(label, second, key=lambda found: found.energy),
        )
    checks = {**label.provenance.get("checks", {}), "second_guess_eV": flip_eV}
    return dataclasses.replace(label, provenance={**label.provenance, "checks": checks})


def _net_torque(frame: Frame, label: Label) -> float:
    arms = frame.positions - frame.positions.sum(axis=0) / len(frame)
    # the antisymmetric part of this is the sum of all r x F
    (_, xy, xz), (yx, _, yz), (zx, zy, _) = (arms.T @ label.forces).tolist()
    return math.hypot(yz - zy, zx - xz, xy - yx)
