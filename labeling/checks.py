"""What a sound label must satisfy; a label that does not is rejected with its numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from potential.dataset import Label
from potential.frame import Frame

# With grid response the net force of a converged DFT gradient is below 1e-5 eV/Angstrom.
NET_FORCE_LIMIT_EV_PER_ANGSTROM = 5e-3
# Thermal frames stay below 30; such a force means atoms inside each other, and would rule the fit.
FORCE_LIMIT_EV_PER_ANGSTROM = 100.0
# <S^2> above S(S+1): the state is a mixture with higher spins.
SPIN_CONTAMINATION_LIMIT = 0.3


class RejectedByCheckError(Exception):
    """The label was computed but is not sound; the message holds the values and the limits."""


def checked(frame: Frame, label: Label) -> Label:
    """The label with its check values in `provenance["checks"]`.

    Checked: shape and finiteness of energy, forces and stress; net force; largest force; where the
    labeler reports them, the HOMO-LUMO gap (positive) and <S^2>. The net torque of a molecule is
    recorded but has no limit: a DFT grid fixed in space does not let it vanish.

    Raises:
        RejectedByCheckError: naming every value out of bounds.
    """
    if label.forces.shape != (len(frame), 3):
        raise RejectedByCheckError(f"forces of shape {label.forces.shape} for {len(frame)} atoms")
    stress = np.zeros(1) if label.stress is None else label.stress
    if not (np.isfinite(label.energy) and np.isfinite(label.forces).all() and np.isfinite(stress).all()):
        raise RejectedByCheckError("energy, forces or stress are not finite")

    gap, spin_square = label.provenance.get("gap_eV"), label.provenance.get("spin_square")
    spin = frame.spin / 2
    checks = {
        "net_force_eV_per_angstrom": float(np.linalg.norm(label.forces.sum(axis=0))),
        "max_force_eV_per_angstrom": float(np.linalg.norm(label.forces, axis=1).max()),
        "net_torque_eV": None if any(frame.pbc) else _net_torque(frame, label),
        "gap_eV": gap,
        "spin_contamination": None if spin_square is None else spin_square - spin * (spin + 1),
    }
    limits = {
        "net_force_eV_per_angstrom": NET_FORCE_LIMIT_EV_PER_ANGSTROM,
        "max_force_eV_per_angstrom": FORCE_LIMIT_EV_PER_ANGSTROM,
        "spin_contamination": SPIN_CONTAMINATION_LIMIT,
    }
    faults = [
        f"{name} {value:.3g} is above {limits[name]:g}"
        for name, value in checks.items()
        if name in limits and value is not None and value > limits[name]
    ]
    if gap is not None and gap <= 0:
        faults.append(f"gap_eV {gap:.3g} is not positive: an occupied orbital lies above an empty one")
    if faults:
        raise RejectedByCheckError("; ".join(faults))
    return dataclasses.replace(label, provenance={**label.provenance, "checks": checks})


def _net_torque(frame: Frame, label: Label) -> float:
    arms = frame.positions - frame.positions.mean(axis=0)
    return float(np.linalg.norm(np.cross(arms, label.forces).sum(axis=0)))
