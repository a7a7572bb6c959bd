"""The exploration's settings, and those that older files wrote."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from exploration.dynamics.langevin import Langevin
from exploration.dynamics.nve import NVE
from exploration.settings import ExplorationConfig


@pytest.mark.parametrize(
    ("old", "ensemble"),
    [
        ({}, Langevin()),
        ({"friction_per_fs": 0.01}, Langevin(friction_per_fs=0.01)),
        ({"friction_per_fs": 0.3}, Langevin(friction_per_fs=0.3)),
        ({"friction_per_fs": 0}, NVE()),
        ({"friction_per_fs": 0.0}, NVE()),
    ],
)
def test_the_friction_of_older_files_says_which_ensemble(old, ensemble):
    config = ExplorationConfig.model_validate(old | {"timestep_fs": 0.25})
    assert (config.ensemble, config.timestep_fs) == (ensemble, 0.25)
    assert ExplorationConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"friction_per_fs": 0.1, "ensemble": {"scheme": "npt"}},
            "friction_per_fs 0.1 stands beside ensemble",
        ),
        ({"friction_per_fs": -0.1}, "greater than or equal to"),
        ({"ensemble": {"scheme": "nvt"}}, "nvt"),
        ({"ensemble": {"scheme": "nve", "friction_per_fs": 0.1}}, "extra"),
        ({"max_volume_factor": 1.0}, "max_volume_factor"),
    ],
)
def test_an_ensemble_that_is_none_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        ExplorationConfig.model_validate(wrong)


def test_reading_settings_does_not_wait_for_torch():
    lines = "import sys, exploration.settings; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
