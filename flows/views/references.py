"""What to cite for a campaign: the entries of `references.bib` for what it used, and no others.

A functional that is not in the table is cited as libxc says; a basis set that is not is named in a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from exploration.dynamics.scheme import Ensemble
from exploration.frame_sources import EnergyContour, NormalModes, XtbMD
from exploration.strategies import Strategy
from flows.settings.campaign_config import CampaignConfig
from labeling.ase_level import AseLevel
from labeling.foreign_level import ForeignLevel
from labeling.functionals import sources_of
from labeling.level import LennardJonesLevel, LevelOfTheory, PySCFLevel
from labeling.periodic_level import PeriodicLevel

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
ALWAYS = ("batzner2022nequip", "kingma2015adam", "geiger2022e3nn", "paszke2019pytorch", "larsen2017atomic")
"""Model, optimiser, and the packages that they and the structures rest on."""
COMMITTEE = ("seung1992query", "schran2020committee")
CALIBRATION = ("imbalzano2021uncertainty", "lei2018distribution")
BOOTSTRAP = ("efron1993introduction",)
PRODUCTS = ("batatia2022mace",)
MUON = ("jordan2024muon", "liu2025muon")
BAND = ("zhang2019active",)
FARNESS = ("janet2019quantitative",)
BIAS = ("vanderoord2023hyperactive", "zaverkin2024uncertainty")
XTB = ("bannwarth2019gfn2", "tblite")
MODES = ("smith2017ani",)
CONTOURS = ("waters2021contour",)
PYSCF = ("sun2020recent", "sun2015libcint", "lehtola2018recent")
STRATEGIES: Mapping[str, tuple[str, ...]] = {
    "uncertain_and_diverse": ("gonzalez1985clustering",),
    "uncertain": (),
    "lcmd": ("holzmueller2023framework",),
    "kmeans_pp": ("arthur2007kmeans", "ash2020deep"),
    "point_of_failure": (),
    "diverse": ("gonzalez1985clustering",),
    "random": (),
}
"""Beside the committee's own; those without are described by their name."""
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "nve": ("swope1982computer",),
    "langevin": ("leimkuhler2013rational",),
    "npt": ("bernetti2020pressure", "leimkuhler2013rational"),
}
FUNCTIONALS: Mapping[str, tuple[str, ...]] = {
    "pbe": ("perdew1996generalized",),
    "pbe0": ("adamo1999toward",),
    "r2scan": ("furness2020accurate",),
    "wb97x-d3bj": ("mardirossian2014wb97xv", "najibi2018nonlocal"),
    "wb97x-v": ("mardirossian2014wb97xv",),
    "b3lyp": ("stephens1994ab",),
    "lda,pw": ("dirac1930note", "perdew1992accurate"),
}
D3, D3BJ = ("grimme2010consistent",), ("grimme2010consistent", "grimme2011effect")
DISPERSIONS: Mapping[str, tuple[str, ...]] = {
    "d3zero": D3,
    "d3bj": D3BJ,
    "d4": ("caldeweyher2017extension", "caldeweyher2019generally"),
}
COMBINATIONS: Mapping[tuple[str, str], tuple[str, ...]] = {("r2scan", "d4"): ("ehlert2021r2scan",)}
"""Papers on a functional with its dispersion correction."""
BASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("def2.*jkfit", ("weigend2008hartree",)),
    ("def2.*", ("weigend2005balanced",)),
    ("aug-?cc-?p.*", ("dunning1989gaussian", "kendall1992electron")),
    ("cc-?p.*", ("dunning1989gaussian",)),
    ("6-?31.*", ("hehre1972self", "hariharan1973influence")),
    ("sto-?3g", ("hehre1969self",)),
    ("gth.*molopt.*", ("vandevondele2007gaussian",)),
    ("gth.*", ("vandevondele2005quickstep",)),
)
"""By how PySCF's names begin; the first that fits."""
PSEUDOPOTENTIALS = ("goedecker1996separable", "hartwigsen1998relativistic")
K_POINTS = ("monkhorst1976special",)
SOLVENTS: Mapping[str, tuple[str, ...]] = {
    "SMD": ("marenich2009universal", "cances1997new"),
    "IEF-PCM": ("cances1997new",),
    "C-PCM": ("barone1998quantum",),
    "COSMO": ("klamt1993cosmo",),
    "ddCOSMO": ("cances2013domain", "klamt1993cosmo"),
}
CALCULATORS: Mapping[str, tuple[str, ...]] = {
    "ase.calculators.emt.EMT": ("jacobsen1996semiempirical",),
    "ase.calculators.lj.LennardJones": ("jones1924determination",),
    "tblite.ase.TBLite": ("tblite",),
}
XTB_METHODS: Mapping[str, tuple[str, ...]] = {
    "GFN2-xTB": ("bannwarth2019gfn2",),
    "GFN1-xTB": ("grimme2017robust",),
    "IPEA1-xTB": ("asgeirsson2017accurate",),
}


@dataclass(frozen=True, kw_only=True)
class References:
    """What to cite.

    Attributes:
        keys: of the entries in `references.bib`, each once.
        others: further entries, by key.
        unknown: what no entry is known for, in words.
    """

    keys: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, *parts: References | Iterable[str]) -> References:
        """All of them together, in this order."""
        found = [part if isinstance(part, References) else cls(keys=tuple(part)) for part in parts]
        return cls(
            keys=tuple(dict.fromkeys(key for part in found for key in part.keys)),
            others={key: entry for part in found for key, entry in part.others.items()},
            unknown=tuple(dict.fromkeys(what for part in found for what in part.unknown)),
        )

    def cite(self) -> str:
        r"""`\cite{...}` of all."""
        return cite(*self.keys, *self.others)

    def bibtex(self) -> str:
        """The entries."""
        table = entries()
        return "\n\n".join([*(table[key] for key in self.keys), *self.others.values()]) + "\n"


def cite(*keys: str) -> str:
    r"""`\cite{...}`; "" of nothing."""
    return r"\cite{" + ",".join(keys) + "}" if keys else ""


@cache
def entries() -> Mapping[str, str]:
    """`references.bib`, by key."""
    text = BIBLIOGRAPHY.read_text(encoding="utf-8")
    return {found[2]: found[1] for found in re.finditer(r"(?ms)^(@\w+\{(\S+),\n.*?^\})$", text)}


def references(config: CampaignConfig, *, pretrained: AseLevel | None) -> References:
    """Of all that a campaign used.

    Args:
        pretrained: the teacher that the committee learned from first, if any.
    """
    committee = COMMITTEE if config.model.committee_size > 1 else ()
    sources = [config.initial.source, config.test.source]
    sources += [] if config.test_broad is None else [config.test_broad.source]
    return References.of(
        ALWAYS[:1],
        committee,
        *(of_strategy(arm) for arm in (config.selection, *config.arms.values())),
        () if config.selection.strategy in ("diverse", "random") else BAND,
        () if config.exploration.max_extrapolation is None else FARNESS,
        of_scheme(config.exploration.ensemble),
        BIAS if config.exploration.bias is not None else (),
        XTB if any(isinstance(source, XtbMD | NormalModes | EnergyContour) for source in sources) else (),
        MODES if any(isinstance(source, NormalModes) for source in sources) else (),
        CONTOURS if any(isinstance(source, EnergyContour) for source in sources) else (),
        () if pretrained is None else of_level(pretrained),
        of_level(config.level),
        CALIBRATION if committee else (),
        BOOTSTRAP,
        PRODUCTS if config.model.correlation > 1 else (),
        MUON if config.training.optimizer == "muon" else (),
        ALWAYS[1:],
    )


def of_strategy(strategy: Strategy) -> References:
    """Of a way to select."""
    return _known(STRATEGIES, strategy.strategy, "strategy")


def of_scheme(scheme: Ensemble) -> References:
    """Of molecular dynamics."""
    return _known(SCHEMES, scheme.scheme, "dynamics")


def of_level(level: LevelOfTheory) -> References:
    """Of a level of theory, with the software that computes it."""
    match level:
        case PySCFLevel():
            return References.of(
                of_functional(level.xc, level.dispersion),
                *(of_basis(name) for name in _names(level.basis)),
                *(of_basis(name) for name in _names(level.auxbasis)),
                () if level.solvent is None else SOLVENTS[level.solvent.model],
                PYSCF,
            )
        case PeriodicLevel():
            mesh = () if max(level.k_mesh) == 1 else K_POINTS
            parts = (of_functional(level.xc, None), of_basis(level.basis), PSEUDOPOTENTIALS, mesh, PYSCF)
            return References.of(*parts)
        case LennardJonesLevel():
            return References(keys=("jones1924determination",))
        case AseLevel():
            method = XTB_METHODS.get(str(level.complete.get("method")), ())
            return References.of(method, _known(CALCULATORS, level.calculator, "calculator"))
        case ForeignLevel():  # of another program: a person says what to cite
            return References(unknown=(f"level of theory {level.name}",))


def of_functional(xc: str, dispersion: str | None) -> References:
    """Of a functional with its dispersion correction, which may be a part of its name."""
    name = xc.lower().replace("_", "-")
    suffix = dispersion or next((d for d in DISPERSIONS if name.endswith(f"-{d}")), None)
    keys = () if suffix is None else DISPERSIONS[suffix] + COMBINATIONS.get((name, suffix), ())
    if name in FUNCTIONALS:
        return References(keys=FUNCTIONALS[name] + keys)
    found, key = sources_of(xc), re.sub("[^a-z0-9]+", "-", f"libxc-{name}")
    others = {f"{key}-{i}": _plain(f"{key}-{i}", text) for i, text in enumerate(found, start=1)}
    return References(keys=keys, others=others, unknown=() if found else (f"functional {xc}",))


def of_basis(name: str) -> References:
    """Of a basis set."""
    for pattern, keys in BASES:
        if re.fullmatch(pattern, name.lower()):
            return References(keys=keys)
    return References(unknown=(f"basis set {name}",))


def _known(table: Mapping[str, tuple[str, ...]], name: str, what: str) -> References:
    """Of an entry of a table; a remark where somebody has added something and not said what to cite."""
    return References(keys=table[name]) if name in table else References(unknown=(f"{what} {name}",))


def _names(choice: str | Mapping[str, str] | None) -> list[str]:
    if choice is None:
        return []
    return [choice] if isinstance(choice, str) else list(dict.fromkeys(choice.values()))


def _plain(key: str, text: str) -> str:
    return f"@misc{{{key},\n  note = {{{text}}}\n}}"
