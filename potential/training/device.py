"""Whether torch can compute where a configuration wants it to."""

from __future__ import annotations

import torch

KINDS = ("cpu", "cuda", "mps", "xpu")


def check_device(name: str, *, elsewhere: bool = False) -> None:
    """Refuse what is no device, and a device that this machine does not have.

    Args:
        elsewhere: another machine will use it; whether it has it shows there.

    Raises:
        ValueError: with what there is instead.
    """
    kind, _, index = name.partition(":")
    if kind not in KINDS or (index and not index.isdigit()):
        raise ValueError(f"{name[:50]!r} is no device of torch; write {', '.join(KINDS)} or, say, cuda:1")
    if elsewhere:
        return
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = (str(error).strip().splitlines() or [""])[0][:150]
        raise ValueError(f"torch {torch.__version__} cannot use {name} here ({why}); write cpu") from None


def device_or_cpu(name: str) -> str:
    """The device, or the CPU where this machine does not have it."""
    try:
        check_device(name)
    except ValueError:
        return "cpu"
    return name
