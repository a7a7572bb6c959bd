// One interaction block of frozen NequIP, forward and backward; dollar names are filled in by block.py.
//
// Every tensor is [members, atoms, rows, U], row-major. Work is split into (member, chunk of atoms);
// in the backward pass an edge belongs to its sender, so no two threads write to one place. The
// messages of a chunk stay in cache: nothing with an axis of edges times channels is ever stored.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

typedef $dtype T;
typedef T V __attribute__((vector_size($bytes), aligned(sizeof(T)), may_alias));

constexpr int64_t LANES = $lanes, U = $channels;
constexpr int64_t M = $components, ROWS = $rows, P = $paths;  // features in, messages, paths
constexpr int64_t GATES = $gates, OUT = $components_out, PRE = GATES + OUT;  // before the gate: gates, features
constexpr int64_t Q = $harmonics, N_R = $entries, SPECIES = $species;
constexpr int64_t CHUNK = 8, MOST = CHUNK * $largest_dim;  // atoms, rows of one product
constexpr T SILU = $silu, TANH = $tanh;

struct Source { int64_t dim, row; };                             // irrep of the input
struct Target {                                                  // irrep of the output
  int64_t dim, row, paths, pre, width, own, weights;             // own: row of the input, or -1
};
struct Gate { int64_t dim, out, pre, gate; };                    // gate: row, or SILU_ROW, TANH_ROW
constexpr int64_t SILU_ROW = -1, TANH_ROW = -2;
constexpr Source SOURCES[] = {$sources};
constexpr Target TARGETS[] = {$targets};
constexpr Gate GATED[] = {$gated};
constexpr int64_t LINEAR_WEIGHTS = $linear_weights, UPDATE_WEIGHTS = $update_weights;

#define LOAD(p) (*(const V*)(p))
#define STORE(p) (*(V*)(p))
#define UNROLL _Pragma("GCC unroll 8")

static inline T sum(V v) { T s = 0; for (int i = 0; i < LANES; ++i) s += ((T*)&v)[i]; return s; }
static inline T sigmoid(T x) { return T(1) / (T(1) + std::exp(-x)); }

// R[k,m1] = sum_m2 C[m2,k,m1] Y[m2]
static inline void rotation(const T* __restrict__ Y, T* __restrict__ R) {
  std::memset(R, 0, N_R * sizeof(T));
$rotation
}

// ---- rows times a matrix ----

template <int N, int W>
static inline void tile(const T* const* a, T* const* c, const T* b, int64_t inner, int64_t width) {
  V s[N][W];
  UNROLL for (int r = 0; r < N; ++r) UNROLL for (int v = 0; v < W; ++v) s[r][v] = LOAD(c[r] + v * LANES);
  for (int64_t k = 0; k < inner; ++k) {
    V x[W];
    UNROLL for (int v = 0; v < W; ++v) x[v] = LOAD(b + k * width + v * LANES);
    UNROLL for (int r = 0; r < N; ++r) {
      const T y = a[r][k];
      UNROLL for (int v = 0; v < W; ++v) s[r][v] += y * x[v];
    }
  }
  UNROLL for (int r = 0; r < N; ++r) UNROLL for (int v = 0; v < W; ++v) STORE(c[r] + v * LANES) = s[r][v];
}

template <int W>
static void columns(int64_t n, const T* const* a, T* const* c, const T* b, int64_t inner, int64_t width,
                    int64_t first) {
  T* moved[8];
  for (int64_t r = 0; r < n;) {
    const int64_t step = n - r >= 8 ? 8 : n - r >= 4 ? 4 : n - r >= 2 ? 2 : 1;
    for (int64_t i = 0; i < step; ++i) moved[i] = c[r + i] + first;
    switch (step) {
      case 8: tile<8, W>(a + r, moved, b + first, inner, width); break;
      case 4: tile<4, W>(a + r, moved, b + first, inner, width); break;
      case 2: tile<2, W>(a + r, moved, b + first, inner, width); break;
      default: tile<1, W>(a + r, moved, b + first, inner, width);
    }
    r += step;
  }
}

// c[r][:] += sum_k a[r][k] b[k][:] for n rows; b is [inner, width].
static void product(int64_t n, const T* const* a, T* const* c, const T* b, int64_t inner, int64_t width) {
  int64_t first = 0;
  for (; first + 2 * LANES <= width; first += 2 * LANES) columns<2>(n, a, c, b, inner, width, first);
  for (; first < width; first += LANES) columns<1>(n, a, c, b, inner, width, first);
}

// The rows of one irrep in the atoms of a chunk.
struct Rows {
  const T* a[MOST];
  T* c[MOST];
  int64_t n = 0;
  void add(const T* from, T* to, int64_t dim, int64_t from_step, int64_t to_step) {
    for (int64_t k = 0; k < dim; ++k, ++n) a[n] = from + k * from_step, c[n] = to + k * to_step;
  }
};

// The linear map of the channels, or its transpose, added to `to`.
static void linear(const T* from, T* to, int64_t atoms, const T* weights) {
  for (const Source& s : SOURCES) {
    Rows rows;
    for (int64_t i = 0; i < atoms; ++i) rows.add(from + (i * M + s.row) * U, to + (i * M + s.row) * U, s.dim, U, U);
    product(rows.n, rows.a, rows.c, weights + (&s - SOURCES) * U * U, U, U);
  }
}

// ---- message passing over the edges ----

struct Edges {
  const T *Y, *b, *slope, *table;  // harmonics, B-splines and their slopes, coefficients of this member
  const int64_t *interval, *send, *receive;
};

#define H(m) LOAD(h_ + (m) * U)
#define G(r) LOAD(g_ + (r) * U)
#define O(r) STORE(o_ + (r) * U)
#define D(m) STORE(d_ + (m) * U)
#define KNOT(j, p) LOAD(c_ + ((j) * P + (p)) * U)
#define WEIGHT(p) (b0 * KNOT(0, p) + b1 * KNOT(1, p) + b2 * KNOT(2, p) + b3 * KNOT(3, p))

// out += the messages of one edge to its receiver
static inline void gather(const Edges& E, int64_t e, const T* __restrict__ h, T* __restrict__ out) {
  T R[N_R];
  rotation(E.Y + e * Q, R);
  const T *b = E.b + e * 4, *c = E.table + E.interval[e] * P * U;
  const T b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
  for (int64_t u = 0; u < U; u += LANES) {
    const T *h_ = h + u, *c_ = c + u;
    T* o_ = out + u;
$gather
  }
}

// dh += the cotangent of the sender's features, dY and dr += those of the edge, from g of its receiver
static inline void scatter(const Edges& E, int64_t e, const T* __restrict__ h, const T* __restrict__ g,
                           T* __restrict__ dh, T* __restrict__ dY, T* __restrict__ dr) {
  T R[N_R];
  rotation(E.Y + e * Q, R);
  const T *b = E.b + e * 4, *s = E.slope + e * 4, *c = E.table + E.interval[e] * P * U;
  const T b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3], t0 = s[0], t1 = s[1], t2 = s[2], t3 = s[3];
  V $zeros_y, r = {};
$scatter
  T* y_ = dY + e * Q;
  $store_y
  dr[e] += sum(r);
}

// ---- the block ----

static int64_t chunks_of(int64_t members, int64_t atoms, int64_t threads) {
  const int64_t most = std::max((atoms + CHUNK - 1) / CHUNK, (threads + members - 1) / members);
  return std::max<int64_t>(1, std::min(most, atoms));
}

// In a parallel region: body(member, first atom, number of atoms, first atom in a [members, atoms] array).
template <class Body>
static inline void for_chunks(int64_t members, int64_t atoms, int64_t threads, const Body& body) {
  const int64_t chunks = chunks_of(members, atoms, threads);
  #pragma omp for schedule(dynamic, 1)
  for (int64_t task = 0; task < members * chunks; ++task) {
    const int64_t m = task / chunks, k = task % chunks, from = k * atoms / chunks;
    body(m, from, (k + 1) * atoms / chunks - from, m * atoms + from);
  }
}

// x [M] -> out [OUT]; h [M] and pre [PRE] are kept for the backward pass.
extern "C" void block_forward(const T* x, T* h, T* pre, T* out, const T* linear_weights, const T* update_weights,
                              const T* Y, const T* b, const T* table, const int64_t* interval,
                              const int64_t* species, const int64_t* row, const int64_t* send, int64_t members,
                              int64_t atoms, int64_t coefficients, int threads) {
  #pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer(CHUNK * ROWS * U);
    T* messages = buffer.data();
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      std::memset(h + first * M * U, 0, n * M * U * sizeof(T));
      linear(x + first * M * U, h + first * M * U, n, linear_weights + m * LINEAR_WEIGHTS);
    });
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const Edges E = {Y, b, nullptr, table + m * coefficients * P * U, interval, send, nullptr};
      std::memset(messages, 0, n * ROWS * U * sizeof(T));
      for (int64_t i = 0; i < n; ++i)
        for (int64_t e = row[from + i]; e < row[from + i + 1]; ++e)
          gather(E, e, h + (m * atoms + send[e]) * M * U, messages + i * ROWS * U);

      T* p = pre + first * PRE * U;
      std::memset(p, 0, n * PRE * U * sizeof(T));
      for (const Target& t : TARGETS) {
        const T* w = update_weights + m * UPDATE_WEIGHTS + t.weights;
        for (int64_t path = 0; path < t.paths; ++path, w += U * t.width) {
          Rows rows;
          for (int64_t i = 0; i < n; ++i)
            rows.add(messages + (i * ROWS + t.row + path * t.dim) * U, p + (i * PRE + t.pre) * U, t.dim, U, U);
          product(rows.n, rows.a, rows.c, w, U, t.width);
        }
        for (int64_t s = 0; s < SPECIES && t.own >= 0; ++s, w += U * t.width) {
          Rows rows;
          for (int64_t i = 0; i < n; ++i)
            if (species[from + i] == s)
              rows.add(x + ((first + i) * M + t.own) * U, p + (i * PRE + t.pre) * U, t.dim, U, U);
          product(rows.n, rows.a, rows.c, w, U, t.width);
        }
      }
      for (int64_t i = 0; i < n; ++i) {
        const T* a = p + i * PRE * U;
        T* o = out + (first + i) * OUT * U;
        for (const Gate& g : GATED)
          for (int64_t u = 0; u < U; ++u) {
            if (g.gate == SILU_ROW) o[g.out * U + u] = SILU * a[g.pre * U + u] * sigmoid(a[g.pre * U + u]);
            else if (g.gate == TANH_ROW) o[g.out * U + u] = TANH * std::tanh(a[g.pre * U + u]);
            else {
              const T factor = SILU * a[g.gate * U + u] * sigmoid(a[g.gate * U + u]);
              for (int64_t k = 0; k < g.dim; ++k) o[(g.out + k) * U + u] = factor * a[(g.pre + k) * U + u];
            }
          }
      }
    });
  }
}

// From dout the cotangents dx of x (none with dx = nullptr), dY [members, edges, Q] and dr
// [members, edges], the last two added to what is there. pre is overwritten; g [ROWS] is scratch.
extern "C" void block_backward(const T* dout, T* pre, const T* h, T* g, T* dx, T* dY, T* dr, const T* linear_transposed,
                               const T* update_transposed, const T* Y, const T* b, const T* slope, const T* table,
                               const int64_t* interval, const int64_t* species, const int64_t* column,
                               const int64_t* order, const int64_t* receive, int64_t members, int64_t atoms,
                               int64_t edges, int64_t coefficients, int threads) {
  #pragma omp parallel num_threads(threads)
  {
    T dh[CHUNK * M * U];
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      T* p = pre + first * PRE * U;
      for (int64_t i = 0; i < n; ++i) {
        T* a = p + i * PRE * U;
        const T* d = dout + (first + i) * OUT * U;
        for (const Gate& q : GATED)
          for (int64_t u = 0; u < U; ++u) {
            const T v = a[(q.gate >= 0 ? q.gate : q.pre) * U + u];
            if (q.gate == TANH_ROW) {
              const T y = std::tanh(v);
              a[q.pre * U + u] = TANH * (1 - y * y) * d[q.out * U + u];
              continue;
            }
            const T y = sigmoid(v), rise = SILU * y * (1 + v * (1 - y));
            if (q.gate == SILU_ROW) {
              a[q.pre * U + u] = rise * d[q.out * U + u];
              continue;
            }
            T dot = 0;
            for (int64_t k = 0; k < q.dim; ++k) {
              dot += a[(q.pre + k) * U + u] * d[(q.out + k) * U + u];
              a[(q.pre + k) * U + u] = SILU * v * y * d[(q.out + k) * U + u];
            }
            a[q.gate * U + u] = rise * dot;
          }
      }
      std::memset(g + first * ROWS * U, 0, n * ROWS * U * sizeof(T));
      if (dx) std::memset(dx + first * M * U, 0, n * M * U * sizeof(T));
      for (const Target& t : TARGETS) {
        const T* w = update_transposed + m * UPDATE_WEIGHTS + t.weights;
        for (int64_t path = 0; path < t.paths; ++path, w += U * t.width) {
          Rows rows;
          for (int64_t i = 0; i < n; ++i)
            rows.add(p + (i * PRE + t.pre) * U, g + ((first + i) * ROWS + t.row + path * t.dim) * U, t.dim, U, U);
          product(rows.n, rows.a, rows.c, w, t.width, U);
        }
        for (int64_t s = 0; s < SPECIES && t.own >= 0 && dx; ++s, w += U * t.width) {
          Rows rows;
          for (int64_t i = 0; i < n; ++i)
            if (species[from + i] == s)
              rows.add(p + (i * PRE + t.pre) * U, dx + ((first + i) * M + t.own) * U, t.dim, U, U);
          product(rows.n, rows.a, rows.c, w, t.width, U);
        }
      }
    });
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const Edges E = {Y, b, slope, table + m * coefficients * P * U, interval, nullptr, receive};
      std::memset(dh, 0, n * M * U * sizeof(T));
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = column[from + i]; k < column[from + i + 1]; ++k) {
          const int64_t e = order[k];
          scatter(E, e, h + (first + i) * M * U, g + (m * atoms + receive[e]) * ROWS * U, dh + i * M * U,
                  dY + m * edges * Q, dr + m * edges);
        }
      if (dx) linear(dh, dx + first * M * U, n, linear_transposed + m * LINEAR_WEIGHTS);
    });
  }
}
