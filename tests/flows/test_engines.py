"""The engines: how they are written, what they would start, and the contract of those that run here."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from flows.cli.app import run_command
from flows.engines import AnyEngine, DaskScheduler, Kubernetes, LocalCluster, NodeDiedError, Slurm, Threads
from flows.engines.dask_client import OnDask
from flows.engines.engine import EngineLostError, Running
from flows.engines.kubernetes import keys_of, worker_command
from flows.errors import ConfigError
from flows.settings.template import commented_yaml
from flows.settings.yaml_file import load_config
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel, PySCFLevel
from labeling.task import close_workers, label
from labeling.workers import LabelingConfig
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.molecules import molecule

LJ, TWO = LennardJonesLevel(), LabelingConfig(workers=2, memory_GB=0.5)
SLOW = PySCFLevel(basis="def2-QZVP", density_fit=False)
READ: TypeAdapter[Any] = TypeAdapter(AnyEngine)
SLURM_SITE = """
account: chem-123
interface: ib0
prologue: [module load gcc, source venv/bin/activate]
label:
  {queue: cpu, cores: 8, memory_GB: 32, gpus: 1, walltime: "08:00:00", jobs: 10,
   directives: [--constraint=a100]}
training: {queue: gpu, cores: 6, memory_GB: 24, gpus: 1, walltime: "1-00:00:00"}
"""
KUBERNETES_SITE = """
image: registry.example/alnico:0.1.0
namespace: chem
host: alnico-flow.chem
label: {cores: 4, memory_GB: 16, jobs: 3, gpus: 1, node_selector: {accelerator: a100}}
"""


def argon(seed: int) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    return Frame.of([18] * 3, positions + np.random.default_rng(seed).normal(0, 0.1, (3, 3)))


@pytest.mark.parametrize(
    ("written", "engine"),
    [
        ("threads", Threads()),
        ("local_cluster", LocalCluster()),
        ({"dask": "tcp://host:8786"}, DaskScheduler(dask="tcp://host:8786")),
        (
            {"dask": "tls://host:1", "jobs": ["training"]},
            DaskScheduler(dask="tls://host:1", jobs=("training",)),
        ),
        ({"slurm": "site.yaml"}, Slurm(slurm=Path("site.yaml"))),
        ({"kubernetes": "site.yaml"}, Kubernetes(kubernetes=Path("site.yaml"))),
    ],
)
def test_written_as_a_word_or_a_word_with_what_it_needs(written: Any, engine: Any) -> None:
    assert READ.validate_python(written) == engine
    assert READ.dump_python(engine, mode="json", exclude_defaults=True) == written
    assert READ.validate_python(READ.dump_python(engine, mode="json")) == engine


@pytest.mark.parametrize("wrong", ["thread", {"dask": "host:8786"}, {"slurm": "a", "b": 1}, 3, None, {}])
def test_what_is_no_engine_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(wrong)


def test_in_the_campaigns_file(tmp_path: Path, write_lj_campaign: Callable[..., Path]) -> None:
    path = write_lj_campaign(tmp_path, labeling={"engine": {"slurm": "sites/big.yaml"}})
    config = load_config(path)
    assert config.labeling.engine == Slurm(slurm=tmp_path / "sites" / "big.yaml")
    (tmp_path / "again.yaml").write_text(commented_yaml(config))
    assert load_config(tmp_path / "again.yaml") == config
    plain = load_config(write_lj_campaign(tmp_path))
    assert plain.labeling.engine == Threads()
    assert "  engine: threads  " in commented_yaml(plain)
    with pytest.raises(ConfigError, match="unknown value 'threds'; did you mean 'threads'"):
        load_config(write_lj_campaign(tmp_path, labeling={"engine": "threds"}))


def test_the_job_script_before_any_job(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lj_campaign(tmp_path, labeling={"engine": {"slurm": "site.yaml"}})
    assert run_command(["engine", str(path), "--dry-run"]) == 2
    assert "there is no such site file" in capsys.readouterr().err
    (tmp_path / "site.yaml").write_text(SLURM_SITE)
    assert run_command(["engine", str(path), "--dry-run"]) == 0
    label_job, training_job = capsys.readouterr().out.split("# each training: a job by sbatch\n")
    for line in ("-p cpu", "-A chem-123", "--cpus-per-task=8", "--mem=30G", "-t 08:00:00"):
        assert f"#SBATCH {line}\n" in label_job
    assert label_job.startswith("# labels: up to 10 jobs by sbatch\n#!")
    assert "\nmodule load gcc\nsource venv/bin/activate\n" in label_job
    assert "--nthreads 8" in label_job
    assert "--interface ib0" in label_job
    for line in ("--gres=gpu:1", "--constraint=a100"):
        assert f"#SBATCH {line}\n" in label_job
    for line in ("-p gpu", "--cpus-per-task=6", "--mem=23G", "-t 1-00:00:00", "--gres=gpu:1"):
        assert f"#SBATCH {line}\n" in training_job


def test_no_name_of_a_folder_runs_in_a_job(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("label: {}\npython: ~/env/bin/python -u")
    assert "~/env/bin/python -u -m" in Slurm(slurm=site).dry_run(
        LabelingConfig(memory_GB=1.0), tmp_path / "a.b"
    )
    for name in ("$(touch x)", "a;b", "a b", "a\nb", "`a`"):
        with pytest.raises(ConfigError, match="which job scripts do not take"):
            Slurm(slurm=site).dry_run(LabelingConfig(memory_GB=1.0), tmp_path / name)


@pytest.mark.parametrize(
    "odd", ["image: 'a b'", "image: a\nnamespace: A:b", "image: a\nlabel: {node_selector: {a: 'b\tc'}}"]
)
def test_what_kubernetes_would_refuse(odd: str, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(f"host: flow\n{odd}" + ("" if "label" in odd else "\nlabel: {}"))
    with pytest.raises(ConfigError, match="String should match"):
        Kubernetes(kubernetes=tmp_path / "site.yaml").dry_run(LabelingConfig(memory_GB=1.0), tmp_path)


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ("label: {cores: 8, memory_GB: 16}", "write 32, or fewer cores"),
        ("label: {cores: 1, walltime: tomorrow}", "label.walltime"),
        ("label: {cores: 1, cores: 2}", "label.cores: given twice"),
        ("a: &a [*a]", "holds itself, by an alias"),
        ("account: " + "[" * 5000, "nested deeper than 20 levels"),
        ("cores: !!int abc", "a value that its YAML tag does not allow"),
        ("label: {cores: 1, queue: 'cpu; rm -r x'}", "label.queue"),
        ('prologue: ["a\\nb"]\nlabel: {}', "prologue.0"),
        ("label: {gpu: 1}", "label.gpu"),
        ("python: python$(touch x)\nlabel: {}", "python: String should match"),
        ("python: 'python;touch x'\nlabel: {}", "python: String should match"),
        ("label: {walltime: '00:00:00'}", "no limit; write at least"),
        ("label: {walltime: '1:00:99'}", "label.walltime"),
        ("account: a", "label: Field required"),
        ("- 1", "site.yaml: 1 problem"),
        ("a: b: c", "line 1: not YAML"),
    ],
)
def test_a_wrong_site_says_what_is_wrong(site: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(site)
    with pytest.raises(ConfigError) as caught:
        Slurm(slurm=tmp_path / "site.yaml").dry_run(LabelingConfig(memory_GB=4.0), tmp_path)
    assert said in str(caught.value)


def test_the_pods_are_what_kubernetes_takes(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(KUBERNETES_SITE)
    dry = Kubernetes(kubernetes=tmp_path / "site.yaml").dry_run(LabelingConfig(), tmp_path)
    made = json.loads(dry)
    for item in made["items"]:
        kubernetes_validate.validate(item, "1.31", strict=True)
    job = made["items"][1]["spec"]
    assert job["parallelism"] == 3
    pod = job["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "16000M", "nvidia.com/gpu": 1}
    assert pod["nodeSelector"] == {"accelerator": "a100"}
    assert "persistentVolumeClaim" not in str(made)
    broken = made["items"][1] | {"spec": job | {"parallelism": "three"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.31", strict=True)


def test_a_pod_that_trains_sees_the_campaigns_folder(tmp_path: Path) -> None:
    engine = Kubernetes(kubernetes=tmp_path / "site.yaml")
    (tmp_path / "site.yaml").write_text(KUBERNETES_SITE + "training: {cores: 8, memory_GB: 16, gpus: 1}\n")
    with pytest.raises(ConfigError, match="name its `volume"):
        engine.takes("training")
    with (tmp_path / "site.yaml").open("a") as site:
        site.write("volume: {claim: campaigns, path: /campaigns}\n")
    assert engine.takes("training")
    assert not engine.takes("exploration")
    decoder, shown = json.JSONDecoder(), engine.dry_run(TWO, tmp_path)
    _, end = decoder.raw_decode(shown)
    training = json.loads(shown[end:])["items"][1]
    kubernetes_validate.validate(training, "1.31", strict=True)
    pod = training["spec"]["template"]["spec"]
    assert training["spec"]["parallelism"] == 1
    assert {"name": "campaigns", "persistentVolumeClaim": {"claimName": "campaigns"}} in pod["volumes"]
    assert {"name": "campaigns", "mountPath": "/campaigns"} in pod["containers"][0]["volumeMounts"]


def test_without_its_programs_an_engine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "slurm.yaml").write_text("label: {}")
    (tmp_path / "kubernetes.yaml").write_text("image: alnico\nhost: flow\nlabel: {}")
    for engine, program in (
        (Slurm(slurm=tmp_path / "slurm.yaml"), "sbatch"),
        (Kubernetes(kubernetes=tmp_path / "kubernetes.yaml"), "kubectl"),
    ):
        with pytest.raises(ConfigError, match=f"no `{program}` here"), engine.open(TWO, tmp_path):
            pass


# The contract, for those that run here: threads of this process, and Dask.


@pytest.fixture(params=["threads", "dask", pytest.param("local_cluster", marks=pytest.mark.slow)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    if request.param != "dask":
        with READ.validate_python(request.param).open(TWO, tmp_path) as opened:
            yield opened
        return
    from distributed import LocalCluster as DaskCluster

    with DaskCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:  # its worker is threads of this process
        with DaskScheduler(dask=cluster.scheduler_address).open(TWO, tmp_path) as opened:
            yield opened
        close_workers()


def test_it_gives_the_labels_in_order(running: Running) -> None:
    frames = [argon(seed) for seed in range(5)]
    config = running.on_node(TWO)
    found = list(running.each(label, [(frame, LJ, config, None) for frame in frames]))
    assert running.at_once == 2
    for frame, outcome in zip(frames, found, strict=True):
        assert isinstance(outcome, Label)
        assert outcome.frame_id == frame.id
        assert outcome.energy == compute(frame, LJ).energy


def test_it_raises_what_the_function_raises(running: Running) -> None:
    with pytest.raises(ZeroDivisionError):
        list(running.each(divmod, [(1, 1), (1, 0)]))


def test_it_breaks_off_what_runs(running: Running) -> None:
    """In a thread, as a task of the flow calls it."""
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            list(running.each(label, [(molecule("C6H6"), SLOW, running.on_node(TWO), None)]))
        except (RuntimeError, EngineLostError) as error:  # stopped, or its process while it started
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1.0)
    began = time.monotonic()
    running.cancel()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert raised
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_a_worker_that_dies_is_told_of_at_once(tmp_path: Path) -> None:
    with LocalCluster().open(TWO, tmp_path) as running:
        with pytest.raises(NodeDiedError) as died:
            list(running.each(_die, [()]))
        assert died.value.deaths == 1
        assert list(running.each(divmod, [(7, 2)])) == [(3, 1)]  # another, or its successor


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_pods_command_finds_the_flow(tmp_path: Path) -> None:
    """What the manifest's container runs, as a process here: by TLS, with the keys of the secret."""
    from distributed import Client, Security, SpecCluster
    from distributed.scheduler import Scheduler

    security = Security.temporary()
    options = {"host": "127.0.0.1", "protocol": "tls://", "dashboard": False, "security": security}
    scheduler = {"cls": Scheduler, "options": options}
    with (
        SpecCluster(workers={}, scheduler=scheduler, security=security) as cluster,
        Client(cluster) as client,
    ):
        keys = keys_of(security)
        for name, content in keys.items():
            (tmp_path / name).write_text(content)
        command = [sys.executable, *worker_command(cluster.scheduler_address, 2, str(tmp_path))[1:]]
        pod = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            client.wait_for_workers(1, timeout=60)
            running = OnDask(client)
            assert running.at_once == 2
            (found,) = running.each(label, [(argon(0), LJ, running.on_node(TWO), None)])
            assert found.energy == compute(argon(0), LJ).energy
        finally:
            os.killpg(pod.pid, signal.SIGTERM)
            pod.wait(timeout=30)
