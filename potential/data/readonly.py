"""Values whose arrays cannot be written to, however they came to be."""

from __future__ import annotations

from typing import Any

import numpy as np


class ReadOnlyArrays:
    """Base of frozen dataclasses that are identified by their content.

    Their arrays are read-only after construction and `dataclasses.replace` (`__post_init__`) as well as
    after unpickling and `copy.deepcopy` (`__setstate__`), neither of which keeps numpy's flag. An array
    that the caller can still write to is copied.
    """

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                object.__setattr__(self, name, _frozen(value.copy()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                _frozen(value)
        self.__dict__.update(state)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
