"""A teacher whose walks break: said with the remedy, and said again when the stage goes on."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from exploration.teacher_md import TeacherMD
from flows.errors import CampaignError
from flows.settings.pretraining import FromTeacher
from flows.steps import teacher
from labeling.ase_level import AseLevel
from potential.data.frame import Frame

OCTAHEDRON = 1.8 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
COPPER = Frame.from_atoms(Atoms("Cu6", positions=OCTAHEDRON))
HOT = TeacherMD(temperatures_K=(3000.0,), walkers=2, equilibration_fs=0.0, min_distance_factor=0.8)
SOURCE = FromTeacher(teacher=AseLevel(calculator="ase.calculators.emt.EMT"), frames=400, dynamics=HOT)


@contextmanager
def uncounted() -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def test_walks_that_broke_are_said_each_time(tmp_path: Path) -> None:
    """The second time all walks are in the store, and none is walked."""
    said = set()
    for _ in range(2):
        with pytest.raises(
            CampaignError, match=r"made \d+ of 400 frames; .*MD at 3000 K broke Cu6"
        ) as caught:
            teacher.gather(tmp_path / "teach", [COPPER], SOURCE, seed=0, counting=uncounted)
        said.add(str(caught.value))
    (text,) = said
    made = re.search(r"made (\d+) of", text)
    assert made is not None
    assert 0 < int(made[1]) < 200
    assert "lower temperatures_K" in text
