"""What a campaign's settings were, and what became of them."""

from __future__ import annotations

from flows.record.folder import CampaignFolder


def changes_of(folder: CampaignFolder) -> list[str]:
    """Every change of mind, the first first: when, and what changed."""
    return [
        f"{change.at[:16].replace('T', ' ')}  {line}" for change in folder.changes() for line in change.said
    ]
