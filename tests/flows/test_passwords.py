"""Passwords and TLS in front of both servers, as docs/passwords.md sets them up: for real."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from mlflow import MlflowClient

from flows.record.folder import CampaignFolder
from tests.support.documents import ROOT
from tests.support.installation import Installation, answers, free_port, installation, wait_for

pytestmark = pytest.mark.slow

PREFECT, ADMIN, ANOTHER = (
    "alnico:long-and-random",
    ("admin", "twelve-characters"),
    ("admin", "guessed-wrongly"),
)


def status(url: str, who: tuple[str, str] | None = None) -> int:
    """HTTP's answer."""
    request = Request(url)
    if who is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(who).encode()).decode()}")
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def configuration() -> str:
    """MLflow's file of the documentation."""
    text = (ROOT / "docs" / "passwords.md").read_text()
    return "[mlflow]\n" + text.partition("[mlflow]\n")[2].partition("```")[0]


def run_campaign(prefect: Installation, write_lj_campaign: Callable[..., Path]) -> CampaignFolder:
    path = write_lj_campaign(prefect.folder)
    prefect.call("alnico", "deploy", "lj.yaml", "--rounds-per-run", "5")
    assert prefect.run_to_its_end("campaign-step/lj").startswith("2 of 2 rounds are done.")
    return CampaignFolder.open(path)


@pytest.mark.timeout(1200)
def test_a_campaign_with_both_servers_behind_passwords(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    mlflow, file = f"http://127.0.0.1:{port}", tmp_path / "mlflow.ini"
    file.write_text(
        configuration()
        .replace("/srv/alnico/mlflow-users.db", str(tmp_path / "users.db"))
        .replace("@PASSWORD@", ADMIN[1])
    )
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": PREFECT,
        "PREFECT_API_AUTH_STRING": PREFECT,
        "MLFLOW_AUTH_CONFIG_PATH": str(file),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "random, too",
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": ADMIN[0],
        "MLFLOW_TRACKING_PASSWORD": ADMIN[1],
    }
    with installation(tmp_path / "prefect", tmp_path / "mine", settings) as prefect:
        artifacts = ["--artifacts-destination", str(tmp_path / "artifacts")]
        prefect.start("mlflow", "server", "--app-name", "basic-auth", "--port", str(port), *artifacts)
        wait_for("MLflow", lambda: answers(f"{mlflow}/health"))
        experiments = f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=5"
        assert [status(experiments, who) for who in (None, ANOTHER, ADMIN)] == [401, 401, 200]
        version = f"{prefect.url}/admin/version"
        user, password = PREFECT.split(":")
        assert [status(version, who) for who in (None, ANOTHER, (user, password))] == [401, 401, 200]

        folder = run_campaign(prefect, write_lj_campaign)
        assert len(folder.results()) == 2
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.setenv(name, settings[name])
        assert "lj" in [e.name for e in MlflowClient(tracking_uri=mlflow).search_experiments()]
    secrets = [secret.encode() for secret in (password, ADMIN[1])]
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    assert not [path for path in files if any(secret in path.read_bytes() for secret in secrets)]


def proxy(port: int, mlflow_port: int, folder: Path) -> tuple[list[str], Path, int, int]:
    """The command that starts deployments/tls/nginx.conf for these servers, its certificate and two ports."""
    folder.mkdir()
    certificate, key, conf = folder / "cert.pem", folder / "key.pem", folder / "nginx.conf"
    subject = ["-subj", "/CN=alnico", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    ports = free_port(), free_port()
    text = (ROOT / "deployments" / "tls" / "nginx.conf").read_text()
    for old, new in (
        ("/etc/alnico/cert.pem", certificate),
        ("/etc/alnico/key.pem", key),
        ("listen 4243", f"listen 127.0.0.1:{ports[0]}"),
        ("listen 5443", f"listen 127.0.0.1:{ports[1]}"),
        ("127.0.0.1:4200", f"127.0.0.1:{port}"),
        ("127.0.0.1:5000", f"127.0.0.1:{mlflow_port}"),
    ):
        assert old in text
        text = text.replace(old, str(new))
    conf.write_text(text)
    globally = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
    return ["nginx", "-c", str(conf), "-g", globally], certificate, *ports


@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_a_campaign_with_both_servers_behind_tls(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    settings = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    with installation(tmp_path / "prefect", tmp_path / "mine", settings) as prefect:
        artifacts = ["--artifacts-destination", str(tmp_path / "artifacts")]
        prefect.start("mlflow", "server", "--port", str(port), *artifacts)
        wait_for("MLflow", lambda: answers(f"http://127.0.0.1:{port}/health"))
        command, certificate, *secure = proxy(prefect.port, port, tmp_path / "tls")
        with subprocess.Popen(command) as nginx:
            try:
                mlflow = f"https://127.0.0.1:{secure[1]}"
                prefect.environment |= {
                    "PREFECT_API_URL": f"https://127.0.0.1:{secure[0]}/api",
                    "PREFECT_API_SSL_CERT_FILE": str(certificate),
                    "MLFLOW_TRACKING_URI": mlflow,
                    "MLFLOW_TRACKING_SERVER_CERT_PATH": str(certificate),
                }
                folder = run_campaign(prefect, write_lj_campaign)
                assert len(folder.results()) == 2
                kept = json.loads(folder.tracking.read_text())
                assert kept["tracking_uri"] == mlflow
                monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
                client = MlflowClient(tracking_uri=mlflow)
                assert client.get_run(kept["run_ids"]["campaign"]).info.status == "FINISHED"
            finally:
                nginx.terminate()
