"""The table of calculators: what is not in it is neither imported nor passed on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from pydantic import ValidationError

from labeling.ase_calculators import CALCULATORS
from labeling.ase_level import AseLevel
from labeling.attempt import attempt
from labeling.failure import LabelFailure
from potential.data.frame import Frame
from potential.data.molecules import molecule

XTB = "tblite.ase.TBLite"


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"calculator": "os.system"}, "'os.system' is not in the table"),
        ({"calculator": "evil.EMT"}, "write ase.calculators.emt.EMT"),
        ({"calculator": "ase.calculators.emt"}, "write ase.calculators.emt.EMT"),
        ({"calculator": "ase.calculators.vasp.Vasp"}, "not in the table"),
        ({"calculator": XTB, "parameters": {"methd": "GFN2-xTB"}}, "methd: Extra inputs.*it takes method"),
        ({"calculator": XTB, "parameters": {"method": "GFN3"}}, "method: Input should be 'GFN2-xTB'"),
        ({"calculator": XTB, "parameters": {"accuracy": True}}, "accuracy"),
        ({"calculator": XTB, "parameters": {"accuracy": "0.1"}}, "accuracy"),
        ({"calculator": XTB, "parameters": {"accuracy": float("nan")}}, "accuracy|finite"),
        ({"calculator": XTB, "parameters": {"charge": 1}}, "charge: Extra inputs"),
        ({"calculator": XTB, "parameters": {"method": ["GFN2-xTB"]}}, "parameters"),
        ({"calculator": "ase.calculators.emt.EMT", "parameters": {"label": "/etc/x"}}, "it takes none"),
        ({"calculator": "ase.calculators.lj.LennardJones"}, "sigma: Field required"),
    ],
)
def test_what_is_not_in_the_table_is_refused(settings: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValidationError, match=advice):
        AseLevel(**settings)


def test_a_module_that_is_not_in_the_table_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("open('imported', 'w').close()\nclass EMT: pass\n")
    code = (
        "import sys; sys.path.insert(0, '.')\nfrom labeling.ase_level import AseLevel\n"
        "try: AseLevel(calculator='evil.EMT')\nexcept ValueError: print('refused')\n"
        "print({'tblite', 'pyscf', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["refused", "set()"], done.stderr
    assert not (tmp_path / "imported").exists()


def test_the_key_does_not_change_between_releases() -> None:
    """Labels that were made before stay valid."""
    assert AseLevel(calculator="ase.calculators.emt.EMT").key == "833ca55c4312"
    assert AseLevel(calculator=XTB).key == "08df0ad8dad9"
    assert AseLevel(calculator=XTB, parameters={"electronic_temperature": 300}).key == "08df0ad8dad9"
    assert AseLevel(calculator=XTB, parameters={"method": "GFN2-xTB"}).name == "TBLite(method=GFN2-xTB)"


def test_check_names_the_value_and_the_fix() -> None:
    emt, xtb = AseLevel(calculator="ase.calculators.emt.EMT"), AseLevel(calculator=XTB)
    copper = Frame.from_atoms(bulk("Cu"))
    emt.check(copper)
    for level, frame, advice in (
        (emt, molecule("CO"), r"no parameters for C, O in CO; it has Ag, Al"),
        (emt, Frame.from_atoms(bulk("Cu"), charge=1), r"charge \+1.*write charge: 0"),
        (xtb, Frame.from_atoms(bulk("C")), r"2\.1 A thin.*at least 8 A"),
        (xtb, molecule("H2O").moved(molecule("H2O").positions * 0.3), "overlap"),
    ):
        with pytest.raises(ValueError, match=advice):
            level.check(frame)


def test_what_does_not_converge_is_told_from_other_failures() -> None:
    failure = attempt(molecule("C2H6"), AseLevel(calculator=XTB, parameters={"max_iterations": 1}))
    assert isinstance(failure, LabelFailure)
    assert failure.kind == "not_converged"


def test_every_entry_keeps_its_own_defaults() -> None:
    """A default here that is not the calculator's would name one level and compute another."""
    for path, entry in CALCULATORS.items():
        module, _, name = path.rpartition(".")
        calculator = getattr(__import__(module, fromlist=[name]), name)
        for parameter, field in entry.parameters.model_fields.items():
            if not field.is_required():
                assert calculator.default_parameters[parameter] == field.default, (path, parameter)
