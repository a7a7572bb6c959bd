import pytest
from ase.build import bulk

from labeling import presets
from potential.data.frame import Frame
from potential.data.molecules import molecule

DIAMOND = Frame.from_atoms(bulk("C", "diamond", 3.57))
FUNCTIONS = list(presets.PRESETS.values())


@pytest.mark.parametrize("preset", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_preset_labels_ethanol_or_diamond_and_says_when_to_use_it(preset) -> None:
    level = preset()
    level.check(DIAMOND if level.labeler == "pyscf_periodic" else molecule("ethanol"))
    assert preset.__doc__.startswith(("For ", "To "))


def test_presets_are_different_levels() -> None:
    assert len({preset().key for preset in FUNCTIONS}) == len(FUNCTIONS) >= 5
