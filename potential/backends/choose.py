"""Which backend runs a model: the only place that asks for device, compiler and kind of model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial

from potential.backends.backend import Backend
from potential.backends.compiled import Compiled
from potential.backends.fused import Fused
from potential.backends.proof import prove
from potential.backends.reference import Reference
from potential.backends.replayed import Replayed
from potential.kernels.fused import cpp_kernel
from potential.kernels.triton_kernel import triton_kernel
from potential.nequip.model import NequIP

logger = logging.getLogger(__name__)

# Of the compiler and the proof (RuntimeError), and what packing the weights of an unknown layer may raise.
_UNFIT = (RuntimeError, AttributeError, LookupError, TypeError, ValueError)


def choose_backend(model: NequIP, *, training: bool = False, cuda_graphs: bool = False) -> Backend:
    """The fastest backend that can be built for `model` and agrees with plain torch on it.

    What cannot be built (no compiler) or disagrees (the model was changed, the kernels were not) is passed
    over, with one warning that says why. The model stays where it is from then on.

    Args:
        training: whether `add_gradient` will be called; it is then proven as well.
        cuda_graphs: record energies and slopes (`Replayed`), for many calls on the same atoms.

    Raises:
        ValueError: for `cuda_graphs` on another device.
    """
    if cuda_graphs and model.device.type != "cuda":
        raise ValueError(f"cuda_graphs are for CUDA devices, the model is on {model.device}; leave them out")
    refused = []
    for make in _fastest_first(model, cuda_graphs=cuda_graphs):
        try:
            backend = make(model)
            prove(backend, training=training)
        except _UNFIT as error:
            refused.append(str(error))
            continue
        return _chosen(backend, refused)
    return _chosen(Reference(model), refused)


def _fastest_first(model: NequIP, *, cuda_graphs: bool) -> Iterator[Callable[[NequIP], Backend]]:
    match model.device.type:
        case "cpu":
            if model.config.radial == "spline":
                yield Compiled
            yield partial(Fused, make_kernel=cpp_kernel, name="autograd with the convolution in C++")
        case "cuda":
            in_triton = partial(
                Fused, make_kernel=triton_kernel, name="autograd with the convolution in Triton"
            )
            if cuda_graphs:
                yield lambda model: Replayed(in_triton(model))
            yield in_triton


def _chosen(backend: Backend, refused: list[str]) -> Backend:
    logger.info("a committee of %d runs on %s", backend.model.members, backend.name)
    if refused:
        _warn_once(f"running on {backend.name}, slower than need be: {'; '.join(dict.fromkeys(refused))}")
    return backend


@cache
def _warn_once(message: str) -> None:
    """One warning for each message in the life of a process."""
    warnings.warn(message, RuntimeWarning, stacklevel=4)
