"""One description of a compiled function's arguments: the C++ struct, the call, the checks."""

from __future__ import annotations

import pytest
import torch

from potential.kernels.arguments import Array, Entry, Function, Group, Packer
from potential.kernels.build import load

TABLE = Group("table", ("rows",), (Array("index", "rows+1", "index"), Array("scale", "K")))
ENTRY = Entry(
    "add_rows",
    (
        Array("x", "rows K"),
        Array("more", "rows", optional=True),
        Array("out", "steps rows 2", "write"),
    ),
    sizes=("steps",),
    groups=(TABLE,),
)
SOURCE = (
    "#include <cstdint>\ntypedef double T;\nconstexpr int64_t K = 3;\n"
    + "\n".join([TABLE.struct(), ENTRY.struct()])
    + """
extern "C" void add_rows(const Arguments_add_rows& a) {
"""
    + "\n".join(ENTRY.locals())
    + """
  for (int64_t s = 0; s < steps; ++s)
    for (int64_t r = 0; r < rows; ++r) {
      T sum = more ? more[r] : 0;
      for (int64_t k = 0; k < K; ++k) sum += scale[k] * x[r * K + k];
      out[(s * rows + r) * 2] = sum;
      out[(s * rows + r) * 2 + 1] = threads * index[r + 1];
    }
}
"""
)


SCALE = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def function() -> Function:
    return Function(ENTRY, load(SOURCE, ("add_rows",)), {"K": 3}, torch.float64)


def table(**changed):
    given = {"index": torch.arange(5), "scale": SCALE} | changed
    return Packer(TABLE, {"K": 3}, torch.float64)({"rows": 4}, given)


def arguments(**changed):
    out = torch.full((2, 4, 2), -1.0, dtype=torch.float64)
    x = torch.arange(12, dtype=torch.float64).view(4, 3)
    return {"steps": 2, "x": x, "more": None, "out": out} | changed


def test_the_struct_is_the_same_on_both_sides(function):
    given = arguments(more=torch.full((4,), 100.0, dtype=torch.float64))
    function(table(), **given)
    sums = given["x"] @ SCALE + 100
    expected = torch.stack([sums, torch.get_num_threads() * torch.arange(1.0, 5.0, dtype=torch.float64)], 1)
    assert torch.equal(given["out"], expected.expand(2, -1, -1))


def test_what_is_optional_may_be_none(function):
    given = arguments()
    function(table(), **given)
    assert torch.equal(given["out"][0, :, 0], given["x"] @ SCALE)


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
        ({"steps": 3}, r"out must be .*\[steps, rows, 2\] with 24 numbers"),
    ],
)
def test_an_array_that_is_not_as_described_is_refused(function, changed, message):
    given = arguments(**changed)
    with pytest.raises(ValueError, match=f"add_rows: argument {message}" if " must" in message else message):
        function(table(), **given)
    assert bool((given["out"] == -1).all()), "nothing was called"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"index": torch.arange(4)}, r"index must be .* torch.int64 .*\[rows\+1\] with 5 numbers"),
        ({"index": torch.arange(5, dtype=torch.int32)}, "index must be .*; it is torch.int32"),
        ({"scale": torch.ones(4, dtype=torch.float64)}, r"scale must be .*\[K\] with 3 numbers"),
    ],
)
def test_a_group_is_checked_when_it_is_packed(changed, message):
    with pytest.raises(ValueError, match=f"table: argument {message}"):
        table(**changed)


def test_a_group_that_was_packed_for_other_code_is_refused(function):
    wide = Packer(TABLE, {"K": 4}, torch.float64)
    other = wide({"rows": 4}, {"index": torch.arange(5), "scale": torch.ones(4, dtype=torch.float64)})
    with pytest.raises(ValueError, match="add_rows takes groups"):
        function(other, **arguments())
    with pytest.raises(ValueError, match="add_rows takes groups"):
        function(**arguments())


def test_a_packed_group_keeps_its_tensors(function):
    packed, given = table(scale=SCALE.clone()), arguments()
    torch.full((3,), 7.0, dtype=torch.float64)  # would take the place of the clone
    function(packed, **given)
    assert torch.equal(given["out"][0, :, 0], given["x"] @ SCALE)


@pytest.mark.parametrize("name", ["more", "x", "steps"])
def test_every_name_is_needed(function, name):
    given = arguments()
    del given[name]
    with pytest.raises(TypeError, match=f"add_rows was called without '{name}'"):
        function(table(), **given)


def test_no_other_name_is_known(function):
    with pytest.raises(TypeError, match=r"add_rows was called with unknown \['y'\]"):
        function(table(), **arguments(y=None))


def test_a_library_without_the_function_is_no_library_of_it():
    library = load('extern "C" int nothing() { return 0; }\n', ("nothing",))
    with pytest.raises(AttributeError):
        Function(ENTRY, library, {"K": 3}, torch.float64)
