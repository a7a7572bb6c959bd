"""What PySCF can compute, asked of PySCF itself, so that a config is refused before money is spent.

PySCF is imported inside the functions: reading a config with another labeler does not load it.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache

from ase.data import chemical_symbols

from labeling.pyscf_names import advice_on_files, is_basis

# What PySCF raises for a text that is none of its functionals.
UNREADABLE = (LookupError, ValueError, NotImplementedError, AssertionError, TypeError, ArithmeticError)

PerElement = str | dict[str, str]
"""One name for all elements, or a name by symbol beside a `default`."""

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
        (hybrid, *_), terms = libxc.parse_xc(base)
        factors = [hybrid, *(factor for _, factor in terms)]
        if not any(factors) or not all(map(math.isfinite, factors)):
            raise KeyError("no functional at all")
        has_gradient = libxc.test_deriv_order(base, 1) and not libxc.needs_laplacian(base)
    except UNREADABLE as error:
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


def for_element(choice: PerElement, symbol: str) -> str:
    """The name that `choice` holds for an element."""
    return choice if isinstance(choice, str) else choice.get(symbol) or choice["default"]


def check_basis(basis: PerElement, field: str = "basis") -> None:
    """Raise ValueError if PySCF has no all-electron or ECP basis of this name, or not for its element."""
    if isinstance(basis, str):
        _check_basis_name(basis, field)
        return
    for symbol, name in basis.items():
        if symbol == "default":
            _check_basis_name(name, field)
            continue
        _check_symbol(symbol, field)
        if not _functions(symbol, name):
            raise ValueError(f"{field}: {name!r} has no functions for {symbol}; try def2-SVP or def2-TZVP")


def check_core_potentials(potentials: Mapping[str, str | None]) -> None:
    """Raise ValueError if PySCF has no effective core potential of this name for its element."""
    for symbol, name in potentials.items():
        _check_symbol(symbol, "ecp")
        if name is not None and not has_core_potential(symbol, name):
            raise ValueError(
                f"ecp: {name!r} is no effective core potential for {symbol} in PySCF; write "
                f"`ecp: null` for the basis set's own, or `ecp: {{{symbol}: def2-SVP}}` (Rb and heavier)"
            )


def elements_without_basis(basis: PerElement, symbols: Iterable[str]) -> list[str]:
    """The elements among `symbols` that `basis` does not cover."""
    return sorted(s for s in set(symbols) if not _functions(s, for_element(basis, s)))


def core_potentials(
    basis: PerElement, ecp: Mapping[str, str | None] | None, symbols: Iterable[str]
) -> dict[str, str]:
    """Element to effective core potential: the basis set's own, unless `ecp` says otherwise."""
    wanted: dict[str, str | None] = {}
    for symbol in set(symbols):
        own = for_element(basis, symbol)
        wanted[symbol] = own if has_core_potential(symbol, own) else None
    wanted |= {symbol: name for symbol, name in (ecp or {}).items() if symbol in wanted}
    return {symbol: name for symbol, name in sorted(wanted.items()) if name is not None}


def has_core_potential(symbol: str, basis: str) -> bool:
    """Whether `basis` is made for an effective core potential on this element (def2 beyond Kr)."""
    return is_basis(basis) and _has_core_potential(symbol, basis)


@lru_cache(256)
def _has_core_potential(symbol: str, basis: str) -> bool:
    from pyscf.gto.basis import load_ecp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(load_ecp(basis, symbol))
        except (RuntimeError, KeyError):
            return False


def _check_basis_name(basis: str, field: str) -> None:
    if basis.lower().startswith(PSEUDOPOTENTIAL_BASES):
        raise ValueError(f"{field}: {basis!r} belongs to a pseudopotential; write def2-SVP or def2-TZVP")
    if not _functions("H", basis) and not _functions("He", basis):
        tried = (
            "def2-SVP, def2-TZVP, 6-31G*, cc-pVDZ" if field == "basis" else "def2-universal-jkfit, weigend"
        )
        raise ValueError(
            f"PySCF does not know {field}: {basis!r}; tried ones are {tried}{advice_on_files(basis)}"
        )


def _check_symbol(symbol: str, field: str) -> None:
    if symbol not in chemical_symbols[1:]:
        raise ValueError(f"{field}: {symbol!r} is no element; write its symbol, e.g. I, or `default`")


def _functions(symbol: str, basis: str) -> int:
    return _known_functions(symbol, basis) if is_basis(basis) else 0


@lru_cache(256)
def _known_functions(symbol: str, basis: str) -> int:
    from pyscf.gto.basis import load
    from pyscf.lib.exceptions import BasisNotFoundError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return len(load(basis, symbol))
        except (BasisNotFoundError, LookupError, AssertionError, FileNotFoundError):
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
