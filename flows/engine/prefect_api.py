"""A Prefect API for a campaign: the user's own server where one is set, else one of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.engine.prefect_server import embedded_api
from flows.engine.probe import probe
from flows.errors import CampaignError

PATIENCE_S = 5.0


@contextmanager
def prefect_api() -> Iterator[Callable[[], None]]:
    """Have a Prefect API in this context; the user's own where one is set (PREFECT_API_URL, profile).

    Gives a function that waits until the API answers; call it before the first flow. At the end old
    runs of campaigns go from the embedded database; nothing is ever deleted on a server of the user's.

    Raises:
        CampaignError: if the user's server does not answer within seconds, or lets nobody in; as
            `embedded_api`.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if url:
        reach(url)
        yield lambda: None
    else:
        with embedded_api() as wait:
            yield wait
            from flows.engine.prefect_runs import delete_old_runs

            delete_old_runs()


def reach(url: str) -> None:
    """Make sure that a Prefect server answers and lets us in.

    Raises:
        CampaignError: if it does not.
    """
    said = f"no Prefect server answers at {url}, which PREFECT_API_URL or your Prefect profile names"
    mend = "Start it (`prefect server start`), or do without: unset PREFECT_API_URL, or "
    mend += "`prefect config unset PREFECT_API_URL`."
    try:
        probe(f"{url.rstrip('/')}/health", PATIENCE_S)
    except (OSError, ValueError) as error:
        raise CampaignError(f"{said} ({getattr(error, 'reason', error)}).\n{mend}") from None
    from httpx import HTTPError as HTTPXError
    from httpx import HTTPStatusError
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            client.read_flow_runs(limit=1)
    except HTTPStatusError as error:
        if error.response.status_code not in (401, 403):
            raise CampaignError(f"{said} (HTTP {error.response.status_code}).\n{mend}") from None
        raise CampaignError(
            f"the Prefect server at {url} lets us not in (HTTP {error.response.status_code}).\n"
            "Set PREFECT_API_AUTH_STRING=user:password, or PREFECT_API_KEY for a cloud."
        ) from None
    except (HTTPXError, RuntimeError) as error:
        raise CampaignError(f"{said} ({type(error).__name__}: {error}).\n{mend}") from None
