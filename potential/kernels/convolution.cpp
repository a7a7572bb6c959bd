// The convolution's primitives F, B and A (potential/kernels/source.py).
//
// The members share the harmonics when there is one copy: R is then made once for all of them.

// R of the n edges of an atom; edge_at(e) is the number of the e-th.
template <class EdgeAt>
INLINE void rotations(const T* y, int64_t n, std::vector<T>& buffer, const EdgeAt& edge_at) {
  for (int64_t e = 0; e < n; ++e) rotation(y + edge_at(e) * Q, buffer.data() + e * N_R);
}

// o += the messages of one edge to its receiver
INLINE void gather(const T* __restrict__ R, const T* h_, const T* w_, T* o_) {
  // generated: gather
}

// d += the cotangent of the sender's features, from g of the receiver
INLINE void scatter(const T* __restrict__ R, const T* g_, const T* w_, V* d) {
  // generated: scatter
}

extern "C" void forward(const Arguments_forward& a) {
  // generated: forward
  const int64_t stride = copies > 1 ? edges * Q : 0;
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer;
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < atoms; ++i) {
      const int64_t first = row[i], n = row[i + 1] - first;
      buffer.resize(n * N_R + 1);
      for (int64_t m = 0; m < members; ++m) {
        if (m == 0 || stride) rotations(y + m * stride, n, buffer, [&](int64_t e) { return first + e; });
        T* o = out + (m * atoms + i) * ROWS * U;
        std::memset(o, 0, ROWS * U * sizeof(T));
        for (int64_t u = 0; u < U; u += LANES)
          for (int64_t e = 0; e < n; ++e)
            gather(buffer.data() + e * N_R, h + (m * atoms + send[first + e]) * M * U + u,
                   w + (m * edges + first + e) * P * U + u, o + u);
      }
    }
  }
}

extern "C" void backward(const Arguments_backward& a) {
  // generated: backward
  const int64_t stride = copies > 1 ? edges * Q : 0;
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer;
#pragma omp for schedule(dynamic, 4)
    for (int64_t j = 0; j < atoms; ++j) {
      const int64_t first = column[j], n = column[j + 1] - first;
      buffer.resize(n * N_R + 1);
      for (int64_t m = 0; m < members; ++m) {
        if (m == 0 || stride)
          rotations(y + m * stride, n, buffer, [&](int64_t e) { return order[first + e]; });
        for (int64_t u = 0; u < U; u += LANES) {
          V dh[M] = {};
          for (int64_t e = 0; e < n; ++e) {
            const int64_t edge = order[first + e];
            scatter(buffer.data() + e * N_R, g + (m * atoms + receive[edge]) * ROWS * U + u,
                    w + (m * edges + edge) * P * U + u, dh);
          }
          T* o = out + (m * atoms + j) * M * U + u;
          for (int64_t k = 0; k < M; ++k) at(o + k * U) = dh[k];
        }
      }
    }
  }
}

extern "C" void adjoint(const Arguments_adjoint& a) {
  // generated: adjoint
  const int64_t stride = copies > 1 ? edges * Q : 0;
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> buffer;
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < atoms; ++i) {
      const int64_t first = row[i], n = row[i + 1] - first;
      buffer.resize(n * N_R + 1);
      for (int64_t m = 0; m < members; ++m) {
        if (m == 0 || stride) rotations(y + m * stride, n, buffer, [&](int64_t e) { return first + e; });
        for (int64_t e = 0; e < n; ++e) {
          const T* __restrict__ R = buffer.data() + e * N_R;
          // generated: slopes
        }
      }
    }
  }
}
