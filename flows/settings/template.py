"""A configuration as YAML with a comment on every key, made from the fields' descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.settings.campaign_config import CampaignConfig

COLUMN = 40


def commented_yaml(config: CampaignConfig) -> str:
    """The configuration as commented YAML; `load_config` reads it back to the same values."""
    intro = (CampaignConfig.__doc__ or "").strip().splitlines()[0]
    head = f"# {intro}\n# `alnico run` starts it and goes on with it, `alnico status` shows how far it is.\n"
    return head + "\n".join(_lines(config, 0)) + "\n"


def _lines(model: BaseModel, indent: int, of: FieldInfo | None = None) -> Iterator[str]:
    """The model's fields; `of` is the field that holds it, whose union may have other models."""
    shown = model.model_dump(mode="json")  # without passwords
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel) and isinstance(shown[name], dict):
            if indent == 0:
                yield ""
            yield _commented(f"{' ' * indent}{name}:", field)
            yield from _lines(value, indent + 2, field)
        elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
            yield _commented(f"{' ' * indent}{name}:", field)
            for key, item in value.items():
                yield f"{' ' * (indent + 2)}{_scalar(key)}:"  # a name such as on or 1 needs its quotes
                yield from _lines(item, indent + 4, field)
        else:
            kinds = _tags(of.annotation, name) if of is not None and of.discriminator == name else ()
            yield _commented(f"{' ' * indent}{name}: {_scalar(shown[name])}", field, kinds)


def _commented(line: str, field: FieldInfo, choices: Sequence[str] = ()) -> str:
    allowed = " or ".join(choices) or _choices(field)
    comment = "; ".join(part for part in (field.description, allowed) if part)
    return f"{line:<{COLUMN}}  # {comment}" if comment else line


def _choices(field: FieldInfo) -> str:
    limits = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    bounds = [
        f"{sign} {getattr(bound, kind.__name__.lower()):g}"
        for bound in field.metadata
        for kind, sign in limits.items()
        if isinstance(bound, kind) and isinstance(getattr(bound, kind.__name__.lower()), int | float)
    ]
    literals = _literals(field.annotation)
    return " or ".join(literals) if len(literals) > 1 else " and ".join(bounds)


def _tags(union: Any, discriminator: str) -> list[str]:
    """What tells the models of a union apart."""
    return [
        tag for model in get_args(union) for tag in _literals(model.model_fields[discriminator].annotation)
    ]


def _literals(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [text for argument in get_args(annotation) for text in _literals(argument)]


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
