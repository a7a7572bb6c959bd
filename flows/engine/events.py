"""What a campaign announces to Prefect, for automations to act on (deployments/automations.yaml).

A server keeps them and matches them with its automations. The API that `alnico run` brings along keeps none.
"""

from __future__ import annotations

from typing import Literal

from prefect.events import emit_event
from pydantic import JsonValue

Event = Literal[
    "round.finished", "quarantine.grew", "review.wanted", "converged", "budget.spent", "rejected", "ended"
]


def announce(event: Event, campaign: str, **payload: JsonValue) -> None:
    """Emit `alnico.<event>` of the resource `alnico.campaign.<campaign>`; never waits for an answer."""
    resource = {"prefect.resource.id": f"alnico.campaign.{campaign}", "prefect.resource.name": campaign}
    emit_event(f"alnico.{event}", resource=resource, payload=dict(payload))
