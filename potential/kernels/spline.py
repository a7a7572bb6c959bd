"""Evaluation of splines at edges, fused: w[e] = sum_j b[e, j] c[interval(e) + j].

It is linear in b and in c, so three primitives are closed under differentiation:

  S(b, c) = w          backward: D(c_w, c) for b, T(b, c_w) for c
  D(w, c)[e, j] = w[e] . c[interval(e) + j]
  T(b, w)[k] = sum of b[e, j] w[e] over the edges with interval(e) + j = k
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.kernels.build import CompilerError, load, warn_once


@dataclass(frozen=True, kw_only=True, eq=False)
class Intervals:
    """Which interval of the splines each edge lies in.

    Attributes:
        of_edge: interval of each edge, 0 .. n_coefficients - 4.
        order: the edges sorted by interval.
        first: the edges of interval k are order[first[k] .. first[k + 1]].
    """

    of_edge: Int[Tensor, "edges"]
    order: Int[Tensor, "edges"]
    first: Int[Tensor, "intervals_plus_1"]

    @classmethod
    def of(cls, of_edge: Int[Tensor, "edges"], n_intervals: int) -> Intervals:
        counts = torch.bincount(of_edge, minlength=n_intervals)
        return cls(
            of_edge=of_edge,
            order=torch.argsort(of_edge, stable=True),
            first=torch.nn.functional.pad(torch.cumsum(counts, 0), (1, 0)),
        )


def evaluate_spline(
    b: Float[Tensor, "members edges 4"],
    c: Float[Tensor, "members coefficients columns"],
    intervals: Intervals,
) -> Float[Tensor, "members edges columns"]:
    """The splines `c` at the edges, by the fused kernel on the CPU, else by torch operations."""
    kernel = _kernel(c.dtype) if c.device.type == "cpu" else None
    if kernel is None:
        return plain_spline(b, c, intervals)
    return _Evaluate.apply(b, c, intervals, kernel)


def plain_spline(
    b: Float[Tensor, "members edges 4"],
    c: Float[Tensor, "members coefficients columns"],
    intervals: Intervals,
) -> Float[Tensor, "members edges columns"]:
    """The reference: four gathered rows, weighted and summed."""
    terms = [b[:, :, j : j + 1] * c.index_select(1, intervals.of_edge + j) for j in range(4)]
    return terms[0] + terms[1] + terms[2] + terms[3]


class _Kernel:
    def __init__(self, dtype: torch.dtype) -> None:
        library = load(_SOURCE.replace("REAL", {torch.float32: "float", torch.float64: "double"}[dtype]))
        self._evaluate, self._dot, self._transpose = library.evaluate, library.dot, library.transpose

    def evaluate(self, b: Tensor, c: Tensor, intervals: Intervals) -> Tensor:
        b, c = _rows(b), c.contiguous()
        w = c.new_empty(c.shape[0], b.shape[1], c.shape[2])
        self._call(self._evaluate, [b, c, w, intervals.of_edge], b, c)
        return w

    def dot(self, w: Tensor, c: Tensor, intervals: Intervals) -> Tensor:
        w, c = w.contiguous(), c.contiguous()
        b = c.new_empty(c.shape[0], w.shape[1], 4)
        self._call(self._dot, [w, c, b, intervals.of_edge], b, c)
        return b

    def transpose(self, b: Tensor, w: Tensor, n: int, intervals: Intervals) -> Tensor:
        b, w = _rows(b), w.contiguous()
        c = w.new_empty(w.shape[0], n, w.shape[2])
        self._call(self._transpose, [b, w, c, intervals.order, intervals.first], b, c)
        return c

    def _call(self, function: Any, tensors: list[Tensor], b: Tensor, c: Tensor) -> None:
        stride = b.stride(0) if b.shape[0] > 1 else 0
        sizes = [c.shape[0], b.shape[1], c.shape[1], c.shape[2], stride]
        function(
            *(ctypes.c_void_p(t.data_ptr()) for t in tensors),
            *(ctypes.c_int64(n) for n in sizes),
            ctypes.c_int(torch.get_num_threads()),
        )


@cache
def _kernel(dtype: torch.dtype) -> _Kernel | None:
    try:
        return _Kernel(dtype)
    except CompilerError as error:
        warn_once(f"running the slower plain torch splines: {error}")
        return None


def _rows(b: Tensor) -> Tensor:
    """Contiguous for each member; values that all members share stay one copy (stride 0)."""
    return b if b[0].is_contiguous() else b.contiguous()


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, c: Tensor, intervals: Intervals, kernel: _Kernel) -> Tensor:
        ctx.save_for_backward(b, c)
        ctx.rest = (intervals, kernel)
        return kernel.evaluate(b, c, intervals)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        b, c = ctx.saved_tensors
        db = _Dot.apply(g, c, *ctx.rest) if ctx.needs_input_grad[0] else None
        dc = _Transpose.apply(b, g, c.shape[1], *ctx.rest) if ctx.needs_input_grad[1] else None
        return db, dc, None, None


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, c: Tensor, intervals: Intervals, kernel: _Kernel) -> Tensor:
        ctx.save_for_backward(w, c)
        ctx.rest = (intervals, kernel)
        return kernel.dot(w, c, intervals)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        w, c = ctx.saved_tensors
        dw = _Evaluate.apply(g, c, *ctx.rest) if ctx.needs_input_grad[0] else None
        dc = _Transpose.apply(g, w, c.shape[1], *ctx.rest) if ctx.needs_input_grad[1] else None
        return dw, dc, None, None


class _Transpose(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, w: Tensor, n: int, intervals: Intervals, kernel: _Kernel) -> Tensor:
        ctx.save_for_backward(b, w)
        ctx.rest = (intervals, kernel)
        return kernel.transpose(b, w, n, intervals)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        b, w = ctx.saved_tensors
        db = _Dot.apply(w, g, *ctx.rest) if ctx.needs_input_grad[0] else None
        dw = _Evaluate.apply(b, g, *ctx.rest) if ctx.needs_input_grad[1] else None
        return db, dw, None, None, None


_SOURCE = """\
#include <cstdint>
typedef REAL T;

extern "C" void evaluate(const T* b, const T* c, T* w, const int64_t* interval, int64_t members,
                         int64_t edges, int64_t coefficients, int64_t columns, int64_t stride, int threads) {
  #pragma omp parallel for collapse(2) num_threads(threads)
  for (int64_t m = 0; m < members; ++m)
  for (int64_t e = 0; e < edges; ++e) {
    const T* x = b + m * stride + e * 4;
    const T b0 = x[0], b1 = x[1], b2 = x[2], b3 = x[3];
    const T* __restrict__ c0 = c + (m * coefficients + interval[e]) * columns;
    const T* __restrict__ c1 = c0 + columns;
    const T* __restrict__ c2 = c1 + columns;
    const T* __restrict__ c3 = c2 + columns;
    T* __restrict__ out = w + (m * edges + e) * columns;
    #pragma omp simd
    for (int64_t u = 0; u < columns; ++u) out[u] = b0 * c0[u] + b1 * c1[u] + b2 * c2[u] + b3 * c3[u];
  }
}

extern "C" void dot(const T* w, const T* c, T* b, const int64_t* interval, int64_t members, int64_t edges,
                    int64_t coefficients, int64_t columns, int64_t stride, int threads) {
  #pragma omp parallel for collapse(2) num_threads(threads)
  for (int64_t m = 0; m < members; ++m)
  for (int64_t e = 0; e < edges; ++e) {
    const T* __restrict__ c0 = c + (m * coefficients + interval[e]) * columns;
    const T* __restrict__ c1 = c0 + columns;
    const T* __restrict__ c2 = c1 + columns;
    const T* __restrict__ c3 = c2 + columns;
    const T* __restrict__ g = w + (m * edges + e) * columns;
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    #pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int64_t u = 0; u < columns; ++u) {
      s0 += g[u] * c0[u]; s1 += g[u] * c1[u]; s2 += g[u] * c2[u]; s3 += g[u] * c3[u];
    }
    T* out = b + (m * edges + e) * 4;
    out[0] = s0; out[1] = s1; out[2] = s2; out[3] = s3;
  }
}

extern "C" void transpose(const T* b, const T* w, T* c, const int64_t* order, const int64_t* first,
                          int64_t members, int64_t edges, int64_t coefficients, int64_t columns,
                          int64_t stride, int threads) {
  #pragma omp parallel for collapse(2) schedule(dynamic, 8) num_threads(threads)
  for (int64_t m = 0; m < members; ++m)
  for (int64_t k = 0; k < coefficients; ++k) {
    T* __restrict__ out = c + (m * coefficients + k) * columns;
    for (int64_t u = 0; u < columns; ++u) out[u] = 0;
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t interval = k - j;
      if (interval < 0 || interval > coefficients - 4) continue;
      for (int64_t n = first[interval]; n < first[interval + 1]; ++n) {
        const int64_t e = order[n];
        const T x = b[m * stride + e * 4 + j];
        const T* __restrict__ g = w + (m * edges + e) * columns;
        #pragma omp simd
        for (int64_t u = 0; u < columns; ++u) out[u] += x * g[u];
      }
    }
  }
}
"""
