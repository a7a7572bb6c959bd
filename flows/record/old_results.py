"""A result of version 0.1.0, which kept the numbers of all stages side by side, in today's form."""

from __future__ import annotations

from typing import Any


def composed(old: dict[str, Any]) -> dict[str, Any]:
    """The fields of each stage together, as `RoundResult` has them."""

    def part(**names: str) -> dict[str, Any] | None:
        """The fields of a stage from the names they had; None where the stage did not run."""
        found = {new: old.get(name) for new, name in names.items()}
        return None if all(value is None for value in found.values()) else found

    return {
        "round": old["round"],
        "n_labels": old["n_labels"],
        "training": part(
            n_train="n_train",
            n_validation="n_validation",
            epochs="epochs",
            seconds="train_seconds",
            fingerprint="dataset_fingerprint",
        ),
        "evaluation": part(test="test", uncertainty="uncertainty", fingerprint="test_fingerprint"),
        "exploration": part(
            ledger="ledger", surviving_replicas="surviving_replicas", seconds="explore_seconds"
        ),
        "selection": part(n_selected="n_selected"),
        "labels": part(n_labelled="n_labelled", n_failed="n_label_failures", seconds="label_seconds"),
    }
