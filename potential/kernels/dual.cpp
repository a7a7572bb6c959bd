// The block in dual numbers x + eps xd, forward, and the gradient of a function of both parts.
//
// The tangent dd of the edge vectors moves the edges; weights have none. The part
// in eps of the last block is then the directional derivative of the energy, and its gradient by the
// weights is what a loss on forces needs (the mathematics: potential/backends/dual.py).

struct MovingEdges : Edges {
  const T* dd;  // tangent of the edge vectors, of this member
};

// Yd and the tangent of the distance.
static inline T tangent(const MovingEdges& E, int64_t e, T* Yd) {
  const T *dd = E.dd + e * 3, *slope = E.Y_slope + e * Q * 3, *unit = E.unit + e * 3;
  for (int64_t m = 0; m < Q; ++m)
    Yd[m] = slope[m * 3] * dd[0] + slope[m * 3 + 1] * dd[1] + slope[m * 3 + 2] * dd[2];
  return unit[0] * dd[0] + unit[1] * dd[1] + unit[2] * dd[2];
}

// out, outd += the messages of one edge to its receiver
static inline void gather(const MovingEdges& E, int64_t e, const T* __restrict__ h, const T* __restrict__ hd,
                          T* __restrict__ out, T* __restrict__ outd) {
  T R[N_R], S[N_R], Yd[Q];
  const T rd = tangent(E, e, Yd);
  rotation(E.Y + e * Q, R);
  rotation(Yd, S);
  const int64_t knot = E.interval[e] * P * U;
  const T *b = E.b + e * 4, *s = E.b_slope + e * 4, *c = E.table + knot;
  const T b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
  const T t0 = s[0] * rd, t1 = s[1] * rd, t2 = s[2] * rd, t3 = s[3] * rd;
  for (int64_t u = 0; u < U; u += LANES) {
    const T *h_ = h + u, *hd_ = hd + u, *c_ = c + u;
    T *o_ = out + u, *od_ = outd + u;
    // generated: gather
  }
}

// dh, dhd += the cotangents of the sender's features, table += those of the coefficients
static inline void scatter(const MovingEdges& E, int64_t e, const T* __restrict__ h, const T* __restrict__ hd,
                           const T* __restrict__ g, const T* __restrict__ gd, T* __restrict__ dh,
                           T* __restrict__ dhd, T* __restrict__ table) {
  T R[N_R], S[N_R], Yd[Q];
  const T rd = tangent(E, e, Yd);
  rotation(E.Y + e * Q, R);
  rotation(Yd, S);
  const int64_t knot = E.interval[e] * P * U;
  const T *b = E.b + e * 4, *s = E.b_slope + e * 4, *c = E.table + knot;
  const T b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3];
  const T t0 = s[0] * rd, t1 = s[1] * rd, t2 = s[2] * rd, t3 = s[3] * rd;
  for (int64_t u = 0; u < U; u += LANES) {
    const T *h_ = h + u, *hd_ = hd + u, *g_ = g + u, *gd_ = gd + u, *c_ = c + u;
    T *d_ = dh + u, *dd_ = dhd + u, *t_ = table + knot + u;
    // generated: scatter
  }
}

static void gate(const T* a, const T* ad, T* out, T* outd) {
  for (const Gate& q : GATES)
    for (int64_t u = 0; u < U; ++u) {
      const int64_t v = (q.gate >= 0 ? q.gate : q.pre) * U + u;
      const Activation f = activation(q.gate, a[v]);
      if (q.gate < 0) {
        out[q.out * U + u] = f.f;
        outd[q.out * U + u] = f.f1 * ad[v];
        continue;
      }
      for (int64_t k = 0; k < q.dim; ++k) {
        const int64_t i = (q.pre + k) * U + u, o = (q.out + k) * U + u;
        out[o] = f.f * a[i];
        outd[o] = f.f * ad[i] + f.f1 * ad[v] * a[i];
      }
    }
}

static void gate_gradient(const T* a, const T* ad, const T* d, const T* dd, T* da, T* dad) {
  for (const Gate& q : GATES)
    for (int64_t u = 0; u < U; ++u) {
      const int64_t v = (q.gate >= 0 ? q.gate : q.pre) * U + u;
      const Activation f = activation(q.gate, a[v]);
      if (q.gate < 0) {
        const int64_t o = q.out * U + u;
        da[v] = f.f1 * d[o] + f.f2 * ad[v] * dd[o];
        dad[v] = f.f1 * dd[o];
        continue;
      }
      T both = 0, tangent = 0;
      for (int64_t k = 0; k < q.dim; ++k) {
        const int64_t i = (q.pre + k) * U + u, o = (q.out + k) * U + u;
        both += f.f1 * (a[i] * d[o] + ad[i] * dd[o]) + f.f2 * ad[v] * a[i] * dd[o];
        tangent += f.f1 * a[i] * dd[o];
        da[i] = f.f * d[o] + f.f1 * ad[v] * dd[o];
        dad[i] = f.f * dd[o];
      }
      da[v] = both;
      dad[v] = tangent;
    }
}

// ---- gradients of the weights: c[u][:] += sum_r a[r][u] p[r][:] ----

struct Pairs {
  std::vector<const T*> a, p;
  void clear() { a.clear(), p.clear(); }
  void add(const T* x, const T* y, int64_t dim) {
    for (int64_t k = 0; k < dim; ++k) a.push_back(x + k * U), p.push_back(y + k * U);
  }
};

template <int N, int W>
static inline void outer_tile(const Pairs& rows, int64_t u, int64_t first, T* c, int64_t width) {
  V s[N][W];
  UNROLL for (int i = 0; i < N; ++i) UNROLL
    for (int v = 0; v < W; ++v) s[i][v] = V{};
  for (size_t r = 0; r < rows.a.size(); ++r) {
    const T* a = rows.a[r] + u;
    V x[W];
    UNROLL for (int v = 0; v < W; ++v)
      x[v] = load(rows.p[r] + first + v * LANES);
    UNROLL for (int i = 0; i < N; ++i) {
      const T y = a[i];
      UNROLL for (int v = 0; v < W; ++v)
        s[i][v] += y * x[v];
    }
  }
  UNROLL for (int i = 0; i < N; ++i) UNROLL
    for (int v = 0; v < W; ++v) at(c + (u + i) * width + first + v * LANES) = s[i][v];
}

template <int W>
static void outer_columns(const Pairs& rows, int64_t first, T* c, int64_t width) {
  int64_t u = 0;
  for (; u + 8 <= U; u += 8) outer_tile<8, W>(rows, u, first, c, width);
  for (; u < U; ++u) outer_tile<1, W>(rows, u, first, c, width);
}

static void outer(const Pairs& rows, T* c, int64_t width) {
  int64_t first = 0;
  for (; first + 2 * LANES <= width; first += 2 * LANES) outer_columns<2>(rows, first, c, width);
  for (; first < width; first += LANES) outer_columns<1>(rows, first, c, width);
}

constexpr int64_t N_INNER = MIX.size() + MIX_SQUARE.size();
constexpr int64_t N_MATRICES = SOURCES.size() + N_INNER + UPDATE.size();

constexpr const Matrix& matrix(int64_t index) {
  if (index < int64_t(MIX.size())) return MIX[index];
  return index < N_INNER ? MIX_SQUARE[index - MIX.size()] : UPDATE[index - N_INNER];
}

// ---- the products of an atom ----

template <class Terms>
static void dual_multiply(const Terms& terms, const T* l, const T* ld, const T* r, const T* rd, T* out,
                          T* outd) {
  for (int64_t u = 0; u < U; u += LANES)
    for (const Term& t : terms) {
      const int64_t i = t.left * U + u, j = t.right * U + u, o = t.row * U + u;
      const V cl = t.coefficient * load(l + i), x = load(r + j);
      at(out + o) += cl * x;
      at(outd + o) += cl * load(rd + j) + t.coefficient * load(ld + i) * x;
    }
}

// The cotangents of both sides, which may be one array, from g and gd of the product.
template <class Terms>
static void dual_multiply_backward(const Terms& terms, const T* l, const T* ld, const T* r, const T* rd,
                                   const T* g, const T* gd, T* dl, T* dld, T* dr, T* drd) {
  for (int64_t u = 0; u < U; u += LANES)
    for (const Term& t : terms) {
      const int64_t i = t.left * U + u, j = t.right * U + u, o = t.row * U + u;
      const V c = t.coefficient * load(g + o), cd = t.coefficient * load(gd + o);
      at(dl + i) += c * load(r + j) + cd * load(rd + j);
      at(dld + i) += cd * load(r + j);
      at(dr + j) += c * load(l + i) + cd * load(ld + i);
      at(drd + j) += cd * load(l + i);
    }
}

// From the messages of n atoms their products.
static void products(T* rows, T* rowsd, int64_t n, const T* weights) {
  for (T* x : {rows, rowsd}) update(MIX, x, nullptr, x, ROWS, n, nullptr, weights);
  for (int64_t i = 0; i < n * ROWS * U; i += ROWS * U) {
    T *x = rows + i, *xd = rowsd + i;
    dual_multiply(SQUARES, x + A * U, xd + A * U, x + A * U, xd + A * U, x + SQUARE * U, xd + SQUARE * U);
  }
  for (T* x : {rows, rowsd}) update(MIX_SQUARE, x, nullptr, x, ROWS, n, nullptr, weights);
  for (int64_t i = 0; i < n * ROWS * U; i += ROWS * U) {
    T *x = rows + i, *xd = rowsd + i;
    dual_multiply(CUBES, x + MIXED * U, xd + MIXED * U, x + A * U, xd + A * U, x + CUBE * U, xd + CUBE * U);
  }
}

// From the cotangents of the products those of the messages.
static void products_backward(const T* rows, const T* rowsd, T* g, T* gd, int64_t n, const T* matrices) {
  for (int64_t i = 0; i < n * ROWS * U; i += ROWS * U) {
    const T *x = rows + i, *xd = rowsd + i;
    T *d = g + i, *dd = gd + i;
    dual_multiply_backward(CUBES, x + MIXED * U, xd + MIXED * U, x + A * U, xd + A * U, d + CUBE * U,
                           dd + CUBE * U, d + MIXED * U, dd + MIXED * U, d + A * U, dd + A * U);
  }
  for (T* d : {g, gd}) update_transposed(MIX_SQUARE, d, ROWS, d, nullptr, n, nullptr, matrices);
  for (int64_t i = 0; i < n * ROWS * U; i += ROWS * U) {
    const T *x = rows + i, *xd = rowsd + i;
    T *d = g + i, *dd = gd + i;
    dual_multiply_backward(SQUARES, x + A * U, xd + A * U, x + A * U, xd + A * U, d + SQUARE * U,
                           dd + SQUARE * U, d + A * U, dd + A * U, d + A * U, dd + A * U);
  }
  for (T* d : {g, gd}) update_transposed(MIX, d, ROWS, d, nullptr, n, nullptr, matrices);
}

// ---- the block ----

// From x the output; h, messages and pre are kept. Names that end in d: the part in eps.
extern "C" void dual_forward(const Arguments_dual_forward& a) {
// generated: dual_forward
#pragma omp parallel num_threads(threads)
  {
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const int64_t at = first * M * U;
      zero(h + at, n * M * U);
      zero(hd + at, n * M * U);
      linear(x + at, h + at, n, linear_weights + m * LINEAR_WEIGHTS);
      linear(xd + at, hd + at, n, linear_weights + m * LINEAR_WEIGHTS);
    });
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const MovingEdges E = {{Y, b, interval, Y_slope, b_slope, unit, coefficients + m * knots * P * U},
                             direction + m * edges * 3};
      zero(messages + first * ROWS * U, n * ROWS * U);
      zero(messagesd + first * ROWS * U, n * ROWS * U);
      zero(pre + first * PRE * U, n * PRE * U);
      zero(pred + first * PRE * U, n * PRE * U);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t e = row[from + i]; e < row[from + i + 1]; ++e) {
          const int64_t sender = (m * atoms + send[e]) * M * U, at = (first + i) * ROWS * U;
          gather(E, e, h + sender, hd + sender, messages + at, messagesd + at);
        }
      const T* w = update_weights + m * UPDATE_WEIGHTS;
      T *rows = messages + first * ROWS * U, *rowsd = messagesd + first * ROWS * U;
      if constexpr (FACTORS > 0) products(rows, rowsd, n, w);
      update(UPDATE, rows, x + first * M * U, pre + first * PRE * U, PRE, n, species + from, w);
      update(UPDATE, rowsd, xd + first * M * U, pred + first * PRE * U, PRE, n, species + from, w);
      for (int64_t i = first; i < first + n; ++i)
        gate(pre + i * PRE * U, pred + i * PRE * U, out + i * OUT * U, outd + i * OUT * U);
    });
  }
}

// From dout and doutd the gradients by x, xd and the weights. dpre, g and dh are scratch, with their parts in
// eps; dtable has one slab of atoms for each thread at work on a member.
extern "C" void dual_backward(const Arguments_dual_backward& a) {
// generated: dual_backward
#pragma omp parallel num_threads(threads)
  {
    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      for (int64_t i = first; i < first + n; ++i)
        gate_gradient(pre + i * PRE * U, pred + i * PRE * U, dout + i * OUT * U, doutd + i * OUT * U,
                      dpre + i * PRE * U, dpred + i * PRE * U);
      zero(g + first * ROWS * U, n * ROWS * U);
      zero(gd + first * ROWS * U, n * ROWS * U);
      zero(dx + first * M * U, n * M * U);
      zero(dxd + first * M * U, n * M * U);
      const T* w = update_matrices + m * UPDATE_WEIGHTS;
      T *d = g + first * ROWS * U, *dd = gd + first * ROWS * U;
      update_transposed(UPDATE, dpre + first * PRE * U, PRE, d, dx + first * M * U, n, species + from, w);
      update_transposed(UPDATE, dpred + first * PRE * U, PRE, dd, dxd + first * M * U, n, species + from, w);
      if constexpr (FACTORS > 0)
        products_backward(messages + first * ROWS * U, messagesd + first * ROWS * U, d, dd, n, w);
    });

#pragma omp for schedule(static, 1)
    for (int64_t task = 0; task < members * slabs; ++task) {
      const int64_t m = task / slabs, slab = task % slabs;
      const MovingEdges E = {{Y, b, interval, Y_slope, b_slope, unit, coefficients + m * knots * P * U},
                             direction + m * edges * 3};
      T* own = dtable + task * knots * P * U;
      zero(own, knots * P * U);
      for (int64_t j = slab * atoms / slabs; j < (slab + 1) * atoms / slabs; ++j) {
        const int64_t sender = (m * atoms + j) * M * U;
        zero(dh + sender, M * U);
        zero(dhd + sender, M * U);
        for (int64_t k = column[j]; k < column[j + 1]; ++k) {
          const int64_t e = order[k], at = (m * atoms + receive[e]) * ROWS * U;
          scatter(E, e, h + sender, hd + sender, g + at, gd + at, dh + sender, dhd + sender, own);
        }
      }
    }

    for_chunks(members, atoms, threads, [&](int64_t m, int64_t from, int64_t n, int64_t first) {
      const int64_t at = first * M * U;
      linear(dh + at, dx + at, n, linear_matrices + m * LINEAR_WEIGHTS);
      linear(dhd + at, dxd + at, n, linear_matrices + m * LINEAR_WEIGHTS);
    });

#pragma omp for schedule(dynamic, 1)
    for (int64_t task = 0; task < members * N_MATRICES; ++task) {
      const int64_t m = task / N_MATRICES, start = m * atoms, n_linear = SOURCES.size();
      const int64_t index = task % N_MATRICES;
      Pairs pairs;
      if (index < n_linear) {
        const Source& q = SOURCES[index];
        for (int64_t i = start; i < start + atoms; ++i) {
          const int64_t from = (i * M + q.row) * U;
          pairs.add(x + from, dh + from, q.dim);
          pairs.add(xd + from, dhd + from, q.dim);
        }
        outer(pairs, dlinear + m * LINEAR_WEIGHTS + q.weights, U);
        continue;
      }
      // Into an atom's other rows, or into what is before the gate.
      const Matrix& q = matrix(index - n_linear);
      const bool inner = index - n_linear < N_INNER;
      const T *d = inner ? g : dpre, *dd = inner ? gd : dpred;
      for (int64_t i = start; i < start + atoms; ++i) {
        const int64_t to = (i * (inner ? ROWS : PRE) + q.target) * U;
        if (q.species == NONE) {
          const int64_t from = (i * ROWS + q.source) * U;
          pairs.add(messages + from, d + to, q.dim);
          pairs.add(messagesd + from, dd + to, q.dim);
        } else if (species[i - start] == q.species) {
          const int64_t from = (i * M + q.source) * U;
          pairs.add(x + from, d + to, q.dim);
          pairs.add(xd + from, dd + to, q.dim);
        }
      }
      outer(pairs, dupdate + m * UPDATE_WEIGHTS + q.weights, q.width);
    }
  }
}
