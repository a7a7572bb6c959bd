"""What PySCF can compute, asked of PySCF itself, so that a config is refused before money is spent.

PySCF is imported inside the functions: reading a config with another labeler does not load it.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from functools import lru_cache

# Run with RKS and UKS and checked against finite differences of the energy (PySCF 2.14).
TRIED_FUNCTIONALS = (
    *("PBE", "revPBE", "BLYP", "B97-D", "TPSS", "SCAN", "r2SCAN", "B3LYP", "PBE0", "r2SCAN0"),
    *("wB97X", "wB97X-D3BJ", "wB97X-V"),
)

# PySCF 2.14 parses some of these names and fails, or computes something else, when they run; wb97x-d4
# changes its meaning between PySCF's versions.
REFUSED_FUNCTIONALS = {
    "wb97x-d": "xc: wb97x-d3bj",
    "wb97x-d3": "xc: wb97x-d3bj",
    "r2scan-3c": "xc: r2scan, dispersion: d4",
    "b97-3c": "xc: b97-d, dispersion: d3bj",
    "pbeh-3c": "xc: pbe0, dispersion: d3bj",
    "wb97x-3c": "xc: wb97x-d3bj",
    "wb97x-d4": "xc: wb97x-d3bj",
}

# Made for pseudopotentials that molecules here are not given: as an all-electron basis they are garbage.
PSEUDOPOTENTIAL_BASES = ("gth", "ccecp", "bfd")


def check_functional(xc: str, dispersion: str | None) -> None:
    """Raise ValueError, with what to write instead, if PySCF has no gradient for `xc` + `dispersion`."""
    from pyscf.dft import libxc
    from pyscf.scf.dispersion import parse_dft

    name = xc.lower().replace("_", "-")
    if name in REFUSED_FUNCTIONALS:
        raise ValueError(
            f"PySCF cannot compute {xc}; the nearest that works is `{REFUSED_FUNCTIONALS[name]}`"
        )
    try:
        base, _, own_dispersion = parse_dft(xc)
        if not base.strip(" ,"):
            raise KeyError("empty name")
        libxc.parse_xc(base)
        has_gradient = libxc.test_deriv_order(base, 1) and not libxc.needs_laplacian(base)
    except (KeyError, ValueError, NotImplementedError) as error:
        raise ValueError(f"PySCF does not know the functional xc: {xc!r}; {_suggestion(xc)}") from error
    if not has_gradient:
        raise ValueError(f"PySCF has no gradient for xc: {xc!r}; {_suggestion(xc)}")
    if own_dispersion is not None and _separable(name, own_dispersion):
        raise ValueError(
            f"xc: {xc!r} names the dispersion too; write `xc: {base}` and `dispersion: {own_dispersion}`"
        )
    if own_dispersion is not None and dispersion is not None:
        raise ValueError(f"{xc} already holds its dispersion; write `dispersion: null`, not {dispersion!r}")
    if dispersion is None:
        return
    if libxc.is_nlc(base):
        raise ValueError(f"{xc} holds nonlocal (VV10) dispersion already; write `dispersion: null`")
    if name == "wb97x":
        raise ValueError(
            f"wB97X has no {dispersion} parameters of its own (those of that name belong to another fit); "
            "write `xc: wb97x-d3bj` and `dispersion: null`"
        )
    _check_dispersion(xc, dispersion)


def check_basis(basis: str) -> None:
    """Raise ValueError if PySCF has no all-electron or ECP basis of this name."""
    if basis.lower().startswith(PSEUDOPOTENTIAL_BASES):
        raise ValueError(f"basis: {basis!r} belongs to a pseudopotential; write def2-SVP or def2-TZVP")
    if not _functions("H", basis) and not _functions("He", basis):
        raise ValueError(
            f"PySCF does not know basis: {basis!r}; tried ones are def2-SVP, def2-TZVP, 6-31G*, cc-pVDZ"
        )


def elements_without_basis(basis: str, symbols: Iterable[str]) -> list[str]:
    """The elements among `symbols` that `basis` does not cover."""
    return sorted(s for s in set(symbols) if not _functions(s, basis))


@lru_cache(256)
def has_core_potential(symbol: str, basis: str) -> bool:
    """Whether `basis` is made for an effective core potential on this element (def2 beyond Kr)."""
    from pyscf.gto.basis import load_ecp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(load_ecp(basis, symbol))
        except RuntimeError:
            return False


@lru_cache(256)
def _functions(symbol: str, basis: str) -> int:
    from pyscf.gto.basis import load
    from pyscf.lib.exceptions import BasisNotFoundError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return len(load(basis, symbol))
        except (BasisNotFoundError, KeyError):
            return 0


def _separable(name: str, own_dispersion: str) -> bool:
    """Whether the name is just `functional-dispersion`; `wb97x-d3bj` is not, its functional differs."""
    from pyscf.scf.dispersion import parse_dft

    return name.endswith("-" + own_dispersion) and parse_dft(name)[0] == name.removesuffix(
        "-" + own_dispersion
    )


def _check_dispersion(xc: str, dispersion: str) -> None:
    from pyscf import dft, gto

    try:
        model = dft.RKS(gto.M(atom="He", basis="sto-3g", verbose=0))
        model.xc, model.disp = xc, dispersion
        model.get_dispersion()
    except ImportError as error:
        raise ValueError(
            f"dispersion: {dispersion} needs pyscf-dispersion; `pip install pyscf-dispersion`"
        ) from error
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"there are no {dispersion} parameters for xc: {xc!r} ({error}); write `dispersion: null` "
            "or one of d3bj, d3zero, d4 with a functional that has them, e.g. `xc: PBE`"
        ) from error


def _suggestion(xc: str) -> str:
    near = difflib.get_close_matches(xc.lower(), [f.lower() for f in TRIED_FUNCTIONALS], n=3, cutoff=0.5)
    names = [f for f in TRIED_FUNCTIONALS if f.lower() in near] or list(TRIED_FUNCTIONALS)
    return f"write one of {', '.join(names)}"
