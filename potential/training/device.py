"""Whether torch can compute where a configuration wants it to."""

from __future__ import annotations

import torch

KINDS = ("cpu", "cuda", "mps", "xpu")


def check_device(name: str) -> None:
    """Refuse what is no device, and a device that this machine does not have.

    Raises:
        ValueError: with what there is instead.
    """
    kind, _, index = name.partition(":")
    if kind not in KINDS or (index and not index.isdigit()):
        raise ValueError(f"{name[:50]!r} is no device of torch; write {', '.join(KINDS)} or, say, cuda:1")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = (str(error).strip().splitlines() or [""])[0][:150]
        raise ValueError(f"torch {torch.__version__} cannot use {name} here ({why}); write cpu") from None
