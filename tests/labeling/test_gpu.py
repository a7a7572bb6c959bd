import sys
from importlib.util import find_spec

import numpy as np
import pytest

from labeling import gpu
from labeling.attempt import Conditions, attempt
from labeling.failure import CannotLabelError
from labeling.level import PySCFLevel
from labeling.pyscf_labeler import compute
from labeling.scf import mean_field
from labeling.workers import LabelingConfig, LabelWorkers

LEVEL = PySCFLevel(grid_level=1)
has_gpu4pyscf = find_spec("gpu4pyscf") is not None


@pytest.mark.skipif(has_gpu4pyscf, reason="gpu4pyscf is installed")
def test_without_gpu4pyscf_nothing_is_begun_and_the_way_out_is_told() -> None:
    with pytest.raises(CannotLabelError, match=r"pip install gpu4pyscf.*backend: cpu"):
        LabelWorkers(LabelingConfig(backend="gpu"))
    with pytest.raises(CannotLabelError, match="backend: cpu"):
        attempt(gpu.WATER, LEVEL, Conditions(backend="gpu"))


def test_a_package_that_is_missing_stops_the_labelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscf", None)
    monkeypatch.setattr(PySCFLevel, "check", lambda self, frame: None)
    with pytest.raises(CannotLabelError, match="PBE/def2-SVP needs a package"):
        attempt(gpu.WATER, LEVEL)


@pytest.mark.parametrize(("level_on_card", "agrees"), [(LEVEL, True), (PySCFLevel(grid_level=2), False)])
def test_numbers_that_do_not_agree_are_refused(
    monkeypatch: pytest.MonkeyPatch, level_on_card: PySCFLevel, agrees: bool
) -> None:
    """In place of the card, PySCF on the same grid level, or on another."""

    def converge(frame, level):
        scf = mean_field(frame, level.model_copy(update={"grid_level": level_on_card.grid_level}))
        scf.kernel()
        return scf

    monkeypatch.setattr(gpu, "_converge", converge)
    gpu._check_agreement.cache_clear()
    if agrees:
        gpu._check_agreement(LEVEL)
    else:
        with pytest.raises(CannotLabelError, match=r"differ for water .* must not mix"):
            gpu._check_agreement(LEVEL)
    gpu._check_agreement.cache_clear()


@pytest.mark.skipif(not has_gpu4pyscf, reason="gpu4pyscf is not installed")
def test_labels_of_both_backends_agree() -> None:
    level = LEVEL.model_copy(update={"conv_tol_hartree": gpu.TIGHT_HARTREE})
    card, cpu = (compute(gpu.WATER, level, backend=backend) for backend in ("gpu", "cpu"))
    assert card.provenance["backend"] == "gpu"
    assert card.energy == pytest.approx(cpu.energy, abs=gpu.ENERGY_TOLERANCE_EV)
    assert np.abs(card.forces - cpu.forces).max() < gpu.FORCE_TOLERANCE_EV_PER_ANGSTROM
