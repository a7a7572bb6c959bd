"""Checkpoints as safetensors (numbers) and JSON (facts); nothing is ever unpickled."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from potential.data.sealed import ALTERED, digest_of_arrays, sealed, unsealed

TENSORS = "tensors"
"""In the facts: the digest of the tensors."""


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write `path`.safetensors atomically, with `facts` (JSON values) in its header; keep the one before.

    The header has digests of both: a training that went on from altered numbers would look like any other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".safetensors")
    temporary = file.with_suffix(".safetensors.tmp")
    contiguous = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    header = sealed({**facts, TENSORS: _digest(contiguous)})
    save_file(contiguous, temporary, metadata={"facts": header})
    if file.exists():
        os.replace(file, _before(path))
    os.replace(temporary, file)


def load_checkpoint(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of `path`.safetensors, or of the one before where it is damaged or of another run.

    Returns:
        None if there is none of this run that can be read.

    Raises:
        IsADirectoryError: where a folder has the name of one, and none could be written.
    """
    for file in (path.with_suffix(".safetensors"), _before(path)):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(file))
        if not file.exists():
            continue
        try:
            with safe_open(file, framework="pt") as reader:
                facts = unsealed(reader.metadata()["facts"])
                tensors = {key: reader.get_tensor(key) for key in reader.keys()}  # noqa: SIM118
            if facts.pop(TENSORS, found := _digest(tensors)) != found:
                raise ValueError(ALTERED)
            of_this_run = facts["identity"] == identity
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{file} is damaged ({error}); an earlier checkpoint is tried", stacklevel=2)
            continue
        if of_this_run:
            return tensors, facts
    return None


def _digest(tensors: Mapping[str, Tensor]) -> str:
    return digest_of_arrays({key: value.numpy() for key, value in tensors.items()})


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before.safetensors")
