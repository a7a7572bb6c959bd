"""What came before the first label, in words, for every place that shows it."""

from __future__ import annotations

from pathlib import Path

from flows.record.folder import CampaignFolder
from flows.record.pretraining_results import GuardSummary, PretrainSummary, TeachSummary
from flows.record.results import SUMMARY_FILE
from flows.record.stages import is_finished
from flows.views.duration import duration


def read_teach(folder: CampaignFolder) -> TeachSummary | None:
    """None where there is no teacher, or it has not finished."""
    return TeachSummary.model_validate_json(_summary(folder.teach)) if is_finished(folder.teach) else None


def read_pretrain(folder: CampaignFolder) -> PretrainSummary | None:
    """None where the committee begins from random weights, or is still being taught."""
    done = is_finished(folder.pretrain)
    return PretrainSummary.model_validate_json(_summary(folder.pretrain)) if done else None


def read_guard(folder: CampaignFolder) -> GuardSummary | None:
    """None where no comparison was asked for, or it has not finished."""
    return GuardSummary.model_validate_json(_summary(folder.guard)) if is_finished(folder.guard) else None


def pretraining_facts(folder: CampaignFolder) -> dict[str, str]:
    """Title and value of each; empty without pretraining."""
    learned, made = read_pretrain(folder), read_teach(folder)
    if learned is None:
        return {}
    facts = {"from": learned.source}
    if made is not None:
        facts["frames of the teacher"] = f"{made.n_frames}, {duration(made.seconds)} of computing"
    if learned.force_mae is not None and learned.energy_mae is not None:
        facts["training on them"] = f"{learned.steps} steps, {duration(learned.seconds)}"
        facts[f"errors on {learned.n_held_out} held out"] = (
            f"{1000 * learned.force_mae:.1f} meV/Å, {1000 * learned.energy_mae:.2f} meV/atom"
        )
    if (found := read_guard(folder)) is not None:
        facts[f"compared on {found.n_held_out} labels"] = (
            f"{1000 * found.pretrained:.1f} meV/Å with it, {1000 * found.scratch:.1f} without: "
            + ("kept" if found.keep else "left out")
        )
    return facts


def pretraining_line(folder: CampaignFolder) -> str | None:
    """The same in a line; None without pretraining."""
    facts = pretraining_facts(folder)
    return "; ".join(f"{title} {value}" for title, value in facts.items()) if facts else None


def _summary(stage: Path) -> bytes:
    return (stage / SUMMARY_FILE).read_bytes()
