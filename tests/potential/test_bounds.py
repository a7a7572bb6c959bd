"""Numbers that are no setting are refused: true, infinity, what no machine or model could use."""

import pytest
from pydantic import ValidationError

from potential.nequip.model_config import ModelConfig
from potential.training.training_config import TrainingConfig

HUGE, INFINITE, NOT_A_NUMBER = 10**30, float("inf"), float("nan")
OWN_RULES = {"l_max", "radial", "parity"}


@pytest.mark.parametrize("config", [ModelConfig, TrainingConfig])
@pytest.mark.parametrize("value", [True, HUGE, INFINITE, -INFINITE, NOT_A_NUMBER, -1, 1e300, "true"])
def test_every_number_is_bounded(config, value):
    for name, field in config.model_fields.items():
        if isinstance(field.default, bool) or (field.default is not None and isinstance(field.default, str)):
            continue
        with pytest.raises(ValidationError) as caught:
            config(**{name: value})
        assert caught.value.errors()[0]["loc"][0] == name


@pytest.mark.parametrize("config", [ModelConfig, TrainingConfig])
def test_every_default_is_within_its_bounds(config):
    assert config.model_validate(config().model_dump()) == config()


def test_a_cutoff_that_no_bond_reaches():
    with pytest.raises(ValidationError, match="r_max"):
        ModelConfig(r_max=0.3)


def test_nothing_to_learn():
    with pytest.raises(ValidationError, match="energy_weight and force_weight are both 0"):
        TrainingConfig(energy_weight=0, force_weight=0)
    assert TrainingConfig(energy_weight=0).force_weight == 1
