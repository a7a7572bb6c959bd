import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labeling.scratch import ScratchFolder

KILLED = """
import os, signal
from labeling.scratch import ScratchFolder
folder = ScratchFolder()
open(os.path.join(folder.name, "integrals.h5"), "w").close()
print(folder.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    alive, other = ScratchFolder(), tmp_path / "alnico-label-of-an-older-version"
    other.mkdir()
    killed = Path(
        subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True).stdout.strip()
    )
    assert (killed / "integrals.h5").exists()
    new = ScratchFolder()
    assert not killed.exists()
    assert Path(alive.name).is_dir()
    assert other.is_dir()
    for folder in (alive, new):
        folder.cleanup()
        assert not Path(folder.name).exists()
