"""Where results go is looked at before the work, and nothing that is read or stored is replaced by them."""

from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.cli.output import keep_earlier, require_folder, require_output
from flows.errors import ConfigError
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.frame import Frame
from potential.data.structure_files import write_frames

DIMER = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of structures, a level of theory, and a store with a label."""
    monkeypatch.chdir(tmp_path)
    write_frames("dimer.extxyz", [DIMER])
    Path("level.yaml").write_text("labeler: lennard_jones\n")
    with LabelStore("labels.db") as store:
        store.add(DIMER, compute(DIMER, LennardJonesLevel()))
    Path("folder").mkdir()
    Path("file").write_text("mine")
    return tmp_path


LABEL = ["label", "dimer.extxyz", "--level", "level.yaml", "--store", "new.db"]
EXPORT = ["labels", "export", "labels.db"]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ([*LABEL, "--output", "folder"], 1, "in the way (folder)"),
        ([*LABEL, "--output", "file/labelled.extxyz"], 1, "in the way (file)"),
        ([*LABEL, "--output", "/proc/labelled.extxyz"], 1, "(/proc)"),
        ([*LABEL, "--output", "dimer.extxyz"], 2, "would replace what is read from dimer.extxyz"),
        ([*LABEL, "--output", "folder/../dimer.extxyz"], 2, "would replace what is read"),
        ([*LABEL, "--output", "new.db"], 2, "name of a label store"),
        ([*LABEL, "--output", "level.yaml"], 2, "is there already, and is no table or structures"),
        ([*EXPORT, "labels.db"], 2, "name of a label store"),
        ([*EXPORT, "folder"], 1, "in the way (folder)"),
    ],
)
def test_an_output_that_cannot_be_is_said_before_the_work(
    command: list[str], code: int, said: str, here: Path, capsys: pytest.CaptureFixture[str]
):
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    assert run_command(command) == code
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == before


def test_of_a_folder_that_is_read_no_file_is_replaced(here: Path):
    potential = here / "potential"
    potential.mkdir()
    (potential / "MODEL_CARD.md").write_text("mine")
    require_output(potential / "frequencies.csv", reads=[potential])
    with pytest.raises(ConfigError, match="would replace what is read from"):
        require_output(potential / "MODEL_CARD.md", reads=[potential])
    (here / "link").symlink_to(potential)
    with pytest.raises(ConfigError, match="would replace what is read from"):
        require_output(here / "link" / "MODEL_CARD.md", reads=[potential])


def test_a_folder_of_results_is_made_or_refused(here: Path):
    require_folder(here / "new" / "results")
    assert not list((here / "new" / "results").iterdir())
    with pytest.raises(NotADirectoryError):
        require_folder(here / "file" / "results")
    with pytest.raises(FileExistsError):
        require_folder(here / "file")


def test_earlier_trajectories_get_other_names(here: Path):
    output = here / "md.extxyz"
    assert keep_earlier(output) is None
    for i in range(1, 4):
        output.write_text(f"{i}")
        assert keep_earlier(output) == here / f"md.{i}.extxyz"
    assert [(here / f"md.{i}.extxyz").read_text() for i in (1, 2, 3)] == ["1", "2", "3"]
    output.touch()  # of a run that wrote nothing
    assert keep_earlier(output) is None
