"""A learning-curve study as a Prefect flow: a task for each curve, some at once, resumable at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from prefect import flow
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.errors import ConfigError
from flows.interrupts import interrupts
from flows.record.lock import campaign_lock
from flows.settings.study_config import StudyConfig, load_study
from flows.steps.step import step_task
from flows.study.curves import Curve, Data, curves_of, draw_curve, finished_points, folder_of, points_left
from flows.study.report import write_study
from flows.tracking.study_runs import log_curve
from flows.views.console import say
from flows.views.duration import duration


def run_study(source: Path) -> StudyConfig:
    """Run or resume the study of a YAML file in this process.

    Raises:
        ConfigError: if the configuration or a data file is wrong.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, every finished point being on disk.
    """
    config = load_study(source)
    folder_of(config).mkdir(parents=True, exist_ok=True)
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=config.workers)
    with campaign_lock(folder_of(config)), interrupts():
        study.with_options(task_runner=runner)(str(source))
    return config


@flow(
    name="study",
    flow_run_name="{source}",
    task_runner=cast(TaskRunner[Any], ThreadPoolTaskRunner()),
    persist_result=False,
)
def study(source: str) -> str:
    """Learning curves of every strategy with every model and seed, as the YAML file `source` says."""
    config = load_study(Path(source))
    try:
        data = Data.of(config)
    except (ValueError, OSError) as error:
        raise ConfigError(source, [str(error)]) from error
    curves = curves_of(config)
    say(f"study {config.name}: {len(curves)} curves of {len(config.sizes)} sizes, {len(data.pool)} frames")
    # Functions, so that Prefect does not look for futures in a thousand frames.
    starts, left = {(curve.model, curve.seed): curve for curve in curves}, time_left(config)
    for started in [make_start.submit(config, curve, lambda: data) for curve in starts.values()]:
        started.result()
    for finished in [make_curve.submit(config, curve, lambda: data, left) for curve in curves]:
        finished.result()
        write_study(config, finished_points(config))
    return str(folder_of(config))


def time_left(config: StudyConfig) -> Callable[[], str]:
    """Says, whenever it is called, how many points are left, and how long they take at the pace since now."""
    began, (at_first, _) = time.monotonic(), points_left(config)

    def said() -> str:
        left, points = points_left(config)
        if not left or left == at_first:
            return ""
        seconds = (time.monotonic() - began) * left / (at_first - left)
        return f"; {left} of {points} points are left, about {duration(seconds)}"

    return said


@step_task("start", "start of {curve.model}, seed {curve.seed}")
def make_start(config: StudyConfig, curve: Curve, data: Callable[[], Data]) -> None:
    """The first point, which all strategies share; made before they go on at once."""
    next(draw_curve(config, curve, data()))


@step_task("curve", "curve {curve}")
def make_curve(config: StudyConfig, curve: Curve, data: Callable[[], Data], left: Callable[[], str]) -> None:
    """All points of one curve."""
    test = next(iter(config.tests))
    rows = []
    for row in draw_curve(config, curve, data()):
        rows.append(row)
        error = 1000 * float(str(row[f"{test}_force_mae"]))
        say(f"  {curve}: {row['n_labels']} labels, {test} force MAE {error:.1f} meV/Å{left()}")
    names = {"model": curve.model, "strategy": curve.strategy, "seed": str(curve.seed)}
    log_curve(config, names, rows)
