"""The files in deployments/ that no test can run here: linted, and held to their schemas."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.cli.app import app
from flows.engines.kubernetes import KubernetesSite
from flows.engines.site import read_site
from flows.engines.slurm import SlurmSite
from labeling.workers import LabelingConfig
from tests.support.documents import ROOT

BIN = Path(sys.executable).parent
DEPLOYMENTS = ROOT / "deployments"
DOCKERFILE, COMPOSE = DEPLOYMENTS / "docker" / "Dockerfile", DEPLOYMENTS / "docker" / "compose.yaml"
JOB = DEPLOYMENTS / "kubernetes" / "job.yaml"
CHECKS = {
    "hadolint": (["hadolint"], DOCKERFILE, ("USER 1000\n", "USER\n")),
    "compose": (
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"],
        COMPOSE,
        ("retries: 20", "retry: 20"),
    ),
    "kubernetes": (["kubernetes-validate", "--strict"], JOB, ("backoffLimit", "backofLimit")),
}


def accepts(command: list[str], file: Path) -> bool:
    done = subprocess.run([str(BIN / command[0]), *command[1:], str(file)], capture_output=True, timeout=60)
    return done.returncode == 0


@pytest.mark.parametrize("check", CHECKS)
def test_files_are_accepted_and_broken_ones_are_not(check: str, tmp_path: Path) -> None:
    command, file, (right, wrong) = CHECKS[check]
    assert accepts(command, file)
    text = file.read_text()
    assert right in text
    broken = tmp_path / file.name
    broken.write_text(text.replace(right, wrong, 1))
    assert not accepts(command, broken)


def test_the_image_has_what_the_wheel_needs_and_runs_as_nobody_special() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    packages = {"alnico", "flows", "potential", "exploration", "labeling"}
    assert copied == packages | {"requirements.lock", "pyproject.toml", "README.md", "LICENSE"}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == copied
    assert lines.index("USER 1000") > max(i for i, line in enumerate(lines) if line.startswith("RUN"))
    assert "FROM ${BASE}" in lines


def test_compose_reaches_this_machine_alone_and_shows_no_password() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert set(services) == {"database", "prefect", "mlflow", "worker"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert not re.search(
            r"(?i)(password|auth_string)\W+[^_F]", json.dumps(service.get("environment", {}))
        )
        if name != "worker":
            assert service["healthcheck"]["retries"] >= 20
    assert services["database"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/database"


def test_volumes_of_the_image_are_the_users_who_writes_there() -> None:
    """An engine gives a new volume the owner of its folder in the image, or root where there is none."""
    services = yaml.safe_load(COMPOSE.read_text())["services"].values()
    mounted = {
        volume.split(":")[1] for s in services if s["image"] == "alnico" for volume in s.get("volumes", ())
    }
    (made,) = re.findall(r"install -d -o alnico -g alnico (.*)", DOCKERFILE.read_text())
    assert mounted == set(made.split())


def test_site_files_to_begin_from_are_read_and_hold_their_labels() -> None:
    slurm = read_site(DEPLOYMENTS / "slurm" / "site.yaml", SlurmSite)
    kubernetes = read_site(DEPLOYMENTS / "kubernetes" / "site.yaml", KubernetesSite)
    for site in (slurm, kubernetes):
        site.check_memory(LabelingConfig().memory_GB, DEPLOYMENTS)
        assert site.training is not None


def test_the_job_asks_for_a_gpu_and_runs_a_command_that_there_is() -> None:
    (container,) = yaml.safe_load(JOB.read_text())["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    command, bound, _ = app.parse_args(container["args"], exit_on_error=False, print_error=False)
    assert command.__name__ == "run"
    assert str(bound.arguments["campaign"]) == "/campaigns/ethanol.yaml"
