"""What a stage is made from, and how that is compared with what it was made from before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potential.data.config import Config


@dataclass(frozen=True)
class Settings:
    """A configuration as an input of a stage, without the fields that do not change its outputs.

    A field that the configuration got since the stage was made is as `Config.of_record` has it.

    Attributes:
        ignored: fields that do not change the outputs.
        read: reads what a manifest says; needed where the configuration is one of several types.
    """

    config: Config
    ignored: frozenset[str] = frozenset()
    read: Callable[[Any], Config] | None = None

    def as_json(self) -> dict[str, Any]:
        """As JSON. Of a path the name alone counts: a campaign and its files may be moved."""
        plain, values = (
            self.config.model_dump(mode=mode, exclude=set(self.ignored)) for mode in ("json", "python")
        )
        named: dict[str, Any] = _names_of_paths(plain, values)
        return named

    def as_now(self, before: Any) -> Any:
        """What a manifest says of this configuration, in today's fields; as it is if that cannot be."""
        ignored = self.config.model_dump(mode="json", include=set(self.ignored))
        read = self.read or type(self.config).of_record
        try:
            return Settings(read({**before, **ignored}), self.ignored).as_json()
        except (TypeError, ValueError):
            return before


def as_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as a manifest keeps them."""
    plain = {key: v.as_json() if isinstance(v, Settings) else v for key, v in inputs.items()}
    loaded: dict[str, Any] = json.loads(json.dumps(plain))
    return loaded


def as_now(before: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest keeps of inputs, settings in today's fields."""
    return {
        key: now.as_now(value) if isinstance(now := inputs.get(key), Settings) else value
        for key, value in before.items()
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`training.max_epochs: was 12, is now 20`, for each value that is another."""
    old, new = flat(before), flat(now)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key}: was {_show(old, key)}, is now {_show(new, key)}" for key in keys]


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings side by side: `training.max_epochs`."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _names_of_paths(plain: Any, value: Any) -> Any:
    """What JSON says of a value, with names in place of paths."""
    match value:
        case Path():
            return value.name
        case Mapping():
            return {key: _names_of_paths(item, value[key]) for key, item in plain.items()}
        case list() | tuple():
            return [_names_of_paths(one, each) for one, each in zip(plain, value, strict=True)]
        case _:
            return plain
