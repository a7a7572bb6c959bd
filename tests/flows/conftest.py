"""Campaigns that are ready, and the servers that they need."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.record.folder import CampaignFolder
from flows.settings.campaign_config import CampaignConfig
from flows.tracking.store import default_tracking_uri
from flows.views.drawings import campaign_drawings, round_drawings
from flows.views.report import write_report
from tests.support import lj_campaign
from tests.support.finished_campaign import CONFIG, build_campaign
from tests.support.once import made_once


@pytest.fixture(scope="session")
def campaign_config() -> CampaignConfig:
    return CONFIG


@pytest.fixture(scope="session")
def reported_campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign with its report; shared between tests, so only for reading."""

    def make(folder: Path) -> None:
        write_report(CampaignFolder.open(build_campaign(folder / "ethanol")))

    return made_once(tmp_path_factory, "reported", make) / "ethanol"


@pytest.fixture(scope="session")
def begun_campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same killed after round 0: no later round, no potential, no report; only for reading."""

    def make(folder: Path) -> None:
        campaign = CampaignFolder.open(build_campaign(folder / "ethanol", finished_rounds=1, potential=False))
        campaign_drawings(campaign)
        round_drawings(campaign.round(0))

    return made_once(tmp_path_factory, "begun", make) / "ethanol"


@pytest.fixture
def finished_campaign(reported_campaign: Path, tmp_path: Path) -> Path:
    """A copy of it without the report, to be changed."""
    folder = shutil.copytree(reported_campaign, tmp_path / "campaigns" / "ethanol")
    CampaignFolder.open(folder).report.unlink()
    return folder


@pytest.fixture
def first_round_only(begun_campaign: Path, tmp_path: Path) -> Path:
    """A copy of the one that was killed, to be changed."""
    return shutil.copytree(begun_campaign, tmp_path / "campaigns" / "ethanol")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, which take seconds to create."""
    from mlflow import MlflowClient

    def make(folder: Path) -> None:
        MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    return made_once(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default store beside the campaigns."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    campaigns = tmp_path / "campaigns"
    campaigns.mkdir(exist_ok=True)
    (campaigns / "mlflow.db").write_bytes(empty_store.read_bytes())
    return default_tracking_uri(campaigns)


@pytest.fixture(scope="module")
def one_mlflow_store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[str]:
    """The address of one store, with its tables, for all campaigns of a module."""
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path_factory.mktemp('mlflow'))}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


@pytest.fixture(scope="session")
def write_lj_campaign() -> Callable[..., Path]:
    return lj_campaign.write_lj_campaign


@pytest.fixture(scope="session")
def whole_campaign(tmp_path_factory: pytest.TempPathFactory, prefect_url: str, empty_store: Path) -> Path:
    """The folder of lj.yaml, whose campaign has run to its end; only for reading, without its lock."""
    return made_once(
        tmp_path_factory, "whole", lambda folder: lj_campaign.run_whole_campaign(folder, empty_store)
    )


@pytest.fixture(scope="session")
def prefect_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect database with its tables, which take ten seconds to create."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        others = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        subprocess.run(
            command, env={**others, "PREFECT_HOME": str(folder)}, check=True, capture_output=True, timeout=300
        )

    return made_once(tmp_path_factory, "prefect-tables", make) / "prefect.db"


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory, prefect_tables: Path) -> Iterator[str]:
    """A Prefect API with a database of its own, as `alnico run` starts it."""
    from flows.engine.prefect_settings import EMBEDDED

    home = tmp_path_factory.mktemp("prefect")
    shutil.copy(prefect_tables, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        for name, value in EMBEDDED.items():
            patch.setenv(name, value)
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

        from flows.engine.prefect_api import prefect_api

        with prefect_api() as wait_for_api:
            wait_for_api()
            patch.setenv("PREFECT_API_AUTH_STRING", PREFECT_API_AUTH_STRING.value())  # for processes of tests
            yield PREFECT_API_URL.value()
