"""No text of a level of theory is executed: not from a YAML file, not from a file with labels, not by PySCF.

Every payload would leave a file behind. PySCF's own reader, which evaluates what it takes for a number,
shows that they do.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from labeling.differences import LEVELS
from labeling.exchange import describe, import_labels
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel, LevelOfTheory
from labeling.recorded import RECORDED
from labeling.statistics import statistics
from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.config import Config
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.molecules import molecule
from potential.data.structure_files import write_frames

UNION, _ = get_args(LevelOfTheory)
LEVEL_TYPES: tuple[type[Config], ...] = get_args(UNION)
WATER = molecule("H2O")
TEXTS = (
    "H S\n  {call} 1.0\n",
    "#BASIS SET:\nH    S\n      {call}   0.03\n      3.4  1.0\nEND\n",
    "H GTH-X\n 1\n 1 0 0 1 1\n {call} 1.0\n",
    "H nelec 0\nH ul\n2 {call} 1.0\n",
    "{call}",
    "PBE+{call}",
)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a payload makes, in a folder where nothing else is."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return tmp_path / "executed"


def payloads(mark: Path) -> list[str]:
    call = f"(open('{mark}','w').close())"
    texts = [text.format(call=call) for text in TEXTS]
    for i, text in enumerate(texts):
        Path(f"{i}.dat").write_text(text)
        Path(f"def{i}").write_text(text)
    names = [name for i in range(len(texts)) for name in (f"{i}.dat", f"def{i}")]
    files = [*names, *(str(Path(name).resolve()) for name in names)]
    return [*texts, *files]


def test_the_payloads_are_executed_by_pyscfs_reader(mark: Path) -> None:
    """Without our settings, or the others below would prove nothing."""
    code = f"from pyscf.gto import basis\nbasis.parse_nwchem.parse({payloads(mark)[0]!r}, 'H')"
    environment = {k: v for k, v in os.environ.items() if k != "PYSCF_CONFIG_FILE"}
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert mark.exists()


def settings(level: type[Config]) -> Iterator[tuple[str, Any]]:
    """Each field that takes text, as a function from a text to the field's value, in all its shapes."""
    for name, field in level.model_fields.items():
        kinds = _kinds(field.annotation)
        if str in kinds:
            yield name, lambda text: text
        if dict in kinds:
            yield name, lambda text: {"default": text}
            yield name, lambda text: {"default": "def2-SVP", "H": text}
            yield name, lambda text: {"default": "def2-SVP", text: "def2-SVP"}
            yield name, lambda text: {"H": text}
        for model in (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Config)):
            for inner, make in settings(model):
                yield name, lambda text, inner=inner, make=make: {inner: make(text)}


def _kinds(annotation: Any) -> set[Any]:
    if isinstance(annotation, UnionType) or get_args(annotation):
        inner = {kind for argument in get_args(annotation) for kind in _kinds(argument)}
        return inner | {getattr(annotation, "__origin__", None)}
    return {type(annotation)} if isinstance(annotation, str) else {annotation}


@pytest.mark.parametrize("context", [None, RECORDED], ids=["configured", "recorded"])
@pytest.mark.parametrize("level", LEVEL_TYPES, ids=lambda level: level.__name__)
def test_no_text_of_a_level_is_executed(level: type[Config], context: Any, mark: Path) -> None:
    tried = 0
    labeler = level.model_fields["labeler"].default
    for field, make in settings(level):
        for text in payloads(mark):
            tried += 1
            try:
                found = LEVELS.validate_python({"labeler": labeler, field: make(text)}, context=context)
                _ = found.name, found.key
                found.check(WATER)
            except ValueError:
                pass
            assert not mark.exists(), (field, make(text))
    assert tried > 0


def test_a_file_that_is_named_like_a_basis_is_not_read(mark: Path) -> None:
    Path("sto-3g").write_text(payloads(mark)[0])
    with pytest.raises(ValidationError, match=r"'sto-3g' is a file.*rename the file"):
        TypeAdapter(LevelOfTheory).validate_python({"labeler": "pyscf", "basis": "sto-3g"})
    assert not mark.exists()


def test_names_of_all_kinds_are_still_names() -> None:
    for basis in ("6-31G*", "6-311++g(d,p)", "6-31G(2df,p)", "aug-cc-pVTZ", "cc-pVTZ@3s2p1d", "DEF2_SVP"):
        level = LEVELS.validate_python({"labeler": "pyscf", "basis": basis})
        level.check(WATER)


@pytest.mark.parametrize("field", ["basis", "ecp", "auxbasis"])
def test_what_a_file_with_labels_says_is_not_executed(field: str, mark: Path) -> None:
    """A level that cannot be is a finding of `verify`; one that could be is named and hashed."""
    frame = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]])
    lj = LennardJonesLevel()
    sound = compute(frame, lj)
    for i, text in enumerate(payloads(mark)):
        level = {"labeler": "pyscf", field: {"Ar": text} if field == "ecp" else text}
        label = Label(
            frame_id=frame.id,
            level_key=lj.key,
            energy=sound.energy,
            forces=sound.forces,
            provenance={"level": level},
        )
        file = Path(f"evil{i}.extxyz")
        write_frames(file, [LabelledFrame(frame=frame, label=label)])
        store = LabelStore(f"labels{i}.db")
        try:
            import_labels(store, file, lj.key)
        except ValueError:  # then somebody else has put it there
            store.add(frame, label)
        assert verify(store).problems
        assert statistics(store)
        assert lj.key in describe(label)
        assert not mark.exists()


def test_pyscf_executes_no_file_that_lies_about(mark: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for folder in (home, Path()):
        (folder / ".pyscf_conf.py").write_text(f"open({str(mark)!r}, 'w').close()")
    code = (
        "import labeling.level as l; l.PySCFLevel(); import pyscf.gto.mole as m; from pyscf.gto.basis import "
        "parse_nwchem, parse_nwchem_ecp, parse_cp2k; print(m.DISABLE_EVAL, parse_nwchem.DISABLE_EVAL, "
        "parse_nwchem_ecp.DISABLE_EVAL, parse_cp2k.DISABLE_EVAL)"
    )
    environment = {**os.environ, "HOME": str(home), "PYSCF_CONFIG_FILE": str(home / ".pyscf_conf.py")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 4, done.stderr
    assert not mark.exists()


def test_a_level_from_a_file_is_the_level_it_was() -> None:
    for settings in ({"basis": {"default": "def2-SVP", "O": "def2-TZVP"}}, {"solvent": {"name": "Water"}}):
        mine = LEVELS.validate_python({"labeler": "pyscf", **settings})
        read = LEVELS.validate_python(mine.model_dump(mode="json"), context=RECORDED)
        assert (read.key, read.name) == (mine.key, mine.name)
