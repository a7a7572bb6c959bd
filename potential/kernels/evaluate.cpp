// The block with fixed weights: forward, and backward to features and edges.
//
// The messages of a chunk stay in cache: nothing with an axis of edges times channels is ever stored.

// out += the messages of one edge to its receiver
static inline void gather(const Edges& E, int64_t e, const T* __restrict__ h, T* __restrict__ out) {
  T R[N_R];
  rotation(E.Y + e * Q, R);
  const T *b = E.b + e * 4, *c = E.table + E.interval[e] * P * U;
  const T b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
  for (int64_t u = 0; u < U; u += LANES) {
    const T *h_ = h + u, *c_ = c + u;
    T* o_ = out + u;
    // generated: gather
  }
}

// dh += the cotangent of the sender's features, dE/dd += that of the edge, from g of its receiver
static inline void scatter(const Edges& E, int64_t e, const T* __restrict__ h, const T* __restrict__ g,
                           T* __restrict__ dh, T* __restrict__ dd) {
  T R[N_R];
  rotation(E.Y + e * Q, R);
  const T *b = E.b + e * 4, *s = E.b_slope + e * 4, *c = E.table + E.interval[e] * P * U;
  const T b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3], t0 = s[0], t1 = s[1], t2 = s[2], t3 = s[3];
  // generated: scatter
  const T dr = sum(r), *Y_slope = E.Y_slope + e * Q * 3;
  for (int x = 0; x < 3; ++x) {
    T slope = dr * E.unit[e * 3 + x];
    for (int64_t m = 0; m < Q; ++m) slope += dY[m] * Y_slope[m * 3 + x];
    dd[e * 3 + x] += slope;
  }
}

static void gate(const T* a, T* out) {
  for (const Gate& q : GATES)
    for (int64_t u = 0; u < U; ++u) {
      const T f = activation(q.gate, a[(q.gate >= 0 ? q.gate : q.pre) * U + u]).f;
      if (q.gate < 0)
        out[q.out * U + u] = f;
      else
        for (int64_t k = 0; k < q.dim; ++k) out[(q.out + k) * U + u] = f * a[(q.pre + k) * U + u];
    }
}

// a becomes its own cotangent, from that of the gate's output.
static void gate_backward(T* a, const T* d) {
  for (const Gate& q : GATES)
    for (int64_t u = 0; u < U; ++u) {
      const int64_t v = (q.gate >= 0 ? q.gate : q.pre) * U + u;
      const Activation f = activation(q.gate, a[v]);
      T dot = q.gate < 0 ? d[q.out * U + u] : T(0);
      for (int64_t k = 0; k < q.dim && q.gate >= 0; ++k) {
        const int64_t i = (q.pre + k) * U + u, o = (q.out + k) * U + u;
        dot += a[i] * d[o];
        a[i] = f.f * d[o];
      }
      a[v] = f.f1 * dot;
    }
}

// The products of n atoms from their messages; the factors are kept.
static void products(T* rows, int64_t n, const T* weights, T* factors) {
  update(MIX, rows, nullptr, rows, ROWS, n, nullptr, weights);
  for (int64_t i = 0; i < n; ++i) {
    T* r = rows + i * ROWS * U;
    multiply(SQUARES, r + A * U, r + A * U, r + SQUARE * U);
  }
  update(MIX_SQUARE, rows, nullptr, rows, ROWS, n, nullptr, weights);
  for (int64_t i = 0; i < n; ++i) {
    T* r = rows + i * ROWS * U;
    multiply(CUBES, r + MIXED * U, r + A * U, r + CUBE * U);
    std::memcpy(factors + i * FACTORS * U, r + A * U, FACTORS * U * sizeof(T));
  }
}

// The cotangent of the messages, g, from those of factors and products in its other rows.
static void products_backward(T* g, int64_t n, const T* matrices, const T* factors) {
  for (int64_t i = 0; i < n; ++i) {
    T* d = g + i * ROWS * U;
    const T *a = factors + i * FACTORS * U, *mixed = a + (MIXED - A) * U;
    multiply_backward(CUBES, mixed, a, d + CUBE * U, d + MIXED * U, d + A * U);
  }
  update_transposed(MIX_SQUARE, g, ROWS, g, nullptr, n, nullptr, matrices);
  for (int64_t i = 0; i < n; ++i) {
    T* d = g + i * ROWS * U;
    const T* a = factors + i * FACTORS * U;
    multiply_backward(SQUARES, a, a, d + SQUARE * U, d + A * U, d + A * U);
  }
  update_transposed(MIX, g, ROWS, g, nullptr, n, nullptr, matrices);
}

// From x the output; h, factors and pre are kept for the backward pass.
extern "C" void block_forward(const Arguments_block_forward& a) {
// generated: block_forward
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer(CHUNK * ROWS * U);
    T* messages = buffer.data();
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      zero(h + first * M * U, n * M * U);
      linear(x + first * M * U, h + first * M * U, n, linear_weights + m * LINEAR_WEIGHTS);
    });
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const Edges E = {Y, b, interval, Y_slope, b_slope, unit, coefficients + m * knots * P * U};
      zero(messages, n * ROWS * U);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t e = row[from + i]; e < row[from + i + 1]; ++e)
          gather(E, e, h + (m * atoms + send[e]) * M * U, messages + i * ROWS * U);

      const T* w = update_weights + m * UPDATE_WEIGHTS;
      if constexpr (FACTORS > 0) products(messages, n, w, factors + first * FACTORS * U);

      T* p = pre + first * PRE * U;
      zero(p, n * PRE * U);
      update(UPDATE, messages, x + first * M * U, p, PRE, n, species + from, w);
      for (int64_t i = 0; i < n; ++i) gate(p + i * PRE * U, out + (first + i) * OUT * U);
    });
  }
}

// From dout the cotangent dx of x (none with dx = nullptr), and dd of the edge vectors, added to what is
// there. pre is overwritten; g is scratch.
extern "C" void block_backward(const Arguments_block_backward& a) {
// generated: block_backward
#pragma omp parallel num_threads(threads)
  {
    T dh[CHUNK * M * U];
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      T* p = pre + first * PRE * U;
      for (int64_t i = 0; i < n; ++i) gate_backward(p + i * PRE * U, dout + (first + i) * OUT * U);
      zero(g + first * ROWS * U, n * ROWS * U);
      if (dx) zero(dx + first * M * U, n * M * U);
      const T* w = update_matrices + m * UPDATE_WEIGHTS;
      update_transposed(UPDATE, p, PRE, g + first * ROWS * U, dx ? dx + first * M * U : nullptr, n,
                        species + from, w);
      if constexpr (FACTORS > 0) products_backward(g + first * ROWS * U, n, w, factors + first * FACTORS * U);
    });
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const Edges E = {Y, b, interval, Y_slope, b_slope, unit, coefficients + m * knots * P * U};
      zero(dh, n * M * U);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = column[from + i]; k < column[from + i + 1]; ++k) {
          const int64_t e = order[k];
          scatter(E, e, h + (first + i) * M * U, g + (m * atoms + receive[e]) * ROWS * U, dh + i * M * U,
                  dd + m * edges * 3);
        }
      if (dx) linear(dh, dx + first * M * U, n, linear_matrices + m * LINEAR_WEIGHTS);
    });
  }
}
