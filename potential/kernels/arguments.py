"""Arguments of compiled functions: one description gives the C++ struct, the call, and its checks.

An `Entry` names its arrays with their shapes, in sizes that a call gives ("atoms") and constants of the
generated code ("U"). A compiled function takes one pointer, to a struct with the arrays' addresses, the
sizes, and the number of threads.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

_CPP = {"read": "const T*", "write": "T*", "index": "const int64_t*"}


@dataclass(frozen=True)
class Array:
    """A contiguous array on the CPU.

    Attributes:
        shape: names of sizes and constants, and numbers, with blanks between; "atoms+1" is a size, too.
        kind: numbers that are read or (also) written, or indices, which are read.
        optional: None is possible, and means that it is not wanted.
    """

    name: str
    shape: str
    kind: Literal["read", "write", "index"] = "read"
    optional: bool = False


@dataclass(frozen=True)
class Entry:
    """A compiled function `name` of `arrays`, whose shapes are in `sizes`."""

    name: str
    sizes: tuple[str, ...]
    arrays: tuple[Array, ...]

    def struct(self) -> str:
        """C++ of the struct `Arguments_name`."""
        arrays = [f"  {_CPP[a.kind]} {a.name};  // [{a.shape.replace(' ', ', ')}]" for a in self.arrays]
        sizes = f"  int64_t {', '.join((*self.sizes, 'threads'))};"
        return "\n".join([f"struct Arguments_{self.name} {{", *arrays, sizes, "};"])

    def locals(self) -> list[str]:
        """C++ that makes the members of such a struct `a` locals, which nobody else can change."""
        arrays = [f"  {_CPP[array.kind]} {array.name} = a.{array.name};" for array in self.arrays]
        return [*arrays, *(f"  const int64_t {size} = a.{size};" for size in (*self.sizes, "threads"))]

    @cached_property
    def structure(self) -> type[ctypes.Structure]:
        """The same struct for `ctypes`."""
        fields: list[tuple[str, type]] = [(array.name, ctypes.c_void_p) for array in self.arrays]
        fields += [(size, ctypes.c_int64) for size in (*self.sizes, "threads")]
        return type(self.name, (ctypes.Structure,), {"_fields_": fields})

    def bind(self, library: ctypes.CDLL, constants: dict[str, int], dtype: torch.dtype) -> Function:
        """The function in `library`, for code generated with `constants` and `dtype`.

        Raises:
            AttributeError: the library has no such function.
        """
        return Function(self, library, constants, dtype)


class Function:
    """A compiled function. It is called with all sizes and arrays of its entry by name.

    Raises:
        TypeError: a name is missing, or unknown.
        ValueError: an array is not as described; nothing was called.
    """

    def __init__(
        self, entry: Entry, library: ctypes.CDLL, constants: dict[str, int], dtype: torch.dtype
    ) -> None:
        self.entry = entry
        self._function = getattr(library, entry.name)
        self._function.restype = None
        self._structure = entry.structure
        self._names = {*entry.sizes, *(array.name for array in entry.arrays)}
        known = constants.keys()
        self._checks = []
        for array in entry.arrays:
            shape = array.shape.split()
            fixed = prod(int(n) if n.isdigit() else constants[n] for n in shape if n.isdigit() or n in known)
            varied = tuple(n for n in shape if not n.isdigit() and n not in known)
            wanted = torch.int64 if array.kind == "index" else dtype
            self._checks.append((array.name, wanted, fixed, varied, array.optional))
        self._varied = {varied for _, _, _, varied, _ in self._checks}

    def __call__(self, **given: Any) -> None:
        if given.keys() != self._names:
            raise TypeError(f"{self.entry.name} takes {sorted(self._names)}, not {sorted(given)}")
        sizes = {size: given[size] for size in self.entry.sizes}
        sizes |= {f"{size}+1": n + 1 for size, n in sizes.items()}
        counts = {varied: prod(sizes[size] for size in varied) for varied in self._varied}
        values: list[int | None] = []
        for name, dtype, fixed, varied, optional in self._checks:
            tensor: Tensor | None = given[name]
            if tensor is None and optional:
                values.append(None)
            elif (
                tensor is None
                or tensor.dtype is not dtype
                or tensor.numel() != fixed * counts[varied]
                or not tensor.is_contiguous()
                or not tensor.is_cpu
            ):
                raise ValueError(self._complaint(name, dtype, fixed * counts[varied], tensor))
            else:
                values.append(tensor.data_ptr())
        values += [given[size] for size in self.entry.sizes]
        self._function(ctypes.byref(self._structure(*values, torch.get_num_threads())))

    def _complaint(self, name: str, dtype: torch.dtype, numbers: int, tensor: Tensor | None) -> str:
        shape = next(array.shape for array in self.entry.arrays if array.name == name)
        found = "None"
        if tensor is not None:
            layout = "contiguous" if tensor.is_contiguous() else "not contiguous"
            found = f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}, {layout}"
        return (
            f"{self.entry.name}: argument {name} must be a contiguous array of {dtype} on the CPU, "
            f"[{shape.replace(' ', ', ')}] with {numbers} numbers in all; it is {found}"
        )
