"""The command line `alnico`. Heavy imports wait until a command needs them, so that help is quick.

Exit codes: 0 done, 1 the campaign or command failed, 2 wrong usage or configuration, 3 a campaign waits for
a review or for labels from elsewhere, 130 interrupted.
What is said of errors is in `flows.cli.border`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import App, CycloptsError

from flows.cli import campaign_commands, tool_commands
from flows.cli.border import DEBUG, INTERRUPTED, WRONG_USAGE, end_with
from flows.cli.remarks import remarks_on_terminal
from flows.cli.store_commands import CAMPAIGNS, TOOLS, labels, quarantine
from flows.engine.openmp import let_waiting_threads_sleep
from flows.interrupts import interrupts
from flows.version import version

app = App(
    name="alnico",
    help="Active learning of NequIP committees: from a molecule to a trained potential.\n\n"
    "Start with `alnico init ethanol`, then `alnico run campaign.yaml`.\n\n"
    "Every command takes `--debug`: an error is then shown with its traceback.",
    version=version,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)

GOES_ON = {"run", "study", "label", "train", "pretrain"}
"""Commands that find what they had done when they were interrupted."""

for command in campaign_commands.COMMANDS:
    app.command(command, group=CAMPAIGNS)
for command in tool_commands.COMMANDS:
    app.command(command, group=TOOLS)
app.command(quarantine)
app.command(labels)


def run_command(tokens: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    let_waiting_threads_sleep()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that has no `Å` shows `?`
            stream.reconfigure(errors="replace")
    given = sys.argv[1:] if tokens is None else tokens
    tokens = [token for token in given if token != DEBUG]
    try:
        with interrupts(), remarks_on_terminal():
            app(tokens, exit_on_error=False)
    except CycloptsError:  # which has printed itself
        return WRONG_USAGE
    except BrokenPipeError:  # the reader of `alnico schema | head` has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from here" if {*tokens[:1]} & GOES_ON else ""
        print(f"\ninterrupted{goes_on}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  what nobody expected is told, too, and logged
        return end_with(error, tokens, debug=DEBUG in given)
    return 0


def main() -> None:
    """Entry point of `alnico`."""
    sys.exit(run_command())


if __name__ == "__main__":
    main()
