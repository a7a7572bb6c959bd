"""From a YAML file to a CampaignConfig, with all that is wrong said at once, by line.

A key that no model has is refused with the nearest one that it has; so are keys given twice, which
YAML would let pass.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flows.errors import ConfigError
from flows.settings.campaign_config import CampaignConfig
from flows.yaml_text import read_yaml
from labeling.level import LevelOfTheory
from labeling.location import is_url, without_passwords
from labeling.workers import LabelingConfig
from potential.data.config import Config

Location = Sequence[int | str]
C = TypeVar("C", bound=Config)
LONGEST = 100
LONGEST_NAME = 255


def load_config(path: str | Path) -> CampaignConfig:
    """Read and check a campaign's YAML file; paths in it become absolute, `~` the home folder.

    Raises:
        ConfigError: with every problem, each with its line, its key and what to write instead.
    """
    path = Path(path)
    tree, content, problems = read_yaml(path)
    try:
        config = CampaignConfig.model_validate(content)
    except ValidationError as error:
        problems += [_explain(details, tree) for details in error.errors(include_url=False)]
    if problems:
        raise ConfigError(path, [f"line {line}: {text}" for line, text in sorted(problems)])
    return with_absolute_paths(config, path)


def with_absolute_paths(config: C, path: Path) -> C:
    """A configuration from the file `path` whose paths count from there; `~` is the home folder.

    Raises:
        ConfigError: for a path that cannot be: no such user's home, a NUL, a loop of links, a long name.
    """
    try:
        resolved = _absolute(config, path.resolve().parent)
    except (ValueError, OSError, RuntimeError) as error:
        raise ConfigError(path, [f"a path that cannot be: {error}"]) from None
    assert isinstance(resolved, type(config))
    return resolved


class LevelFile(Config):
    """What of a file `load_level` looks at."""

    level: LevelOfTheory


def load_level(path: Path) -> LevelOfTheory:
    """Read a level of theory as campaign.yaml has it: under `level:`, beside whatever else, or by itself.

    Raises:
        ConfigError: with every problem, each with its line, its key and what to write instead.
    """
    tree, content, problems = read_yaml(path)
    try:
        level = LevelFile(level=content.get("level", content)).level
    except ValidationError as error:
        problems += [_explain(details, tree) for details in error.errors(include_url=False)]
    if problems:
        raise ConfigError(path, [f"line {line}: {text}" for line, text in sorted(problems)])
    return level


def _explain(details: ErrorDetails, tree: yaml.MappingNode) -> tuple[int, str]:
    location = details["loc"]
    keys, line = _place(tree, location)
    return line, f"{'.'.join(_short(key, str) for key in keys) or 'campaign'}: {_message(details, location)}"


def _message(details: ErrorDetails, location: Location) -> str:
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key{_nearest(str(location[-1]), _valid_keys(location[:-1]))}"
        case "missing":
            return "missing, and it has no default"
        case "union_tag_invalid" | "literal_error" | "enum":
            context = details.get("ctx", {})
            expected = str(context.get("expected_tags") or context.get("expected"))
            choices = [c.strip(" '") for c in expected.replace(" or ", ", ").split(",")]
            return f"unknown value{_nearest(_short(context.get('tag', details['input']), str), choices)}"
        case "union_tag_not_found":
            key = str(details.get("ctx", {}).get("discriminator", "")).strip("'")
            return f"say which with `{key}: ...`, one of {', '.join(_tags(location))}"
        case "value_error":
            return details["msg"].removeprefix("Value error, ")
        case "string_type" if isinstance(details["input"], bool):
            meant = "true" if details["input"] else "false"
            return f"YAML reads this word as {meant}; write it in quotes, like 'NO'"
        case "invalid_key":
            return "keys are words; write this one in quotes"
        case "tuple_type" | "list_type":
            return f"a list is expected; write [{_short(details['input'], str)}]"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"a whole number is expected, got {_short(details['input'])}"
        case "float_type" | "float_parsing":
            return f"a number is expected, got {_short(details['input'])}"
        case "bool_type" | "bool_parsing":
            return f"true or false is expected, got {_short(details['input'])}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"settings are expected, as `key: value`, got {_short(details['input'])}"
        case _:
            return f"{details['msg'][0].lower()}{details['msg'][1:]}, got {_short(details['input'])}"


def _short(value: object, spell: Callable[[object], str] = repr) -> str:
    """The value as people know it again; not all of a long one."""
    if isinstance(value, list | dict | set | tuple) and len(value) > 20:
        return f"{len(value)} values"
    text = spell(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]}... ({len(text)} characters)"


def _nearest(word: str, valid: Sequence[str]) -> str:
    word = _short(word, str)
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f" {word!r}; did you mean {near[0]!r}?" if near else f" {word!r}; valid: {', '.join(valid)}"


def _place(tree: yaml.MappingNode, location: Location) -> tuple[list[str], int]:
    """The keys that are really in the file on the way to `location`, and the line where they end."""
    node: yaml.Node = tree
    keys: list[str] = []
    line = tree.start_mark.line
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
            if found:
                (key, node), line = found[0], found[0][0].start_mark.line
                keys.append(key.value)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
            keys.append(str(part))
    if location and isinstance(location[-1], str) and location[-1] not in (*keys[-1:], *_tags(location[:-1])):
        keys.append(location[-1])  # a key that is missing
    return keys, line + 1


def _models(location: Location) -> list[type[BaseModel]]:
    """The models that may stand at `location`; a union's tag, which pydantic puts there, narrows them."""
    models: list[type[BaseModel]] = [CampaignConfig]
    for part in location:
        fields = [m.model_fields[part] for m in models if isinstance(part, str) and part in m.model_fields]
        if fields:
            models = [m for field in fields for m in _models_in(field.annotation)]
        elif isinstance(part, str) and any(part in _tags_of(m) for m in models):
            models = [m for m in models if part in _tags_of(m)]
    return models


def _valid_keys(location: Location) -> list[str]:
    return list(dict.fromkeys(name for m in _models(location) for name in m.model_fields))


def _tags(location: Location) -> list[str]:
    return [tag for m in _models(location) for tag in _tags_of(m)]


def _tags_of(model: type[BaseModel]) -> list[str]:
    return [
        arg
        for field in model.model_fields.values()
        for arg in get_args(field.annotation)
        if field.default == arg and isinstance(arg, str) and len(get_args(field.annotation)) == 1
    ]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _absolute(value: Any, base: Path) -> Any:
    match value:
        case Path():
            path = (base / value.expanduser()).resolve()
            longest = max(map(len, os.fsencode(path).split(b"/")))  # refuses what no file name can hold
            if longest > LONGEST_NAME:
                raise ValueError(f"a name of {longest} bytes; file systems take {LONGEST_NAME}")
            return path
        case dict():
            return {key: _absolute(item, base) for key, item in value.items()}
        case tuple():
            return tuple(_absolute(item, base) for item in value)
        case LabelingConfig(store=str(store)) if not store or ("://" in store and not is_url(store)):
            raise ValueError(
                f"labeling.store: {without_passwords(value.store)!r} is no label store; write a file, "
                "or postgresql://user@host/name"
            )
        case BaseModel():
            paths = {name: _absolute(item, base) for name, item in value}
            if isinstance(value, LabelingConfig) and value.store is not None and not is_url(value.store):
                paths["store"] = str(_absolute(Path(value.store), base))
            return value.model_copy(update={n: v for n, v in paths.items() if v is not getattr(value, n)})
        case _:
            return value
