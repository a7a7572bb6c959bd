"""How long dynamics with a round's committee go on: the same protocol in every round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exploration.settings import SurvivalTest
from flows.jobs.exploration import SurvivalOfDynamics
from flows.jobs.job import compute
from flows.record.folder import CampaignFolder
from flows.record.results import SUMMARY_FILE, SurvivalSummary
from flows.record.rounds import RoundFolder
from flows.record.seeds import seed_for
from flows.record.stage_inputs import Settings
from flows.record.table import SURVIVE
from flows.steps.explore import frames_digest
from flows.steps.step import step
from flows.steps.train import weights_digest
from flows.views.console import say
from flows.views.progress import progress
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

    work = SurvivalOfDynamics(
        potential=here.potential,
        device=config.training.device,
        starts=tuple(starts),
        config=dynamics,
        seed=seed_for(config.seed, "survival"),
    )

    def make(into: Path) -> None:
        with progress(f"{config.name}-survival", f"{here}: survival", dynamics.n_steps, "step") as done:
            engine = config.labeling.engine
            compute(work, into, done, engine=engine, kind="exploration", campaign=campaign.path)

    SURVIVE.run(here.survive, inputs, make)
    summary = SurvivalSummary.model_validate_json((here.survive / SUMMARY_FILE).read_text())
    lines = (
        f"{at.survived} of {at.replicas} at {at.temperature_K:g} K ({at.mean_time_fs:.0f} fs)"
        for at in summary.at
    )
    say(f"  survival of {summary.length_fs:g} fs: {', '.join(lines)}")
    return summary
