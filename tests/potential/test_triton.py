"""The Triton kernels against the plain torch form: on a card where there is one, else interpreted."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest
import torch

from potential.kernels.build import CompilerError
from potential.kernels.fused import FusedConvolution
from potential.kernels.triton_kernel import load_triton, triton_kernel
from potential.kernels.triton_source import triton_source
from potential.nequip.convolution import Convolution
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, dimension, feature_irreps

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported
triton = pytest.importorskip("triton", reason="Triton is not installed; it has wheels for Linux only")

ATOMS, EDGES = 3, 5


def table(l_max: int, parity: bool = True) -> PathTable:
    irreps = feature_irreps(l_max, parity)
    return PathTable.of(irreps, l_max, irreps)


def inputs(of: PathTable, channels: int, dtype=torch.float64, members: int = 2, shared: bool = True):
    """h, Y, w, g and edges; the last atom sends and receives nothing."""
    generator = torch.Generator().manual_seed(of.l_max)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(DEVICE, dtype)

    receiver, sender = torch.tensor([[0, 0, 0, 1, 1], [1, 0, 1, 0, 1]], device=DEVICE)
    y = random(1, EDGES, (of.l_max + 1) ** 2).expand(members, -1, -1)
    return (
        random(members, ATOMS, dimension(of.irreps_in), channels),
        y if shared else y + random(members, *y.shape[1:]),
        random(members, EDGES, len(of.paths), channels),
        random(members, ATOMS, of.rows, channels),
        Topology.of(sender, receiver, ATOMS),
    )


def primitives_by_autograd(of: PathTable, h, y, w, g, topology):
    """F, B and A by the plain torch form and its derivatives."""
    h, y, w = (t.clone().requires_grad_() for t in (h, y, w))
    out = Convolution(of).to(h.device, h.dtype)(h, y, w, topology)
    return out.detach(), *torch.autograd.grad(out, (h, w, y), g)


def primitives(kernel, h, y, w, g, topology):
    return (
        kernel.forward(h, y, w, topology),
        kernel.backward(g, y, w, topology),
        *kernel.adjoint(h, y, w, g, topology),
    )


@pytest.mark.parametrize(
    ("l_max", "parity", "channels", "members", "shared"),
    [
        (0, True, 3, 2, True),
        (1, True, 5, 3, True),
        (1, False, 1, 1, False),
        (1, True, 37, 2, False),  # more than one block of channels
        (2, True, 3, 2, True),
        (2, False, 8, 2, False),
        pytest.param(3, True, 3, 1, False, marks=pytest.mark.slow),
        pytest.param(3, False, 2, 2, True, marks=pytest.mark.slow),
    ],
)
def test_primitives_equal_the_plain_form(l_max, parity, channels, members, shared):
    of = table(l_max, parity)
    arguments = inputs(of, channels, members=members, shared=shared)
    kernel = triton_kernel(of, channels, torch.float64, DEVICE)
    found, expected = primitives(kernel, *arguments), primitives_by_autograd(of, *arguments)
    for name, a, b in zip(["F", "B", "Aw", "Ay"], found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, msg=partial("{}: {}".format, name))


def test_float32_is_exact_to_rounding():
    of = table(1)
    exact = primitives_by_autograd(of, *inputs(of, 4))
    kernel = triton_kernel(of, 4, torch.float32, DEVICE)
    for single, double in zip(primitives(kernel, *inputs(of, 4, torch.float32)), exact, strict=True):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=0, atol=5e-6 * float(double.abs().max()))


def test_no_edges():
    of = table(1)
    h, y, w, g, _ = inputs(of, 2)
    none = torch.empty(0, dtype=torch.int64, device=DEVICE)
    kernel = triton_kernel(of, 2, torch.float64, DEVICE)
    found = primitives(kernel, h, y[:, :0], w[:, :0], g, Topology.of(none, none, ATOMS))
    assert [t.numel() for t in found[2:]] == [0, 0]
    assert not found[0].any()
    assert not found[1].any()


@pytest.mark.whole
def test_first_and_second_derivatives():
    of = table(0)
    h, y, w, _, topology = inputs(of, 3, shared=False)
    kernel = triton_kernel(of, 3, torch.float64, DEVICE)
    variables = [t.requires_grad_() for t in (h, y, w)]

    def convolution(h, y, w):
        return FusedConvolution(kernel, 3)(h, y, w, topology)

    assert torch.autograd.gradcheck(convolution, variables, fast_mode=True)
    assert torch.autograd.gradgradcheck(convolution, variables, fast_mode=True)


def test_without_triton_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    load_triton.cache_clear()
    with pytest.raises(CompilerError, match="pip install triton"):
        triton_kernel(table(0), 2, torch.float64, DEVICE)


def test_kernels_that_fail_to_compile_are_a_compiler_error(monkeypatch):
    broken = triton_source(table(0)).replace("tl.store", "tl.no_such_function")
    monkeypatch.setattr("potential.kernels.triton_kernel.triton_source", lambda _: broken)
    with pytest.raises(CompilerError, match="Triton failed on"):
        triton_kernel(table(0), 2, torch.float64, DEVICE)


_COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from potential.nequip.irreps import PathTable, feature_irreps
from potential.kernels.triton_kernel import load_triton
from potential.kernels.triton_source import triton_source

irreps = feature_irreps(1, True)
module = load_triton(triton_source(PathTable.of(irreps, 1, irreps)))
integers = dict.fromkeys(("row", "send", "column", "order", "receive"), "*i64")
integers |= {"atoms": "i32", "edges": "i32", "y_stride": "i32", "U": "constexpr", "BLOCK": "constexpr"}
for pointer in ("*fp32", "*fp64"):
    for kernel in (module.forward, module.backward, module.adjoint):
        signature = {name: integers.get(name, pointer) for name in kernel.arg_names}
        source = ASTSource(kernel, signature, constexprs={"U": 20, "BLOCK": 32})
        built = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 1})
        print(len(built.asm["cubin"]))
"""


@pytest.mark.slow
def test_kernels_compile_to_machine_code_without_a_card(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"ALNICO_CACHE": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path / "triton")}
    command = [sys.executable, "-c", _COMPILE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 6
