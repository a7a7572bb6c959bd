// Vectors of channels. T, LANES and the other sizes stand before this file: potential/kernels/cpp.py writes
// them.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

typedef T V __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));

// The generated sums are one expression to the compiler, wherever they are written.
#define INLINE static inline __attribute__((always_inline))

INLINE V load(const T* p) { return *(const V*)p; }
INLINE V& at(T* p) { return *(V*)p; }

static inline T sum(V v) {
  T s = 0;
  for (int i = 0; i < LANES; ++i) s += ((T*)&v)[i];
  return s;
}

// An edge's numbers R are on the stack of the thread that works on it.
static_assert(N_R * sizeof(T) <= 32768, "the buffer R of an edge is too large for the stack");
