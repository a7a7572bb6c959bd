"""A label store of its own for a test."""

from pathlib import Path

import pytest

from labeling.store import LabelStore


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "campaign" / "labels.db")
