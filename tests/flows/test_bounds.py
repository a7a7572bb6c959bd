"""Every number of every configuration has a bound on both sides: 10**30 is refused where it is written."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from labeling.ase_level import AseLevel
from labeling.checks import CheckLimits
from labeling.level import LevelOfTheory
from labeling.periodic_level import PeriodicLevel
from potential.data.config import Config

PACKAGES = ("potential", "exploration", "labeling", "flows")
EXEMPT = {
    "flows.record.changes": "what a campaign's history keeps, written by the program",
    "flows.record.pretraining_results": "what pretraining has measured, written by the program",
    "flows.record.results": "what a run has measured, written by the program",
    "flows.record.review": "what a review asks, written by the program",
    "flows.record.stages": "what a stage has kept, written by the program",
    "potential.calibration.calibration": "what a fit has found, written by the program",
    "AseLevel.parameters": "each calculator's own parameters say the bounds, and they are in this walk, too",
}


def _configurations() -> list[type[Config]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    found: list[type[Config]] = []
    waiting: list[type[Config]] = [Config]
    while waiting:
        below = waiting.pop().__subclasses__()
        found += below
        waiting += below
    return [config for config in found if config.__module__.split(".")[0] in PACKAGES]


def _numbers(annotation: Any, bounds: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The bounds of each number in an annotation."""
    if annotation in (int, float):
        yield bounds
    elif typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        unpacked = [m for item in more for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        yield from _numbers(inner, (*bounds, *unpacked))
    elif typing.get_origin(annotation) is not typing.Literal:
        for part in typing.get_args(annotation):
            yield from _numbers(part, bounds)


def test_every_number_is_bounded_on_both_sides():
    configurations, unbounded, seen = _configurations(), [], 0
    for config in configurations:
        for name, field in config.model_fields.items():
            where = f"{config.__name__}.{name}"
            if config.__module__ in EXEMPT or where in EXEMPT:
                continue
            for bounds in _numbers(field.annotation, tuple(field.metadata)):
                seen += 1
                below = any(isinstance(b, Gt | Ge) for b in bounds)
                above = any(isinstance(b, Lt | Le) for b in bounds)
                if not (below and above):
                    unbounded.append(where)
    assert unbounded == []
    assert seen > 80  # the walk has found the numbers
    assert {"CampaignConfig", "CheckLimits", "MDSettings"} <= {config.__name__ for config in configurations}


@pytest.mark.parametrize("value", [10**30, 1e300, float("inf"), float("nan"), -1e9, True])
def test_no_check_takes_what_no_number_can_mean(value: object):
    for name in CheckLimits.model_fields:
        with pytest.raises(ValidationError):
            CheckLimits.model_validate({name: value})


@pytest.mark.parametrize("value", [0, 1e-300, 1e-3, -1e-9])
@pytest.mark.parametrize("name", ["precision", "conv_tol_hartree"])
def test_a_convergence_that_rounding_cannot_reach_is_refused(name: str, value: float):
    with pytest.raises(ValidationError, match=name):
        PeriodicLevel.model_validate({name: value})


@pytest.mark.parametrize(
    ("calculator", "parameters", "wrong"),
    [
        ("ase.calculators.lj.LennardJones", {"sigma": 1e30, "epsilon": 1.0, "rc": 3.0}, "sigma"),
        ("ase.calculators.lj.LennardJones", {"sigma": 1.0, "epsilon": -1.0, "rc": 3.0}, "epsilon"),
        ("ase.calculators.lj.LennardJones", {"sigma": 1.0, "epsilon": 1.0, "rc": 1e9}, "rc"),
        ("tblite.ase.TBLite", {"accuracy": 1e-30}, "accuracy"),
        ("tblite.ase.TBLite", {"max_iterations": 10**30}, "max_iterations"),
        ("tblite.ase.TBLite", {"electronic_temperature": float("inf")}, "electronic_temperature"),
    ],
)
def test_parameters_of_ase_calculators_are_bounded(calculator: str, parameters: dict[str, float], wrong: str):
    with pytest.raises(ValidationError, match=wrong):
        AseLevel.model_validate({"calculator": calculator, "parameters": parameters})


def test_the_levels_are_part_of_the_walk():
    levels = set(typing.get_args(typing.get_args(LevelOfTheory)[0]))
    assert levels <= set(_configurations())
