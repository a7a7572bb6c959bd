"""Frames without a label: what was wrong, and a person's word on them.

A release or a relabelling is taken along by a campaign with the next round that labels; finished rounds
stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from flows.cli.open_store import open_store
from flows.errors import CampaignError, ConfigError
from labeling.failure import LabelFailure
from labeling.store import LabelStore
from potential.data.frame import Frame

Source: TypeAlias = Path | str


def print_quarantine(source: Source) -> None:
    """Print every frame in quarantine: id, kind, message with the numbers, advice."""
    found = open_store(source).failures()
    for frame, failure in found:
        numbers = f", {failure.label.energy:.6f} eV" if failure.label else ""
        print(f"{frame.id}  {frame.formula}  {failure.kind}, {failure.attempts} tried{numbers}")
        print(*(f"    {line}" for line in [*failure.message.splitlines(), failure.advice]), sep="\n")
        if frame.origin:
            print(f"    from {', '.join(f'{key} {value}' for key, value in frame.origin.items())}")
    n_releasable = sum(failure.label is not None for _, failure in found)
    print(f"{len(found)} in quarantine, {n_releasable} of them with numbers that can be released")


def release(source: Source, frames: Sequence[str]) -> None:
    """Take the numbers of quarantined frames as labels.

    Raises:
        ConfigError: for an id that is not in quarantine.
        CampaignError: for a frame without numbers.
    """
    store = open_store(source)
    for frame, failure in _chosen(source, store, frames):
        try:
            label = store.release(frame.id, failure.level_key)
        except ValueError as error:
            raise CampaignError(str(error)) from error
        print(f"released {frame.id}: {label.energy:.6f} eV, in spite of: {failure.message}")


def relabel(source: Source, frames: Sequence[str]) -> None:
    """Have quarantined frames labelled again, by the next run.

    Raises:
        ConfigError: for an id that is not in quarantine.
    """
    store = open_store(source)
    for frame, failure in _chosen(source, store, frames):
        store.forget_failure(frame.id, failure.level_key)
        print(f"{frame.id} will be labelled anew")


def _chosen(source: Source, store: LabelStore, prefixes: Sequence[str]) -> list[tuple[Frame, LabelFailure]]:
    """By the first digits of their ids; `all` takes all."""
    found = store.failures()

    def choose(prefix: str) -> Iterator[tuple[Frame, LabelFailure]]:
        matching = [item for item in found if prefix == "all" or item[0].id.startswith(prefix)]
        if not matching:
            raise ConfigError(source, [f"{prefix!r} is not in quarantine; `alnico quarantine list` tells"])
        if prefix != "all" and len({frame.id for frame, _ in matching}) > 1:
            raise ConfigError(source, [f"{len(matching)} ids begin with {prefix!r}; give more digits"])

        yield from matching

    return list({(f.id, e.level_key): (f, e) for prefix in prefixes for f, e in choose(prefix)}.values())
