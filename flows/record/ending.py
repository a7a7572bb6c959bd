"""Whether a campaign has anything left to do, read from its folder; free of torch and Prefect."""

from __future__ import annotations

import json

from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.stages import is_finished

EVERY_ROUND = "force MAE of every round, meV/Å"
"""In the model card: which rounds the published potential was chosen from."""


def ending(folder: CampaignFolder) -> str | None:
    """Why the campaign has ended; None where a run would still do something.

    It would where a round of an arm is missing, where the settings are no longer those it ended with, or
    where it was stopped before it published the champion of all its rounds and wrote the report.

    Raises:
        DamagedFileError: where a result cannot be read.
    """
    if not same_settings(folder):
        return None
    rounds = folder.config.rounds
    ends = [end_of(arm.results(up_to=rounds), rounds) for arm in folder.arms]
    if None in ends or not _published(folder):
        return None
    return "; ".join(
        str(end) if arm.is_main else f"{arm.name}: {end}" for arm, end in zip(folder.arms, ends, strict=True)
    )


def same_settings(folder: CampaignFolder) -> bool:
    """Whether the folder keeps the settings that the campaign has now."""
    try:
        return folder.config_file.exists() and folder.kept_config == folder.config
    except ConfigError:  # of another version
        return False


def end_of(results: list[RoundResult], rounds: int) -> str | None:
    """Why an arm has ended."""
    last = results[-1] if results else None
    if last is not None and last.round == rounds:
        return f"round {rounds}, its last, is done"
    if last is not None and last.stop is not None and last.stop.ended is not None:
        return f"round {last.round}: {last.stop.ended}"
    if last is not None and last.labels is not None and not last.labels.n_labelled:
        return f"round {last.round} found nothing new to label, another training would learn nothing"
    return None


def _published(folder: CampaignFolder) -> bool:
    """Whether the potential is the champion of all rounds there are, and the report is written."""
    if not is_finished(folder.potential) or not folder.report.exists():
        return False
    try:
        chosen_from = json.loads(folder.model_card.read_bytes())[EVERY_ROUND]
    except (OSError, ValueError, KeyError, TypeError):  # damaged: a run makes it anew
        return False
    results = folder.results(up_to=folder.config.rounds)
    return bool(chosen_from == [1000 * result.test.force_mae for result in results])
