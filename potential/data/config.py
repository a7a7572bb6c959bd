"""The base of every configuration. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """Base of every configuration: frozen, unknown keys refused, numbers finite, `true` no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of_record(cls, record: Any) -> Config:
        """What an older version wrote; a field that came later had today's default, unless a class says else.

        Raises:
            ValueError: if it is no such configuration.
        """
        return cls.model_validate(record)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, given: Any) -> Any:
        """pydantic takes `true` for 1. As the word "true" it is refused where a number is expected."""
        if not isinstance(given, dict):
            return given
        numeric = {name for name, field in cls.model_fields.items() if _is_numeric(field.annotation)}
        return {key: _spelled(value) if key in numeric else value for key, value in given.items()}


def _spelled(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


def _is_numeric(annotation: Any) -> bool:
    """Whether a field takes numbers, and neither true and false nor text."""
    parts = set(_parts(annotation))
    return bool(parts & {int, float}) and not parts & {bool, str}


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        if isinstance(argument, Hashable):
            yield from _parts(argument)
