"""One process on a campaign; the lock goes with its process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import CampaignLockedError
from flows.record.lock import campaign_lock, is_locked

HOLD = """
import sys, time
from pathlib import Path
from flows.record.lock import campaign_lock
with campaign_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(
                CampaignLockedError, match=f"process {other.pid} on host {os.uname().nodename}"
            ):
                campaign_lock(tmp_path).__enter__()
            assert f"process {other.pid}" in str(is_locked(tmp_path))
        finally:
            other.send_signal(signal.SIGKILL)
    assert is_locked(tmp_path) is None
    with campaign_lock(tmp_path):
        pass


def test_nested_use_in_one_process(tmp_path: Path):
    with campaign_lock(tmp_path):
        with campaign_lock(tmp_path):
            pass
        assert f"process {os.getpid()}" in str(is_locked(tmp_path))
    assert is_locked(tmp_path) is None


def test_an_untouched_folder_is_not_locked_and_not_made(tmp_path: Path):
    assert is_locked(tmp_path / "new") is None
    assert not (tmp_path / "new").exists()
