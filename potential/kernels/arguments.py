"""Arguments of compiled functions: one description gives the C++ structs, the call, and its checks.

An `Entry` names the arrays of a function with their shapes, in sizes that a call gives ("atoms") and
constants of the generated code ("U"). What several calls have in common (a graph, a block's weights) is a
`Group`: it is checked and packed once. A compiled function takes one pointer, to a struct with the addresses
of its arrays and of its groups' structs, the sizes, and the number of threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import zip_longest
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

# Group, dtype, and the constants in the shapes: what two pieces of code must agree on to share a struct.
Kind = tuple[str, torch.dtype, tuple[int, ...]]

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
class Group:
    """Arrays that are given together, with the sizes that they settle."""

    name: str
    sizes: tuple[str, ...]
    arrays: tuple[Array, ...]

    def struct(self) -> str:
        """C++ of the struct `Group_name`."""
        return "\n".join([f"struct Group_{self.name} {{", *_members(self.arrays, self.sizes), "};"])

    @cached_property
    def structure(self) -> type[ctypes.Structure]:
        """The same struct for `ctypes`."""
        return _structure(self.name, [array.name for array in self.arrays], self.sizes)


@dataclass(frozen=True)
class Entry:
    """A compiled function `name` of groups, and of `arrays` and `sizes` of its own."""

    name: str
    arrays: tuple[Array, ...]
    sizes: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    def struct(self) -> str:
        """C++ of the struct `Arguments_name`."""
        groups = [f"  const Group_{group.name}* {group.name};" for group in self.groups]
        members = _members(self.arrays, (*self.sizes, "threads"))
        return "\n".join([f"struct Arguments_{self.name} {{", *groups, *members, "};"])

    def locals(self) -> list[str]:
        """C++ that makes what such a struct `a` has locals, which nobody else can change."""
        lines = []
        parts: list[tuple[str, Group | Entry]] = [(f"a.{group.name}->", group) for group in self.groups]
        for owner, part in [*parts, ("a.", self)]:
            lines += [f"  {_CPP[array.kind]} {array.name} = {owner}{array.name};" for array in part.arrays]
            lines += [f"  const int64_t {size} = {owner}{size};" for size in part.sizes]
        return [*lines, "  const int64_t threads = a.threads;"]

    @cached_property
    def structure(self) -> type[ctypes.Structure]:
        """The same struct for `ctypes`."""
        pointers = [*(group.name for group in self.groups), *(array.name for array in self.arrays)]
        return _structure(self.name, pointers, (*self.sizes, "threads"))


class Packed:
    """A group's struct, and the tensors whose addresses are in it."""

    def __init__(self, packer: Packer, sizes: dict[str, int], tensors: Mapping[str, Tensor | None]) -> None:
        self.kind, self.sizes, self._tensors = packer.kind, sizes, tensors
        addresses = packer.checks.addresses(tensors, sizes)
        self._struct = packer.group.structure(*addresses, *(sizes[size] for size in packer.group.sizes))
        self.address = ctypes.addressof(self._struct)


class Packer:
    """Packs a group, for code generated with `constants` and `dtype`."""

    def __init__(self, group: Group, constants: Mapping[str, int], dtype: torch.dtype) -> None:
        self.group = group
        self.checks = _Checks(group.name, group.arrays, constants, dtype)
        self.kind = _kind(group.name, dtype, tuple(check.fixed for check in self.checks.checks))

    def __call__(self, sizes: dict[str, int], tensors: Mapping[str, Tensor | None]) -> Packed:
        """The struct of tensors, by name.

        Raises:
            TypeError: a name is missing, or unknown.
            ValueError: a tensor is not as described.
        """
        return Packed(self, sizes, tensors)


class Function:
    """A compiled function, called with its groups in their order, and its own sizes and arrays by name.

    Raises:
        AttributeError: on construction: the library has no such function.
        TypeError: a name is missing, or unknown.
        ValueError: an array is not as described, or a group was packed for other code; nothing was called.
    """

    def __init__(
        self, entry: Entry, library: ctypes.CDLL, constants: Mapping[str, int], dtype: torch.dtype
    ) -> None:
        self.entry = entry
        self._function = getattr(library, entry.name)
        self._function.restype = None
        self._structure = entry.structure
        self._kinds = tuple(Packer(group, constants, dtype).kind for group in entry.groups)
        self._checks = _Checks(entry.name, entry.arrays, constants, dtype)

    def __call__(self, *groups: Packed, **given: Any) -> None:
        sizes: dict[str, int] = {}
        values: list[int | None] = []
        for kind, group in zip_longest(self._kinds, groups):
            if kind is None or group is None or group.kind is not kind:
                found = [group.kind for group in groups]
                raise ValueError(f"{self.entry.name} takes groups {self._kinds}, not {found}")
            sizes.update(group.sizes)
            values.append(group.address)
        for size in self.entry.sizes:
            if size not in given:
                raise TypeError(f"{self.entry.name} was called without {size!r}")
            sizes[size] = given.pop(size)
        values += self._checks.addresses(given, sizes)
        values += [sizes[size] for size in self.entry.sizes]
        self._function(ctypes.byref(self._structure(*values, torch.get_num_threads())))


@cache
def _kind(name: str, dtype: torch.dtype, fixed: tuple[int, ...]) -> Kind:
    """One object for equal ones."""
    return name, dtype, fixed


class _Check(NamedTuple):
    """A tensor holds `fixed` numbers times the product `varied` (an index) of sizes."""

    name: str
    dtype: torch.dtype
    fixed: int
    varied: int
    optional: bool


class _Checks:
    def __init__(
        self, owner: str, arrays: tuple[Array, ...], constants: Mapping[str, int], dtype: torch.dtype
    ) -> None:
        self.owner, self.arrays = owner, arrays
        self.checks: list[_Check] = []
        self._products: list[list[tuple[str, int]]] = []  # of sizes, each with what is added to it
        for array in arrays:
            fixed, varied = 1, []
            for part in array.shape.split():
                if part.isdigit() or part in constants:
                    fixed *= int(part) if part.isdigit() else constants[part]
                else:
                    size, plus, one = part.partition("+")
                    varied.append((size, int(one) if plus else 0))
            if varied not in self._products:
                self._products.append(varied)
            wanted = torch.int64 if array.kind == "index" else dtype
            index = self._products.index(varied)
            self.checks.append(_Check(array.name, wanted, fixed, index, array.optional))

    def addresses(self, given: Mapping[str, Any], sizes: Mapping[str, int]) -> list[int | None]:
        """Where the tensors are, if they are as described."""
        products = [prod([sizes[size] + more for size, more in varied]) for varied in self._products]
        found: list[int | None] = []
        for name, dtype, fixed, varied, optional in self.checks:
            tensor: Tensor | None = given.get(name)
            if (
                tensor is not None
                and tensor.dtype is dtype
                and tensor.numel() == fixed * products[varied]
                and tensor.is_contiguous()
                and tensor.is_cpu
            ):
                found.append(tensor.data_ptr())
            elif tensor is None and optional and name in given:
                found.append(None)
            else:
                raise self._error(given, name, dtype, fixed * products[varied])
        if len(given) != len(found):
            unknown = sorted(given.keys() - {array.name for array in self.arrays})
            raise TypeError(f"{self.owner} was called with unknown {unknown}")
        return found

    def _error(self, given: Mapping[str, Any], name: str, dtype: torch.dtype, numbers: int) -> Exception:
        if name not in given:
            return TypeError(f"{self.owner} was called without {name!r}")
        shape = next(array.shape for array in self.arrays if array.name == name)
        tensor, found = given[name], "None"
        if tensor is not None:
            layout = "contiguous" if tensor.is_contiguous() else "not contiguous"
            found = f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}, {layout}"
        return ValueError(
            f"{self.owner}: argument {name} must be a contiguous array of {dtype} on the CPU, "
            f"[{shape.replace(' ', ', ')}] with {numbers} numbers in all; it is {found}"
        )


def _members(arrays: tuple[Array, ...], sizes: tuple[str, ...]) -> list[str]:
    pointers = [f"  {_CPP[a.kind]} {a.name};  // [{a.shape.replace(' ', ', ')}]" for a in arrays]
    return [*pointers, f"  int64_t {', '.join(sizes)};"]


def _structure(name: str, pointers: list[str], sizes: tuple[str, ...]) -> type[ctypes.Structure]:
    fields: list[tuple[str, type]] = [(pointer, ctypes.c_void_p) for pointer in pointers]
    fields += [(size, ctypes.c_int64) for size in sizes]
    return type(name, (ctypes.Structure,), {"_fields_": fields})
