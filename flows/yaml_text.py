"""A YAML file as a tree with line numbers and as plain values; no file can make this take long.

YAML lets a few lines stand for billions of values (an alias of a list of aliases ...), nest without
end, and hold itself. The tree as it is written stays small, so it is what the bounds are checked on,
before any value is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flows.errors import ConfigError

MAX_BYTES = 256 * 1024
"""A campaign.yaml has a few kB; one with a thousand paths stays below."""
MAX_VALUES = 100_000
"""With every alias written out."""
MAX_DEPTH = 20
"""A campaign.yaml has five levels."""

# What PyYAML's constructors raise for `!!int abc`, `!!timestamp x`, 5000 digits and the like.
BAD_VALUE = (ValueError, TypeError, AttributeError, LookupError, OverflowError)


def read_yaml(path: Path) -> tuple[yaml.MappingNode, dict[Any, Any], list[tuple[int, str]]]:
    """The tree of a file, its values, and its keys that are given twice, each with its line.

    Raises:
        ConfigError: for a file that cannot be read, is not UTF-8 or not YAML, or holds no mapping.
    """
    text = _text(path)
    try:
        loader = yaml.SafeLoader(text)
        tree = loader.get_single_node()
        if not isinstance(tree, yaml.MappingNode):
            raise ConfigError(path, ["expected `key: value` lines; `alnico init` writes an example"])
        _within_bounds(path, tree)
        twice = [(line, f"{key}: given twice") for line, key in _duplicates(tree, set())]
        return tree, loader.construct_document(tree), twice
    except yaml.YAMLError as error:
        raise ConfigError(path, [_not_yaml(error)]) from None
    except RecursionError:
        raise ConfigError(path, [f"nested deeper than {MAX_DEPTH} levels"]) from None
    except BAD_VALUE as error:
        raise ConfigError(path, [f"a value that its YAML tag does not allow: {str(error)[:200]}"]) from None


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(path, ["is not a file; give a campaign's YAML file, or its folder"])
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(path, [_unreadable(path, error)]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(path, [f"larger than {MAX_BYTES // 1024} kB: this is no campaign.yaml"])
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(path, ["is in UTF-16; save it as UTF-8"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = f"line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        raise ConfigError(path, [f"{problem} (iconv -f latin1 -t utf-8)"]) from None


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "no file can have this name"
    if not isinstance(error, FileNotFoundError):
        return f"cannot be read: {error.strerror}"
    there = [p.name for p in path.parent.glob("[!.]*.y*ml")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there) or sorted(there)[:5]
    found = f"; there is {', '.join(near)}" if near else ""
    return f"no such file{found}. `alnico init` writes a new one"


def _not_yaml(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        found = "; ".join(part for part in (error.context, error.problem) if part)
        return f"line {error.problem_mark.line + 1}: not YAML: {found[:300]}"
    return f"not YAML: {str(error).splitlines()[0][:300]}"


def _within_bounds(path: Path, tree: yaml.Node) -> None:
    """Count values with all aliases written out, each node of the tree once.

    Raises:
        ConfigError: for too many or too deep, or a value that holds itself.
    """
    counts: dict[int, int] = {}
    above: set[int] = set()

    def count(node: yaml.Node, depth: int) -> int:
        line = node.start_mark.line + 1
        if id(node) in above:
            raise ConfigError(path, [f"line {line}: holds itself, by an alias"])
        if depth > MAX_DEPTH:
            raise ConfigError(path, [f"line {line}: nested deeper than {MAX_DEPTH} levels"])
        if id(node) not in counts:
            above.add(id(node))
            counts[id(node)] = 1 + sum(count(child, depth + 1) for child in _children(node))
            above.remove(id(node))
        if counts[id(node)] > MAX_VALUES:
            raise ConfigError(path, [f"line {line}: its aliases stand for more than {MAX_VALUES} values"])
        return counts[id(node)]

    count(tree, 0)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                yield key
                yield value
        case yaml.SequenceNode():
            yield from node.value


def _duplicates(node: yaml.Node, seen: set[int], prefix: str = "") -> Iterator[tuple[int, str]]:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    match node:
        case yaml.MappingNode():
            keys: set[str] = set()
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else "?"
                if name in keys and name != "?":
                    yield key.start_mark.line + 1, prefix + name
                keys.add(name)
                yield from _duplicates(value, seen, f"{prefix}{name}.")
        case yaml.SequenceNode():
            for item in node.value:
                yield from _duplicates(item, seen, prefix)
