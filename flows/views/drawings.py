"""The figures of a campaign as files: each drawn once, as SVG, for the report, for MLflow and for people.

A folder of figures has a record beside them that says what they were drawn from. As long as that is what the
campaign holds, they are read; else they are drawn anew.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from matplotlib.figure import Figure

from flows.record.folder import CampaignFolder
from flows.record.rounds import RoundFolder
from flows.version import version
from flows.views.campaign_figures import campaign_figures
from flows.views.round_figures import round_figures
from flows.views.space import space_figure
from potential.data.atomic_write import write_atomically

RECORD = "drawn.json"


def campaign_drawings(campaign: CampaignFolder) -> dict[str, str]:
    """The figures over all rounds as SVG, by name; empty before the first round is finished."""
    results = [result.model_dump_json() for arm in campaign.arms for result in arm.results()]
    return _kept(
        campaign.figures,
        _digest(*results, *_frames_of(campaign)),
        lambda: campaign_figures(campaign) | space_figure(campaign),
    )


def round_drawings(here: RoundFolder) -> dict[str, str]:
    """The figures of one round as SVG, by name; those whose table is not (yet) there are left out."""
    measured = [here.test_errors, here.calibration_summary, *here.tests().values()]
    shown = [here.history, here.replicas, *measured]
    digests = [_digest(path.read_bytes()) if path.exists() else "" for path in shown]
    return _kept(here.figures, _digest(*digests), lambda: round_figures(here))


def _frames_of(campaign: CampaignFolder) -> list[bytes]:
    """The files of frames that are in the map and in no result."""
    files = [campaign.initial_frames, campaign.test_frames]
    return [file.read_bytes() for file in files if file.exists()]


def _svg(figure: Figure) -> str:
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    return drawing.getvalue()


def _kept(folder: Path, inputs: str, draw: Callable[[], Mapping[str, Figure]]) -> dict[str, str]:
    """The drawings in the folder if they show these inputs; else new ones, kept if they can be."""
    if (found := _read(folder, inputs)) is not None:
        return found
    drawn = {name: _svg(figure) for name, figure in draw().items()}
    with suppress(OSError):  # a campaign that may only be read
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawing in drawn.items():
            write_atomically(folder / f"{name}.svg", drawing)
        write_atomically(folder / RECORD, json.dumps({"inputs": inputs, "figures": list(drawn)}))
    return drawn


def _read(folder: Path, inputs: str) -> dict[str, str] | None:
    try:
        record = json.loads((folder / RECORD).read_bytes())
        if record["inputs"] != inputs:
            return None
        return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in record["figures"]}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return None


def _digest(*parts: str | bytes) -> str:
    """Of what is shown, and of the version that shows it."""
    digest = hashlib.sha256(version().encode())
    for part in parts:
        digest.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return digest.hexdigest()
