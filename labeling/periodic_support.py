"""What PySCF can compute for crystals, so that a config is refused before money is spent.

At k-points PySCF 2.14 has forces and stress with FFTDF, for LDA and GGA, with GTH pseudopotentials. It
has no forces for meta-GGA, no stress for hybrids, and neither with Gaussian density fitting; its
multigrid code has forces at the Gamma point only.

PySCF is imported inside the functions: reading a config with another labeler does not load it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache

from labeling import pyscf_support
from labeling.pyscf_names import (
    advice_on_files,
    is_crystal_basis,
    is_pseudopotential,
    plain,
)

PSEUDOPOTENTIALS = {
    "pbe": "gth-pbe",
    "pbe,pbe": "gth-pbe",
    "revpbe": "gth-pbe",
    "pbesol": "gth-pbesol",
    "blyp": "gth-blyp",
    "b88,lyp": "gth-blyp",
    "bp86": "gth-bp",
    "olyp": "gth-olyp",
    "lda,vwn": "gth-pade",
    "lda,pw": "gth-pade",
    "lda,pz": "gth-pade",
    "svwn": "gth-pade",
}
PSEUDOPOTENTIAL_NAMES = sorted({"gth-pade", *PSEUDOPOTENTIALS.values()})
BASES = (
    *("gth-szv", "gth-dzvp", "gth-tzvp", "gth-tzv2p", "gth-szv-molopt-sr", "gth-dzvp-molopt-sr"),
    *("gth-szv-molopt", "gth-dzvp-molopt", "gth-tzvp-molopt", "gth-tzv2p-molopt"),
)


def check_density_fitting(scheme: str) -> None:
    """Raise ValueError unless PySCF has forces and stress with it."""
    reasons = {
        "gdf": "Gaussian density fitting (gdf) has neither forces nor stress",
        "mdf": "mixed density fitting (mdf) has neither forces nor stress",
        "rsdf": "range-separated density fitting (rsdf) has neither forces nor stress",
        "multigrid": "multigrid has forces at the Gamma point only",
    }
    if scheme.lower() != "fftdf":
        reason = reasons.get(scheme.lower(), f"density_fitting: {scheme!r} is unknown")
        raise ValueError(f"{reason} in PySCF; write `density_fitting: fftdf`")


def check_functional(xc: str) -> None:
    """Raise ValueError, with what to write instead, unless forces and stress exist for `xc`."""
    from pyscf.dft import libxc
    from pyscf.scf.dispersion import parse_dft

    try:
        base, _, dispersion = parse_dft(xc)
    except pyscf_support.UNREADABLE:
        base, dispersion = xc, None
    if dispersion is not None:
        raise ValueError(f"crystals are labelled without dispersion, got xc: {xc!r}; write `xc: {base}`")
    pyscf_support.check_functional(xc, None)
    if libxc.is_hybrid_xc(xc):
        raise ValueError(f"PySCF has no stress for hybrid functionals such as {xc}; write `xc: PBE`")
    if libxc.is_meta_gga(xc):
        raise ValueError(f"PySCF has no forces of crystals for meta-GGA such as {xc}; write `xc: PBE`")
    if libxc.is_nlc(xc):
        raise ValueError(
            f"PySCF has no forces of crystals for VV10 functionals such as {xc}; write `xc: PBE`"
        )


def check_basis(basis: str) -> None:
    """Raise ValueError if PySCF has no basis for GTH pseudopotentials of this name."""
    if not is_crystal_basis(basis):
        raise ValueError(
            f"basis: {basis!r} is no basis for GTH potentials; write one of {', '.join(BASES)}"
            f"{advice_on_files(basis)}"
        )


def check_pseudopotential(xc: str, pseudopotential: str | None) -> None:
    """Raise ValueError if PySCF does not know it, or where none is named and none made for `xc`."""
    check_pseudopotential_exists(xc, pseudopotential)
    known = ", ".join(PSEUDOPOTENTIAL_NAMES)
    if pseudopotential is None:
        return
    if not is_pseudopotential(pseudopotential) or "hf" in plain(pseudopotential):
        raise ValueError(
            f"pseudopotential: {pseudopotential!r} is unknown; write one of {known}"
            f"{advice_on_files(pseudopotential)}"
        )
    if (made := PSEUDOPOTENTIALS.get(plain_xc(xc))) and plain(made) != _canonical(pseudopotential):
        raise ValueError(
            f"pseudopotential: {pseudopotential} was not made for xc: {xc}; write `pseudopotential: {made}`"
        )


def check_pseudopotential_exists(xc: str, pseudopotential: str | None) -> None:
    """Raise ValueError where none is named and none made for `xc`; asks nothing of PySCF."""
    if pseudopotential is None and plain_xc(xc) not in PSEUDOPOTENTIALS:
        raise ValueError(
            f"no pseudopotential was made for xc: {xc!r}; name one of {', '.join(PSEUDOPOTENTIAL_NAMES)}"
        )


def pseudopotential_of(xc: str) -> str:
    """The GTH pseudopotential made for `xc`; KeyError if there is none."""
    return PSEUDOPOTENTIALS[plain_xc(xc)]


def elements_without_basis(basis: str, symbols: Iterable[str]) -> list[str]:
    """The elements among `symbols` that `basis` does not cover."""
    return sorted(s for s in set(symbols) if not _has_basis(s, basis))


def elements_without_pseudopotential(pseudopotential: str, symbols: Iterable[str]) -> list[str]:
    """The elements among `symbols` that have no such pseudopotential."""
    return sorted(s for s in set(symbols) if not _has_pseudopotential(s, pseudopotential))


def bases_for(symbols: Iterable[str]) -> list[str]:
    """The bases that cover all `symbols`."""
    return [basis for basis in BASES if not elements_without_basis(basis, symbols)]


def plain_xc(xc: str) -> str:
    """A functional as PySCF compares the names."""
    return xc.lower().replace(" ", "")


def _canonical(pseudopotential: str) -> str:
    return "gthpade" if plain(pseudopotential) == "gthlda" else plain(pseudopotential)


def _has_basis(symbol: str, basis: str) -> bool:
    from pyscf.gto.basis import load

    return is_crystal_basis(basis) and _found(load, basis, symbol)


def _has_pseudopotential(symbol: str, pseudopotential: str) -> bool:
    from pyscf.gto.basis import load_pseudo

    return is_pseudopotential(pseudopotential) and _found(load_pseudo, pseudopotential, symbol)


@lru_cache(512)
def _found(load: object, name: str, symbol: str) -> bool:
    from pyscf.lib.exceptions import BasisNotFoundError

    assert callable(load)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(load(name, symbol))
        except (BasisNotFoundError, KeyError):
            return False
