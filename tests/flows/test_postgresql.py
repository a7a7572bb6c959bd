"""One PostgreSQL for Prefect's server, MLflow and the label store, with a password, and a campaign in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.record.folder import CampaignFolder
from labeling.store import LabelStore
from tests.support.installation import answers, free_port, installation, wait_for
from tests.support.postgresql import can_run, postgresql

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not can_run(), reason="needs Debian's postgresql and `pip install 'alnico[postgresql]'`"
    ),
]


@pytest.mark.timeout(1200)
def test_a_campaign_keeps_everything_in_one_postgresql(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = f"http://127.0.0.1:{free_port()}"
    with postgresql("prefect", "mlflow", "labels") as database:
        settings = {
            "PREFECT_API_DATABASE_CONNECTION_URL": database.url("prefect", driver="postgresql+asyncpg"),
            "MLFLOW_BACKEND_STORE_URI": database.url("mlflow"),
            "MLFLOW_TRACKING_URI": mlflow,
            "PGPASSWORD": database.password,
        }
        with installation(tmp_path / "prefect", tmp_path / "mine", settings) as prefect:
            artifacts = ["--artifacts-destination", str(tmp_path / "artifacts")]
            prefect.start("mlflow", "server", "--port", mlflow.rpartition(":")[2], *artifacts)
            wait_for("MLflow", lambda: answers(f"{mlflow}/health"))
            labels = database.url("labels", password=False)
            path = write_lj_campaign(prefect.folder, labeling={"workers": 2, "store": labels})
            prefect.call("alnico", "deploy", "lj.yaml", "--rounds-per-run", "5")
            said = prefect.run_to_its_end("campaign-step/lj")
            assert said.startswith("2 of 2 rounds are done. It has ended.")

            folder = CampaignFolder.open(path)
            monkeypatch.setenv("PGPASSWORD", database.password)
            assert len(LabelStore(labels)) == folder.results()[-1].n_labels + 4  # those of the test set
            client = MlflowClient(tracking_uri=mlflow)
            (experiment,) = [e for e in client.search_experiments() if e.name == "lj"]
            assert len(client.search_runs([experiment.experiment_id])) == 3  # the campaign, two rounds
            assert [model.name for model in client.search_registered_models()] != []
        assert not list(tmp_path.rglob("*.db"))
        files = [p for p in (tmp_path / "mine").rglob("*") if p.is_file()]
        assert files
        assert not [p for p in files if database.password.encode() in p.read_bytes()]
