"""What TF32 would cost in accuracy, emulated: `python -m benchmarks.tf32 CAMPAIGN` (no GPU needed).

TF32 keeps 10 of float32's 23 mantissa bits of the operands of a matrix product and adds up in
float32. Here the operands of every matrix product are rounded so, forward and backward, and the
forces of the campaign's potential on its test frames are compared with those in full float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from potential.backends.derivatives import energy_and_forces
from potential.backends.reference import Reference
from potential.data.structure_files import read_frames
from potential.nequip.batch import Structures
from potential.nequip.precision import float32_products
from potential.package import load_potential

_PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm}
_DROPPED_BITS = 13


class EmulatedTF32(TorchDispatchMode):
    """Rounds the float32 operands of matrix products where a CUDA device would compute them in TF32.

    Attributes:
        products: how many were rounded.
    """

    products = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        allowed = torch.backends.cuda.matmul.fp32_precision == "tf32"
        if allowed and func.overloadpacket in _PRODUCTS and args[-1].dtype == torch.float32:
            self.products += 1
            args = (*args[:-2], rounded(args[-2]), rounded(args[-1]))
        return func(*args, **(kwargs or {}))


def rounded(x: Tensor) -> Tensor:
    """To the nearest float32 whose lowest 13 mantissa bits are zero."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + (1 << (_DROPPED_BITS - 1))) & -(1 << _DROPPED_BITS)).view(torch.float32)


def main(campaign: Path) -> None:
    model = load_potential(campaign / "potential")
    backend = Reference(model)
    frames = read_frames(campaign / "frames" / "test.extxyz")
    structures = Structures.of(frames)
    exact = energy_and_forces(backend, structures)
    with EmulatedTF32() as mode, float32_products("tf32"):
        emulated = energy_and_forces(backend, structures)
    forces = 1000 * (emulated.forces - exact.forces).abs()
    energy = 1000 * (emulated.energy - exact.energy).abs() / structures.n_atoms
    print(f"{len(frames)} frames, {model.members} members, {mode.products} matrix products rounded")
    print(f"force difference, meV/Å: mean {float(forces.mean()):.3f}, largest {float(forces.max()):.3f}")
    print(f"energy difference, meV/atom: mean {float(energy.mean()):.4f}, largest {float(energy.max()):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", type=Path, help="folder of a campaign, with potential/ and frames/")
    main(parser.parse_args().campaign)
