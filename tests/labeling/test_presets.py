import pytest

from labeling import presets
from potential.molecules import molecule

FUNCTIONS = list(presets.PRESETS.values())


@pytest.mark.parametrize("preset", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_preset_labels_ethanol_and_says_when_to_use_it(preset) -> None:  # type: ignore[no-untyped-def]
    preset().check(molecule("ethanol"))
    assert preset.__doc__.startswith(("For ", "To "))


def test_presets_are_different_levels() -> None:
    assert len({preset().key for preset in FUNCTIONS}) == len(FUNCTIONS) >= 5
