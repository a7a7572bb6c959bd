"""How long dynamics with a round's committee go on: the same protocol in every round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from exploration.explore import explore
from exploration.settings import SurvivalTest
from flows.record.folder import CampaignFolder
from flows.record.results import SUMMARY_FILE, Survival, SurvivalSummary
from flows.record.rounds import RoundFolder
from flows.record.seeds import seed_for
from flows.record.stages import Settings
from flows.record.table import SURVIVE
from flows.steps.explore import frames_digest
from flows.steps.step import step
from flows.steps.train import load_committee, weights_digest
from flows.views.console import say
from flows.views.progress import progress
from potential.data.atomic_write import write_atomically
from potential.data.frame import Frame


@step("survival", "survival of {here}")
def measure_survival(
    campaign: CampaignFolder, here: RoundFolder, starts: Sequence[Frame], test: SurvivalTest
) -> SurvivalSummary:
    """How long dynamics with the round's committee go on; the same starts and noise in every round."""
    config = campaign.config
    dynamics = config.exploration.of_survival(test)
    inputs = {
        "dynamics": Settings(dynamics),
        "potential": weights_digest(here.potential),
        "starts": frames_digest(starts),
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        began = time.perf_counter()
        with progress(f"{config.name}-survival", f"{here}: survival", dynamics.n_steps, "step") as done:
            found = explore(
                load_committee(campaign, here),
                starts,
                dynamics,
                seed=seed_for(config.seed, "survival"),
                progress=lambda step, _: done(step),
            ).replicas
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
            length_fs=dynamics.n_steps * dynamics.timestep_fs,
            seconds=round(time.perf_counter() - began, 3),
        )
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))

    SURVIVE.run(here.survive, inputs, make)
    summary = SurvivalSummary.model_validate_json((here.survive / SUMMARY_FILE).read_text())
    lines = (
        f"{at.survived} of {at.replicas} at {at.temperature_K:g} K ({at.mean_time_fs:.0f} fs)"
        for at in summary.at
    )
    say(f"  survival of {summary.length_fs:g} fs: {', '.join(lines)}")
    return summary
