"""One description of a compiled function's arguments: the C++ struct, the call, the checks."""

from __future__ import annotations

import pytest
import torch

from potential.kernels.arguments import Array, Entry, Function
from potential.kernels.build import load

ENTRY = Entry(
    "add_rows",
    ("rows", "steps"),
    (
        Array("x", "rows K"),
        Array("index", "rows+1", "index"),
        Array("more", "rows", optional=True),
        Array("out", "steps rows 2", "write"),
    ),
)
SOURCE = (
    "#include <cstdint>\ntypedef double T;\nconstexpr int64_t K = 3;\n"
    + ENTRY.struct()
    + """
extern "C" void add_rows(const Arguments_add_rows& a) {
  for (int64_t s = 0; s < a.steps; ++s)
    for (int64_t r = 0; r < a.rows; ++r) {
      T sum = a.more ? a.more[r] : 0;
      for (int64_t k = 0; k < K; ++k) sum += a.x[r * K + k];
      a.out[(s * a.rows + r) * 2] = sum;
      a.out[(s * a.rows + r) * 2 + 1] = a.threads * a.index[r + 1];
    }
}
"""
)


@pytest.fixture(scope="module")
def function() -> Function:
    return ENTRY.bind(load(SOURCE, ("add_rows",)), {"K": 3}, torch.float64)


def arguments(**changed):
    out = torch.full((2, 4, 2), -1.0, dtype=torch.float64)
    x = torch.arange(12, dtype=torch.float64).view(4, 3)
    given = {"rows": 4, "steps": 2, "x": x, "index": torch.arange(5), "more": None, "out": out}
    return given | changed


def test_the_struct_is_the_same_on_both_sides(function):
    given = arguments(more=torch.full((4,), 100.0, dtype=torch.float64))
    function(**given)
    sums = given["x"].sum(1) + 100
    expected = torch.stack([sums, torch.get_num_threads() * torch.arange(1.0, 5.0, dtype=torch.float64)], 1)
    assert torch.equal(given["out"], expected.expand(2, -1, -1))


def test_what_is_optional_may_be_none(function):
    given = arguments()
    function(**given)
    assert torch.equal(given["out"][0, :, 0], given["x"].sum(1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"x": torch.zeros(4, 3)},
            r"x must be .* torch.float64 .*\[rows, K\] with 12 .*torch.float32",
        ),
        ({"x": torch.zeros(3, 3, dtype=torch.float64)}, r"x must be .* with 12 numbers in all; .*\[3, 3\]"),
        ({"x": torch.zeros(3, 4, dtype=torch.float64).T}, "not contiguous"),
        ({"x": torch.zeros(4, 3, dtype=torch.float64, device="meta")}, "on meta"),
        ({"x": None}, "x must be .* it is None"),
        ({"index": torch.arange(4)}, r"index must be .* torch.int64 .*\[rows\+1\] with 5 numbers"),
        ({"index": torch.arange(5, dtype=torch.int32)}, "torch.int32"),
        ({"rows": 5}, "x must be"),
        ({"steps": 3}, r"out must be .*\[steps, rows, 2\] with 24 numbers"),
    ],
)
def test_an_array_that_is_not_as_described_is_refused(function, changed, message):
    given = arguments(**changed)
    with pytest.raises(ValueError, match=f"add_rows: argument {message}" if " must" in message else message):
        function(**given)
    assert bool((given["out"] == -1).all()), "nothing was called"


def test_names_are_checked(function):
    given = arguments()
    del given["more"]
    with pytest.raises(TypeError, match="add_rows takes"):
        function(**given)
    with pytest.raises(TypeError, match="add_rows takes"):
        function(**arguments(y=None))


def test_a_library_without_the_function_is_no_library_of_it(function):
    library = load('extern "C" int nothing() { return 0; }\n', ("nothing",))
    with pytest.raises(AttributeError):
        ENTRY.bind(library, {"K": 3}, torch.float64)
