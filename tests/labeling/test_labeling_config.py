"""Settings of the label workers: every one that is accepted works, the others are refused at the start."""

from typing import Any

import pytest
from pydantic import ValidationError

from labeling.checks import CheckLimits
from labeling.level import LennardJonesLevel
from labeling.workers import LabelingConfig, LabelWorkers
from potential.data.dataset import Label
from potential.data.frame import Frame

NO_NUMBERS = (float("nan"), float("inf"), True, "soon", None, -1)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("timeout_s", (0, 3.3e7, 2.0**31, 1e300, 10**30)),
        ("memory_GB", (0, 0.1, 1e6)),
        ("attempts", (0, 101, 10**30, 1.5)),
        ("backoff_s", (3601, 1e300)),
        ("workers", (0, 5000, 10**30, 1.5)),
    ],
)
def test_numbers_out_of_range_are_refused(field: str, values: tuple[Any, ...]) -> None:
    for value in (*values, *NO_NUMBERS):
        if field == "workers" and value is None:
            continue  # one per core
        with pytest.raises(ValidationError, match=field):
            LabelingConfig(**{field: value})


@pytest.mark.parametrize("field", sorted(CheckLimits.model_fields))
def test_limits_are_numbers(field: str) -> None:
    for value in (float("nan"), float("inf"), True, "much"):
        with pytest.raises(ValidationError, match=field):
            CheckLimits(**{field: value})


def test_the_longest_limits_still_label() -> None:
    """SIGALRM takes whole seconds up to 2^31 - 1: beyond, every worker would die of its alarm."""
    config = LabelingConfig(workers=1, timeout_s=3.2e7, memory_GB=1e5, attempts=1)
    with LabelWorkers(config) as workers:
        outcome = workers.label(Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]]), LennardJonesLevel())
    assert isinstance(outcome, Label), outcome
    assert outcome.energy == pytest.approx(-0.0104, abs=2e-3)
