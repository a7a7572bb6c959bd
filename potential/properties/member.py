"""One member of a committee as an ASE calculator of its own."""

from __future__ import annotations

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from potential.calculator import Potential


class Member(Calculator):
    """Energy (eV) and forces (eV/Angstrom) of one member, for what each shall do by itself, such as relax.

    Args:
        potential: the committee.
        number: which member, from 0.

    Raises:
        ValueError: for a member that is not there.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 (ASE's)

    def __init__(self, potential: Potential, number: int) -> None:
        super().__init__()
        if not 0 <= number < potential.members:
            raise ValueError(f"member {number} of {potential.members}; expected 0 to {potential.members - 1}")
        self.potential, self.number = potential, number

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.potential.calculate(self.atoms, properties, system_changes)
        found = self.potential.results
        energy = float(found["member_energies"][self.number])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": found["member_forces"][self.number],
        }


def members_of(potential: Potential) -> list[Member]:
    """All of them; none where there is one only, which has nobody to disagree with."""
    return [Member(potential, number) for number in range(potential.members)] if potential.members > 1 else []
