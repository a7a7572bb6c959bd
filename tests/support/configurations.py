"""Valid configurations, drawn by Hypothesis from the models themselves."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flows.settings.campaign_config import CampaignConfig

SAID: dict[str, list[Any]] = {
    "name": ["ethanol", "1e5", "007", "on", "null", "2026-01-01", "a.b_c-d", "0x1F", "1_000"],
    "molecule": ["ethanol", "H2O", "NO", "C6H6"],
    "xc": ["PBE", "B3LYP", "LDA"],
    "basis": ["def2-SVP", "gth-szv", {"default": "def2-SVP", "I": "def2-TZVP"}],
    "ecp": [None, {"I": "def2-SVP"}],
    "auxbasis": [None, "def2-universal-jkfit"],
    "solvent": [None, {"name": "water", "model": "SMD"}],
}
"""Texts that mean something, by field; other texts keep their default."""
PATHS = [Path("/data/start.xyz"), Path("/data/a b/№ 1: ü.cif"), Path("/data/#1.xyz"), Path("/data/~.xyz")]
ARMS = ["control", "1", "on", "no", "1e3", "0x1f", "1_0", "a-b"]
CHANGED_AT_ONCE = 3


@st.composite
def campaigns(draw: st.DrawFn) -> CampaignConfig:
    """A campaign with some of its settings changed to other valid values."""
    source = draw(values(CampaignConfig.model_fields["initial"].annotation))
    changed = draw(_changes(CampaignConfig, leave={"structure", "folder", "arms", "name"}))
    strategy = CampaignConfig.model_fields["selection"]
    content = {
        "name": draw(st.sampled_from(SAID["name"])),
        "structure": draw(
            st.fixed_dictionaries({"molecule": st.sampled_from(SAID["molecule"])})
            | st.fixed_dictionaries({"files": st.lists(st.sampled_from(PATHS), min_size=1, max_size=2)})
        ),
        "folder": "/campaigns",
        "initial": source,
        "test": source,
        "level": draw(values(CampaignConfig.model_fields["level"].annotation)),
        "arms": draw(st.dictionaries(st.sampled_from(ARMS), values(strategy.annotation), max_size=2)),
        **changed,
    }
    return CampaignConfig.model_validate(content)


def values(annotation: Any, bounds: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Values of a type within its bounds; nothing for a text."""
    kind, arguments = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        extra = [m for a in arguments[1:] for m in getattr(a, "metadata", [a])]
        return values(arguments[0], (*bounds, *extra))
    if kind is Literal:
        return st.sampled_from(arguments)
    if kind in (Union, UnionType):
        return st.one_of(*(values(argument, bounds) for argument in arguments))
    if kind is tuple:
        least = max((b.min_length for b in bounds if isinstance(b, MinLen)), default=0)
        return st.lists(values(arguments[0]), min_size=least, max_size=3).map(tuple)
    if annotation is NoneType:
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is Path:
        return st.sampled_from(PATHS)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    if annotation in (int, float):
        return _numbers(annotation, bounds)
    return st.nothing()


@st.composite
def models(draw: st.DrawFn, model: type[BaseModel]) -> BaseModel:
    """An instance of `model`; where settings exclude each other, one with the defaults."""
    needed = {name: field for name, field in model.model_fields.items() if field.is_required()}
    content = {name: draw(values(field.annotation, tuple(field.metadata))) for name, field in needed.items()}
    try:
        return model.model_validate(content | draw(_changes(model)))
    except ValidationError:
        return model.model_validate(content)


@st.composite
def _changes(draw: st.DrawFn, model: type[BaseModel], leave: frozenset[str] | set[str] = frozenset()) -> Any:
    open_to = {
        name: st.sampled_from(SAID[name]) if name in SAID else values(field.annotation, tuple(field.metadata))
        for name, field in model.model_fields.items()
        if name not in leave and not field.is_required()
    }
    possible = sorted(name for name, strategy in open_to.items() if not strategy.is_empty)
    if not possible:
        return {}
    chosen = draw(st.lists(st.sampled_from(possible), unique=True, max_size=CHANGED_AT_ONCE))
    return {name: draw(open_to[name]) for name in chosen}


def _numbers(kind: type, bounds: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    lows: list[Any] = [b.ge if isinstance(b, Ge) else b.gt for b in bounds if isinstance(b, Ge | Gt)]
    highs: list[Any] = [b.le if isinstance(b, Le) else b.lt for b in bounds if isinstance(b, Le | Lt)]
    low, high = max(lows, default=0), min(highs, default=1e6)
    above = any(isinstance(b, Gt) and b.gt == low for b in bounds)
    below = any(isinstance(b, Lt) and b.lt == high for b in bounds)
    if kind is int:
        return st.integers(int(low) + above, int(high) - below)
    return st.floats(float(low), float(high), exclude_min=above, exclude_max=below, allow_subnormal=False)
