"""Learning curves of several campaigns beside each other: a figure, a table, the same chart in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.cli.output import require_output
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder


def compare_campaigns(sources: Sequence[Path], *, output: Path) -> None:
    """Write the figure, print where each curve ends and the address of the chart in MLflow.

    Args:
        sources: YAML files or folders of campaigns; one with arms is enough.
        output: of a format that matplotlib writes, by its suffix.

    Raises:
        ConfigError: where a campaign is none, or the figure's format is unknown.
        CampaignError: if none has a finished round.
    """
    from matplotlib.figure import Figure

    from flows.tracking.mlflow_metrics import FORCE_MAE
    from flows.tracking.store import comparison_address, default_tracking_uri, server_of
    from flows.views.comparison import arms_of, comparison, remarks
    from flows.views.summary import measured
    from potential.metrics import FORCE_MAE as MAE

    known = Figure().canvas.get_supported_filetypes()
    if output.suffix.removeprefix(".") not in known:
        raise ConfigError("alnico compare", [f"--output {output}: write one of {', '.join(sorted(known))}"])
    require_output(output)
    campaigns = [CampaignFolder.open(source) for source in sources]
    arms = arms_of(campaigns)
    if not arms:
        raise CampaignError("no round is finished yet; `alnico run` finishes some")
    comparison(arms).savefig(output)
    for name, arm in arms.items():
        last = arm.results()[-1]
        print(f"{name}: {measured(last.evaluation, MAE)} meV/Å with {last.n_labels} labels")
    for remark in remarks(campaigns):
        print(f"note: {remark}")
    print(f"figure  {output}")
    uris = {default_tracking_uri(campaign.path.parent) for campaign in campaigns}
    if len(uris) > 1:
        print("MLflow  not in one chart: the campaigns are in different stores")
        return
    (uri,) = uris
    print(f"MLflow  {comparison_address(campaigns, FORCE_MAE, server_of(uri))}")
    if not uri.startswith(("http://", "https://")):
        print(f"        once `alnico ui {sources[0]} --serve` runs")
