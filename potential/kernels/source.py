"""C++ source of the convolution's three primitives, generated from a `PathTable`.

With the four-form of the convolution (design: it is linear in each of h, Y, w, g)

  Phi(h, Y, w, g) = sum_e sum_p sum_u w[e,p,u] sum_{k,m1} g[recv(e),(p,k),u] R_p[k,m1](Y_e) h[send(e),m1,u]
  R_p[k,m1](Y_e)  = sum_m2 C^p[m2,k,m1] Y[e,m2]

the primitives are its derivatives: F = dPhi/dg, B = dPhi/dh, A = (dPhi/dw, dPhi/dY). One pass over
the edges each; no intermediate with an axis of edges times rows is ever stored. Channels are the
SIMD axis. F and A own the edges of a receiver (rows of the CSR), B those of a sender (rows of the
transposed CSR), so no two threads write to one place.
"""

from __future__ import annotations

from potential.kernels.couplings import (
    PathCode,
    by_degrees,
    entry_count,
    forward_code,
    path_codes,
    rotation_code,
    vector_lanes,
)
from potential.nequip.irreps import PathTable, dimension


def convolution_source(table: PathTable, channels: int, dtype: str) -> str:
    """C++ of F, B and A for `channels` channels; `dtype` is "float" or "double"."""
    size = {"float": 4, "double": 8}[dtype]
    lanes, codes = vector_lanes(channels, size), path_codes(table)
    components, harmonics = dimension(table.irreps_in), (table.l_max + 1) ** 2
    return _TEMPLATE.format(
        dtype=dtype,
        lanes=lanes,
        bytes=lanes * size,
        channels=channels,
        components=components,
        rows=table.rows,
        paths=len(table.paths),
        harmonics=harmonics,
        entries=entry_count(codes),
        rotation=rotation_code(codes, harmonics),
        zeros_h=", ".join(f"h{m} = {{}}" for m in range(components)),
        store_h=" ".join(f"O({m}) = h{m};" for m in range(components)),
        zeros_y=", ".join(f"y{m} = {{}}" for m in range(harmonics)),
        store_y=" ".join(f"y_[{m}] = sum(y{m});" for m in range(harmonics)),
        forward="\n".join(forward_code(path, f"W({path.number})") for path in codes),
        backward="\n".join(map(_backward, codes)),
        adjoint="\n".join(map(_adjoint, by_degrees(codes))),
    )


def _backward(path: PathCode) -> str:
    lines = [f"      {{ const V w = W({path.number});"]
    lines += [f"        const V g{k} = w * G({path.row + k});" for k in range(path.dim)]
    for m1 in sorted({e.m1 for e in path.entries}):
        terms = [f"R[{e.index}] * g{e.k}" for e in path.entries if e.m1 == m1]
        lines.append(f"        h{path.column + m1} += {' + '.join(terms)};")
    return "\n".join([*lines, "      }"])


def _adjoint(group: list[PathCode]) -> str:
    """dw of each path, and dY through S[k, m1] = sum_u w g_k h_m1, which paths of equal degrees share."""
    first = group[0]
    cells = [(e.k, e.m1) for e in first.entries]
    names = ", ".join(f"s{k}_{m1} = {{}}" for k, m1 in cells)
    lines = [f"      {{ V {names};", "        for (int64_t u = 0; u < U; u += LANES) {", _POINTERS]
    for path in group:
        lines.append(f"          {{ const V w = W({path.number}); V dw = {{}};")
        for k in sorted({e.k for e in path.entries}):
            mine = [e for e in path.entries if e.k == k]
            terms = " + ".join(f"R[{e.index}] * H({path.column + e.m1})" for e in mine)
            sums = " ".join(f"s{k}_{e.m1} += wg * H({path.column + e.m1});" for e in mine)
            lines.append(
                f"            {{ const V g = G({path.row + k}), wg = w * g; dw += g * ({terms}); {sums} }}"
            )
        lines.append(f"            DW({path.number}) = dw; }}")
    lines.append("        }")
    for m2 in sorted({m for e in first.entries for m, _ in e.terms}):
        terms = " + ".join(
            f"T({c:.17g}) * s{e.k}_{e.m1}" for e in first.entries for m, c in e.terms if m == m2
        )
        lines.append(f"        y{m2} += {terms};")
    return "\n".join([*lines, "      }"])


_POINTERS = """\
          const T* h_ = h + (m * atoms + send[first + e]) * M * U + u;
          const T* w_ = w + (m * edges + first + e) * P * U + u;
          const T* g_ = g + (m * atoms + i) * ROWS * U + u;
          T* dw_ = dw + (m * edges + first + e) * P * U + u;"""

_TEMPLATE = """\
#include <cstdint>
#include <cstring>
#include <vector>
typedef {dtype} T;
typedef T V __attribute__((vector_size({bytes}), aligned(sizeof(T)), may_alias));
constexpr int64_t LANES = {lanes}, U = {channels}, M = {components}, ROWS = {rows}, P = {paths};
constexpr int64_t Q = {harmonics}, N_R = {entries};

static inline void rotation(const T* __restrict__ Y, T* __restrict__ R) {{
  std::memset(R, 0, N_R * sizeof(T));
{rotation}
}}

#define LOAD(p) (*(const V*)(p))
#define H(m) LOAD(h_ + (m) * U)
#define W(p) LOAD(w_ + (p) * U)
#define G(r) LOAD(g_ + (r) * U)
#define O(r) (*(V*)(o_ + (r) * U))
#define DW(p) (*(V*)(dw_ + (p) * U))

static inline T sum(V v) {{ T s = 0; for (int i = 0; i < LANES; ++i) s += ((T*)&v)[i]; return s; }}

// Y is shared by the members when y_stride is 0: R is then made once for all of them.
extern "C" void forward(const T* h, const T* Y, const T* w, T* out, const int64_t* row, const int64_t* send,
                        int64_t members, int64_t atoms, int64_t edges, int64_t y_stride, int threads) {{
  #pragma omp parallel num_threads(threads)
  {{
    std::vector<T> buffer;
    #pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < atoms; ++i) {{
      const int64_t first = row[i], n = row[i + 1] - row[i];
      buffer.resize(n * N_R + 1);
      for (int64_t m = 0; m < members; ++m) {{
        if (m == 0 || y_stride)
          for (int64_t e = 0; e < n; ++e)
            rotation(Y + m * y_stride + (first + e) * Q, buffer.data() + e * N_R);
        T* o = out + (m * atoms + i) * ROWS * U;
        std::memset(o, 0, ROWS * U * sizeof(T));
        for (int64_t u = 0; u < U; u += LANES)
        for (int64_t e = 0; e < n; ++e) {{
          const T* __restrict__ R = buffer.data() + e * N_R;
          const T* h_ = h + (m * atoms + send[first + e]) * M * U + u;
          const T* w_ = w + (m * edges + first + e) * P * U + u;
          T* o_ = o + u;
{forward}
        }}
      }}
    }}
  }}
}}

extern "C" void backward(const T* g, const T* Y, const T* w, T* dh, const int64_t* column,
                         const int64_t* order, const int64_t* receive, int64_t members, int64_t atoms,
                         int64_t edges, int64_t y_stride, int threads) {{
  #pragma omp parallel num_threads(threads)
  {{
    std::vector<T> buffer;
    #pragma omp for schedule(dynamic, 4)
    for (int64_t j = 0; j < atoms; ++j) {{
      const int64_t first = column[j], n = column[j + 1] - column[j];
      buffer.resize(n * N_R + 1);
      for (int64_t m = 0; m < members; ++m) {{
        if (m == 0 || y_stride)
          for (int64_t e = 0; e < n; ++e)
            rotation(Y + m * y_stride + order[first + e] * Q, buffer.data() + e * N_R);
        for (int64_t u = 0; u < U; u += LANES) {{
          V {zeros_h};
          for (int64_t e = 0; e < n; ++e) {{
            const int64_t edge = order[first + e];
            const T* __restrict__ R = buffer.data() + e * N_R;
            const T* g_ = g + (m * atoms + receive[edge]) * ROWS * U + u;
            const T* w_ = w + (m * edges + edge) * P * U + u;
{backward}
          }}
          T* o_ = dh + (m * atoms + j) * M * U + u;
          {store_h}
        }}
      }}
    }}
  }}
}}

extern "C" void adjoint(const T* h, const T* Y, const T* w, const T* g, T* dw, T* dY, const int64_t* row,
                        const int64_t* send, int64_t members, int64_t atoms, int64_t edges, int64_t y_stride,
                        int threads) {{
  #pragma omp parallel num_threads(threads)
  {{
    std::vector<T> buffer;
    #pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < atoms; ++i) {{
      const int64_t first = row[i], n = row[i + 1] - row[i];
      buffer.resize(n * N_R + 1);
      for (int64_t m = 0; m < members; ++m) {{
        if (m == 0 || y_stride)
          for (int64_t e = 0; e < n; ++e)
            rotation(Y + m * y_stride + (first + e) * Q, buffer.data() + e * N_R);
        for (int64_t e = 0; e < n; ++e) {{
          const T* __restrict__ R = buffer.data() + e * N_R;
          V {zeros_y};
{adjoint}
          T* y_ = dY + (m * edges + first + e) * Q;
          {store_y}
        }}
      }}
    }}
  }}
}}
"""
