// Vectors of channels. T, U and the other sizes stand before this file: potential/kernels/cpp.py writes them.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

// Bytes of a vector register. Wider vectors would go through memory, and be seven times slower.
#if defined(__AVX512F__)
constexpr int64_t REGISTER = 64;
#elif defined(__AVX__)
constexpr int64_t REGISTER = 32;
#else
constexpr int64_t REGISTER = 16;
#endif

// Channels in one vector: the widest that divides them.
constexpr int64_t widest(int64_t bytes) {
  const int64_t n = bytes / int64_t(sizeof(T));
  return n <= 1 ? 1 : U % n == 0 ? n : bytes > 16 ? widest(bytes / 2) : 1;
}
constexpr int64_t LANES = widest(REGISTER);

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
