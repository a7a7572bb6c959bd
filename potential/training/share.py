"""A committee over several processes, one for each GPU: each trains a share of the members.

Members are coupled by nothing but what is said of all of them: the mean loss, the error of their mean,
the best epoch, and the clock. So each process trains its members as if they were alone, and gathers from the
others what these need; then all come to the same decisions, and the weights are those that one process
would have found, as is the checkpoint, which the first process writes of all members. (A member that is alone
in its process may differ in its last bits: a product of one matrix is not summed up as one of several.)

The others are plain children of the first. They speak through pipes that nobody else can open, and end
when the first does.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from potential.nequip.model import NequIP

PATIENCE_S = 10.0
SERVE = "import sys; from potential.training.share import serve; serve(int(sys.argv[1]))"


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """The members that a process trains, and its way to the others.

    Attributes:
        index: of this process; the first writes the checkpoints and says what is to be said.
        of: how many processes there are.
        others: pipes; of the first to all others, of each other one to the first.
    """

    index: int = 0
    of: int = 1
    others: tuple[Connection, ...] = ()

    @property
    def is_first(self) -> bool:
        return self.index == 0

    def own(self, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of tensors of the whole committee, those of this process's members.

        Weights, and what an optimiser keeps of them, have the members as first of several axes; numbers that
        all members share have one axis, or none.
        """
        return {k: v.tensor_split(self.of)[self.index] if v.dim() > 1 else v for k, v in whole.items()}

    def whole(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The reverse of `own`: tensors of the whole committee, on the CPU where there are others."""
        return {k: self.gather(v) if v.dim() > 1 else v for k, v in own.items()}

    def network(self, whole: NequIP, device: str) -> NequIP:
        """This process's members of a committee; the whole of it where there are no others."""
        if self.of == 1:
            return whole.to(device)
        state = self.own(whole.state_dict())
        network = NequIP(
            whole.config.model_copy(update={"committee_size": len(state["embedding"])}),
            whole.numbers.tolist(),
            avg_num_neighbors=whole.avg_num_neighbors,
            dtype=whole.dtype,
        )
        network.load_state_dict(state)
        return network.to(device)

    def gather(self, own: Shaped[Tensor, "own *rest"]) -> Shaped[Tensor, "all *rest"]:
        """The rows of all processes, in the order of the members.

        Every process must call it, for the same things in the same order. Where there are others the result
        is on the CPU.

        Raises:
            RuntimeError: if a process has died.
        """
        if self.of == 1:
            return own
        mine = own.detach().cpu()
        try:
            if not self.is_first:
                self.others[0].send(mine.numpy())
                return torch.from_numpy(self.others[0].recv())
            parts = [mine, *(torch.from_numpy(other.recv()) for other in self.others)]
            whole = torch.cat(parts)
            for other in self.others:
                other.send(whole.numpy())
        except (EOFError, OSError) as error:
            raise RuntimeError(
                "a process that trains a share of the committee has died; what it said is above. The same "
                "command goes on from the last checkpoint, with `training.processes: 1` in one process."
            ) from error
        return whole


@contextmanager
def team(processes: int, arguments: Mapping[str, Any]) -> Iterator[Share]:
    """Have other processes call `train_committee(**arguments)` with their shares; gives the first share.

    On leaving the context they end. Within it, each process has its part of this one's threads: with
    twice as many threads as cores a step takes three times as long.
    """
    threads = torch.get_num_threads()
    each = max(1, threads // processes)
    started: list[subprocess.Popen[bytes]] = []
    pipes: list[Connection] = []
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    torch.set_num_threads(each)
    try:
        for index in range(1, processes):
            ours, theirs = Pipe()
            pipes.append(ours)
            with theirs:
                command = [sys.executable, "-c", SERVE, str(theirs.fileno())]
                # Ctrl-C reaches the first alone, which decides
                started.append(
                    subprocess.Popen(
                        command, pass_fds=[theirs.fileno()], env=environment, start_new_session=True
                    )
                )
            ours.send_bytes(pickle.dumps((index, processes, each, dict(arguments))))
        yield Share(of=processes, others=tuple(pipes))
    finally:
        torch.set_num_threads(threads)
        for pipe in pipes:
            pipe.close()
        for process in started:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def serve(descriptor: int) -> None:
    """What another process does: train its share, until all is done or the first has gone."""
    from potential.training.train import train_committee

    first = Connection(descriptor)
    try:
        index, of, threads, arguments = pickle.loads(first.recv_bytes())  # noqa: S301 - of our parent
        torch.set_num_threads(threads)  # the last bits of a result depend on it
        train_committee(**arguments, share=Share(index=index, of=of, others=(first,)))
    except (EOFError, OSError, FloatingPointError):
        pass  # the first has gone, or says the same
    except RuntimeError as error:
        if not isinstance(error.__cause__, EOFError | OSError):
            raise
