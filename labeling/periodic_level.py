"""The level of theory of crystals: Kohn-Sham DFT with k-points and Goedecker-Teter-Hutter potentials."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from labeling import periodic_support
from labeling.abilities import Abilities
from labeling.level_key import level_key
from labeling.pyscf_names import check_texts, plain
from labeling.recorded import is_recorded
from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.plausibility import check_frame

# More than 100 along one vector is a mistyped number: the cost grows with their product.
KPoints = Annotated[int, Field(ge=1, le=100)]


class PeriodicLevel(Config):
    """Kohn-Sham DFT of a crystal with PySCF; KRKS for closed shells, KUKS where the frame has spin.

    Energies, forces and stress, per cell as the frame has it. With smearing the energy is the free
    energy E - TS: it is what forces and stress are the derivatives of.

    The number of plane waves follows from `ke_cutoff_hartree` and the cell, so that it jumps between
    cells of different shape; choose the cutoff so high that the jump does not matter.
    """

    can: ClassVar[Abilities] = Abilities(
        stress=True, spin=True, charge=False, threads=True, second_guess=True
    )

    labeler: Literal["pyscf_periodic"] = "pyscf_periodic"
    xc: Annotated[str, Field(description="functional, LDA or GGA: PBE, PBEsol, BLYP, lda,pw")] = "PBE"
    basis: Annotated[str, Field(description="Gaussian basis for GTH pseudopotentials")] = "gth-dzvp-molopt-sr"
    pseudopotential: Annotated[
        str | None, Field(description="GTH pseudopotential, e.g. gth-pbe; null: the one made for xc")
    ] = None
    k_mesh: Annotated[
        tuple[KPoints, KPoints, KPoints],
        Field(description="Monkhorst-Pack mesh with the Gamma point, along the three lattice vectors"),
    ] = (2, 2, 2)
    density_fitting: Annotated[
        str, Field(description="fftdf, the one scheme with forces and stress at k-points in PySCF")
    ] = "fftdf"
    ke_cutoff_hartree: Annotated[
        float,
        Field(ge=1, le=1e5, description="plane waves of the density; raise it if net forces do not vanish"),
    ] = 160.0
    precision: Annotated[
        float,
        Field(ge=1e-14, le=1e-6, description="of lattice sums, Hartree; below 1e-14 rounding decides"),
    ] = 1e-8
    smearing: Annotated[
        Literal["fermi", "gauss"] | None, Field(description="of the occupations, for metals")
    ] = None
    smearing_width_eV: Annotated[
        float, Field(ge=1e-6, le=100, description="k_B T, or the Gaussian's width; 100 eV is a million K")
    ] = 0.1
    conv_tol_hartree: Annotated[
        float, Field(ge=1e-14, le=1e-6, description="energy change at SCF's end; rounding alone makes 1e-14")
    ] = 1e-9
    max_scf_cycles: Annotated[
        int, Field(ge=1, le=10_000, description="SCF cycles on each rung of the ladder; at most 10000")
    ] = 100

    @model_validator(mode="after")
    def _known_to_pyscf(self, info: Any) -> PeriodicLevel:
        texts = {"xc": self.xc, "basis": self.basis, "density_fitting": self.density_fitting}
        check_texts(**texts, pseudopotential=self.pseudopotential)
        if is_recorded(info):
            periodic_support.check_pseudopotential_exists(self.xc, self.pseudopotential)
            return self
        periodic_support.check_density_fitting(self.density_fitting)
        periodic_support.check_functional(self.xc)
        periodic_support.check_basis(self.basis)
        periodic_support.check_pseudopotential(self.xc, self.pseudopotential)
        return self

    @property
    def potential(self) -> str:
        """The pseudopotential, PySCF's name: the one that was given, or the one made for `xc`."""
        return self.pseudopotential or periodic_support.pseudopotential_of(self.xc)

    @property
    def name(self) -> str:
        """As a chemist writes it, e.g. `PBE/gth-dzvp, gth-pbe, k 2x2x2`."""
        smeared = "" if self.smearing is None else f", {self.smearing} {self.smearing_width_eV:g} eV"
        mesh = "x".join(map(str, self.k_mesh))
        return f"{self.xc}/{self.basis}, {self.potential}, k {mesh}{smeared}"

    @property
    def key(self) -> str:
        """12 hex digits; equal for spellings that PySCF reads as the same (PBE, pbe)."""
        content = self.model_dump(mode="json", exclude={"max_scf_cycles"})
        content["xc"] = self.xc.lower().replace(" ", "")
        content["basis"] = plain(self.basis)
        content["pseudopotential"] = plain(self.potential)
        if self.smearing is None:
            del content["smearing_width_eV"]
        return level_key(content)

    def check(self, frame: Frame) -> None:
        """Raise ValueError, naming the value and the fix, if this level cannot label `frame`."""
        if not all(frame.pbc):
            raise ValueError(
                f"{frame} is not periodic in three directions (pbc {frame.pbc}), and {self.name} with "
                "`labeler: pyscf_periodic` is a level for crystals; write `labeler: pyscf` for a molecule, "
                "or put a slab into a cell with vacuum and pbc True in all directions"
            )
        check_frame(frame)
        if frame.charge:
            raise ValueError(
                f"{frame.formula} has charge {frame.charge:+d}: the energy of a charged cell depends on the "
                "background that neutralises it, and so does the stress; write charge: 0"
            )
        if missing := periodic_support.elements_without_pseudopotential(self.potential, frame.symbols):
            raise ValueError(
                f"{self.potential} has no pseudopotential for {', '.join(missing)} in {frame.formula}; "
                "gth-pbe and gth-pade have the most elements, e.g. `xc: PBE`"
            )
        if missing := periodic_support.elements_without_basis(self.basis, frame.symbols):
            has = periodic_support.bases_for(frame.symbols)
            raise ValueError(
                f"basis {self.basis} has no functions for {', '.join(missing)} in {frame.formula}; "
                + (f"write one of {', '.join(has)}" if has else "no GTH basis of PySCF covers this cell")
            )
