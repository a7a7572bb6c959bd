"""Commands of `alnico` in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
import json, sys
from flows.cli.app import run_command
codes = [run_command(command) for command in json.loads(sys.argv[1])]
print(json.dumps(codes))
"""


def exit_codes(commands: list[list[str]], **how: Any) -> tuple[list[int], str]:
    """Run the commands one after the other in one process, which takes seconds to start.

    Args:
        how: what `subprocess.run` takes.

    Returns:
        Their exit codes, and what they printed.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        **how,
    )
    assert done.returncode == 0, done.stderr
    *_, codes = done.stdout.splitlines()
    return json.loads(codes), done.stdout
