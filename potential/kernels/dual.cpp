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

constexpr int64_t n_matrices() {
  int64_t n = sizeof(SOURCES) / sizeof(Source);
  for (const Target& t : TARGETS) n += t.paths + (t.own >= 0 ? SPECIES : 0);
  return n;
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
      update(messages + first * ROWS * U, x + first * M * U, pre + first * PRE * U, n, species + from, w);
      update(messagesd + first * ROWS * U, xd + first * M * U, pred + first * PRE * U, n, species + from, w);
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
      update_transposed(dpre + first * PRE * U, g + first * ROWS * U, dx + first * M * U, n, species + from,
                        w);
      update_transposed(dpred + first * PRE * U, gd + first * ROWS * U, dxd + first * M * U, n,
                        species + from, w);
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
    for (int64_t task = 0; task < members * n_matrices(); ++task) {
      const int64_t m = task / n_matrices(), start = m * atoms;
      int64_t index = task % n_matrices();
      Pairs pairs;
      for (const Source& s : SOURCES)
        if (index-- == 0) {
          for (int64_t i = start; i < start + atoms; ++i) {
            const int64_t at = (i * M + s.row) * U;
            pairs.add(x + at, dh + at, s.dim);
            pairs.add(xd + at, dhd + at, s.dim);
          }
          outer(pairs, dlinear + m * LINEAR_WEIGHTS + s.weights, U);
        }
      for (const Target& t : TARGETS) {
        T* w = dupdate + m * UPDATE_WEIGHTS + t.weights;
        for (int64_t path = 0; path < t.paths; ++path, w += U * t.width)
          if (index-- == 0) {
            for (int64_t i = start; i < start + atoms; ++i) {
              const int64_t from = (i * ROWS + t.row + path * t.dim) * U, to = (i * PRE + t.pre) * U;
              pairs.add(messages + from, dpre + to, t.dim);
              pairs.add(messagesd + from, dpred + to, t.dim);
            }
            outer(pairs, w, t.width);
          }
        for (int64_t s = 0; s < SPECIES && t.own >= 0; ++s, w += U * t.width)
          if (index-- == 0) {
            for (int64_t i = start; i < start + atoms; ++i) {
              if (species[i - start] != s) continue;
              const int64_t from = (i * M + t.own) * U, to = (i * PRE + t.pre) * U;
              pairs.add(x + from, dpre + to, t.dim);
              pairs.add(xd + from, dpred + to, t.dim);
            }
            outer(pairs, w, t.width);
          }
      }
    }
  }
}
