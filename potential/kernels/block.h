// What evaluate.cpp and dual.cpp share: splines, matrix products, the loop over chunks of atoms.
//
// Features are [members, atoms, rows, U], row-major. Work is split into (member, chunk of atoms); in a
// backward pass an edge belongs to its sender, so no two threads write to one place.

// Arrays of a chunk of atoms are on the stack of a thread: the chunk is smaller where an atom has many
// features.
constexpr int64_t STACK = 131072, ATOM = M * U * sizeof(T);
static_assert(ATOM <= STACK, "the features of one atom are too large for the stack");
constexpr int64_t CHUNK = std::min<int64_t>(8, STACK / ATOM);
constexpr int64_t MOST = CHUNK * LARGEST_DIM;  // rows of one product
static_assert(MOST <= 256, "the rows of one product are too many for the stack");

#define UNROLL _Pragma("GCC unroll 8")

// f, f' and f'' of an activation.
struct Activation {
  T f, f1, f2;
};
static inline Activation activation(int64_t gate, T v) {
  if (gate == TANH) {
    const T y = std::tanh(v), f1 = TANH_SCALE * (1 - y * y);
    return {TANH_SCALE * y, f1, -2 * y * f1};
  }
  const T y = T(1) / (T(1) + std::exp(-v)), y1 = y * (1 - y);
  return {SILU_SCALE * v * y, SILU_SCALE * (y + v * y1), SILU_SCALE * y1 * (2 + v * (1 - 2 * y))};
}

// ---- the edges ----

struct Edges {
  const T *Y, *b;  // harmonics, B-splines
  const int64_t* interval;
  const T *Y_slope, *b_slope, *unit;  // dY/dd, db/dr, d/r of the edge vectors d
  const T* table;                     // coefficients of the splines, of this member
};

// ---- rows times a matrix ----

template <int N, int W>
static inline void tile(const T* const* a, T* const* c, const T* b, int64_t inner, int64_t width) {
  V s[N][W];
  UNROLL for (int r = 0; r < N; ++r) UNROLL
    for (int v = 0; v < W; ++v) s[r][v] = load(c[r] + v * LANES);
  for (int64_t k = 0; k < inner; ++k) {
    V x[W];
    UNROLL for (int v = 0; v < W; ++v)
      x[v] = load(b + k * width + v * LANES);
    UNROLL for (int r = 0; r < N; ++r) {
      const T y = a[r][k];
      UNROLL for (int v = 0; v < W; ++v)
        s[r][v] += y * x[v];
    }
  }
  UNROLL for (int r = 0; r < N; ++r) UNROLL
    for (int v = 0; v < W; ++v) at(c[r] + v * LANES) = s[r][v];
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
  void add(const T* from, T* to, int64_t dim) {
    for (int64_t k = 0; k < dim; ++k, ++n) a[n] = from + k * U, c[n] = to + k * U;
  }
};

// The linear map of the channels, or its transpose, added to `to`.
static void linear(const T* from, T* to, int64_t atoms, const T* weights) {
  for (const Source& s : SOURCES) {
    Rows rows;
    for (int64_t i = 0; i < atoms; ++i) rows.add(from + (i * M + s.row) * U, to + (i * M + s.row) * U, s.dim);
    product(rows.n, rows.a, rows.c, weights + s.weights, U, U);
  }
}

// to += the matrices of a table times the rows of n atoms, or where they belong to a species times x, the own
// features, of its atoms. `to` has `stride` rows for each atom.
template <class Matrices>
static void update(const Matrices& table, const T* rows, const T* x, T* to, int64_t stride, int64_t n,
                   const int64_t* species, const T* weights) {
  for (const Matrix& q : table) {
    Rows r;
    for (int64_t i = 0; i < n; ++i) {
      T* c = to + (i * stride + q.target) * U;
      if (q.species == NONE)
        r.add(rows + (i * ROWS + q.source) * U, c, q.dim);
      else if (species[i] == q.species)
        r.add(x + (i * M + q.source) * U, c, q.dim);
    }
    product(r.n, r.a, r.c, weights + q.weights, U, q.width);
  }
}

// Its transpose, of transposed matrices: g and dx (if there is one) += from the cotangent d of `to`.
template <class Matrices>
static void update_transposed(const Matrices& table, const T* d, int64_t stride, T* g, T* dx, int64_t n,
                              const int64_t* species, const T* weights) {
  for (const Matrix& q : table) {
    if (q.species != NONE && !dx) continue;
    Rows r;
    for (int64_t i = 0; i < n; ++i) {
      const T* a = d + (i * stride + q.target) * U;
      if (q.species == NONE)
        r.add(a, g + (i * ROWS + q.source) * U, q.dim);
      else if (species[i] == q.species)
        r.add(a, dx + (i * M + q.source) * U, q.dim);
    }
    product(r.n, r.a, r.c, weights + q.weights, q.width, U);
  }
}

// out += the product of two features of an atom, channel by channel.
template <class Terms>
static void multiply(const Terms& terms, const T* left, const T* right, T* out) {
  for (int64_t u = 0; u < U; u += LANES)
    for (const Term& t : terms)
      at(out + t.row * U + u) += t.coefficient * load(left + t.left * U + u) * load(right + t.right * U + u);
}

// dleft and dright, which may be one, += from the cotangent g of the product.
template <class Terms>
static void multiply_backward(const Terms& terms, const T* left, const T* right, const T* g, T* dleft,
                              T* dright) {
  for (int64_t u = 0; u < U; u += LANES)
    for (const Term& t : terms) {
      const V cg = t.coefficient * load(g + t.row * U + u);
      at(dleft + t.left * U + u) += cg * load(right + t.right * U + u);
      at(dright + t.right * U + u) += cg * load(left + t.left * U + u);
    }
}

static inline void zero(T* x, int64_t n) { std::memset(x, 0, n * sizeof(T)); }

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
