"""The fused kernels: precision, shared harmonics, building in parallel, and life without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from potential.kernels.build import CompilerError, load
from potential.kernels.fused import FusedConvolution, cpp_kernel
from potential.kernels.source import convolution_source
from potential.nequip.convolution import Convolution
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, feature_irreps

IRREPS = feature_irreps(2, parity=True)
TABLE = PathTable.of(IRREPS, 2, IRREPS)


def inputs(channels: int, dtype: torch.dtype = torch.float64, members: int = 2):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    receiver = torch.randint(0, 6, (40,), generator=generator).sort().values
    topology = Topology.of(torch.randint(0, 6, (40,), generator=generator), receiver, 6)
    return (
        random(members, 6, sum(ir.dim for ir in IRREPS), channels),
        random(1, 40, 9).expand(members, -1, -1),
        random(members, 40, len(TABLE.paths), channels),
        topology,
    )


def fused(channels: int, dtype: torch.dtype = torch.float64) -> FusedConvolution:
    return FusedConvolution(cpp_kernel(TABLE, channels, dtype, torch.device("cpu")), channels)


@pytest.mark.parametrize("channels", [1, 3, 8, 16, 20])
def test_every_channel_count_equals_the_plain_form(channels):
    arguments = inputs(channels)
    expected = Convolution(TABLE)(*arguments)
    torch.testing.assert_close(fused(channels)(*arguments), expected, rtol=1e-12, atol=1e-12)


def test_float32_is_exact_to_rounding():
    exact = Convolution(TABLE)(*inputs(16))
    single = fused(16, torch.float32)(*inputs(16, torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=5e-6 * float(exact.abs().max()))


@pytest.mark.parametrize("form", ["plain", "fused"])
def test_members_have_their_own_slopes_by_the_shared_harmonics(form):
    h, y, w, topology = inputs(4, members=3)
    y = y.requires_grad_()
    out = (Convolution(TABLE) if form == "plain" else fused(4))(h, y, w, topology)
    (slope,) = torch.autograd.grad(out.square().sum(), y)
    for g in range(3):
        own = y[g : g + 1].detach().clone().requires_grad_()
        alone = Convolution(TABLE)(h[g : g + 1], own, w[g : g + 1], topology)
        torch.testing.assert_close(slope[g : g + 1], torch.autograd.grad(alone.square().sum(), own)[0])


@pytest.mark.slow
def test_several_processes_may_build_one_kernel_at_once(tmp_path):
    code = (
        "import torch\n"
        "from potential.nequip.irreps import PathTable, feature_irreps\n"
        "from potential.kernels.build import load\n"
        "from potential.kernels.source import convolution_source\n"
        "irreps = feature_irreps(1, True)\n"
        "load(convolution_source(PathTable.of(irreps, 1, irreps), 4, torch.float32), ('forward',))\n"
    )
    environment = {**os.environ, "ALNICO_CACHE": str(tmp_path)}
    runs = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(3)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    assert len(list(tmp_path.glob("*.so"))) == 1
    assert len(list(tmp_path.iterdir())) == 1, "temporary folders are removed"


def test_without_a_compiler_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("ALNICO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CompilerError, match=r"install g\+\+"):
        load(convolution_source(TABLE, 13, torch.float64), ("forward",))


def test_another_channel_count_than_the_kernels_is_refused():
    with pytest.raises(RuntimeError, match="for 4 channels got 5"):
        fused(4)(*inputs(5))
