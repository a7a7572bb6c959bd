"""Dynamics with a round's committee: to find frames, and to see how long it lasts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exploration.explore import explore
from exploration.ledger import Exploration
from exploration.settings import ExplorationConfig
from flows.jobs.job import Done
from flows.record.results import (
    SUMMARY_FILE,
    ExplorationSummary,
    LedgerCounts,
    Survival,
    SurvivalSummary,
)
from potential.calibration.calibration import Calibration
from potential.data.atomic_write import write_atomically
from potential.data.frame import Frame
from potential.evaluator import Evaluator
from potential.known_environments import KnownEnvironments
from potential.package import load_potential
from potential.training.device import device_or_cpu


@dataclass(frozen=True, kw_only=True)
class CommitteeDynamics:
    """Dynamics with a committee.

    Attributes:
        potential: the committee's folder.
        device: where it is evaluated, if the machine has it; else on the CPU.
        seed: of this exploration.
    """

    potential: Path
    device: str
    starts: tuple[Frame, ...]
    config: ExplorationConfig
    seed: int

    def explore(self, done: Done, **more: Any) -> Exploration:
        """Run it; `more` goes to `exploration.explore.explore`."""
        device = device_or_cpu(self.device)
        return explore(
            Evaluator(load_potential(self.potential, device=device), device=device),
            self.starts,
            self.config,
            seed=self.seed,
            progress=lambda step, _: done(step),
            **more,
        )


@dataclass(frozen=True, kw_only=True)
class RoundExploration(CommitteeDynamics):
    """The exploration of a round: frames with the committee's judgement, and a ledger of them."""

    calibration: Calibration | None = None
    restarts: tuple[Frame, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, into: Path, done: Done) -> None:
        began = time.perf_counter()
        found = self.explore(
            done,
            calibration=self.calibration,
            environments=KnownEnvironments.load(self.potential),
            restarts=self.restarts,
            origin=self.origin,
        )
        found.save(into)
        summary = ExplorationSummary(
            ledger=LedgerCounts(**found.counts),
            surviving_replicas=found.surviving_replicas,
            expected_error=found.expected_error,
            seconds=round(time.perf_counter() - began, 3),
        )
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))


@dataclass(frozen=True, kw_only=True)
class SurvivalOfDynamics(CommitteeDynamics):
    """How long dynamics with a committee go on, at each temperature."""

    def __call__(self, into: Path, done: Done) -> None:
        began = time.perf_counter()
        found = self.explore(done).replicas
        found.to_csv(into / "replicas.csv", index=False)
        summary = SurvivalSummary(
            at=tuple(
                Survival(
                    temperature_K=float(str(temperature)),
                    replicas=len(mine),
                    survived=int(mine["survived"].sum()),
                    mean_time_fs=float(mine["time_fs"].mean()),
                )
                for temperature, mine in found.groupby("bath_temperature_K")
            ),
            length_fs=self.config.n_steps * self.config.timestep_fs,
            seconds=round(time.perf_counter() - began, 3),
        )
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))
