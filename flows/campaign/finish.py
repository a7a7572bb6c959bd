"""What a campaign hands over: the champion with its model card, and the report."""

from __future__ import annotations

import json
from pathlib import Path

from flows.campaign.model_card import BIBTEX, model_card
from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.roles import frozen_frames
from flows.record.table import PUBLISH
from flows.steps.step import step
from flows.steps.train import weights_digest
from flows.tracking.tracker import Tracker
from flows.views.report import write_report
from flows.views.summary import champion_round
from potential.data.atomic_write import write_atomically
from potential.known_environments import KnownEnvironments
from potential.package import load_potential, save_potential
from potential.roles import Roles


def finish(folder: CampaignFolder, *, up_to: int, tracker: Tracker) -> None:
    """Publish the champion of rounds 0 to `up_to` as `potential/`, write the report, close the run."""
    publish(folder, folder.results(up_to=up_to))
    write_report(folder)
    tracker.log_end()


def pause(folder: CampaignFolder, *, tracker: Tracker) -> None:
    """Show what there is: rounds are left, and another run goes on with them."""
    write_report(folder)
    tracker.log_pause()


@step("publish", "publish potential")
def publish(folder: CampaignFolder, results: list[RoundResult]) -> None:
    """Copy the champion to `potential/` with its full model card.

    It was chosen on held-out labels, so that its errors on the frozen test set are a fair estimate.
    """
    champion = champion_round(results)
    source = folder.round(champion.round).potential
    card = model_card(folder, champion, results)
    frozen = [frame.id for frame in frozen_frames(folder)]

    def make(into: Path) -> None:
        save_potential(into, load_potential(source), card)
        write_atomically(into / "references.bib", card[BIBTEX])
        if (roles := Roles.load(source)) is not None:
            Roles.made(train=roles.ids("train"), held_out=roles.ids("held_out"), test=frozen).save(into)
        if (known := KnownEnvironments.load(source)) is not None:
            known.save(into)
        if (found := champion.calibration) is not None and found.calibration is not None:
            found.calibration.save(into)

    inputs = {"weights": weights_digest(source), "card": json.loads(json.dumps(card))}
    PUBLISH.run(folder.potential, inputs, make)
