// Tiles of 6 rows and one panel: 12 accumulators of the 16 registers.
#include <immintrin.h>

#include <cstring>

#include "tiles.h"

namespace sealbatch {
namespace {

constexpr int kRows = 6;

// Every loop over accumulators is unrolled by pragma: one that is not would keep them in memory instead of registers.

inline __m256i four_bytes(const uint8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

// vpmaddubsw adds two products in 16 bits with saturation. It never saturates here: a is at most 255, and the weights
// are packed so that two neighbours' magnitudes add up to at most 128 (enclave_worker.bloom.quantize).
template <int R>
void s8_rows(const uint8_t* a, const int8_t* b, long k4, const Later& later, int32_t* c) {
  __m256i sum[R][2];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  const __m256i ones = _mm256_set1_epi16(1);
  for (long k = 0; k < k4; ++k, a += 4 * R) {
    const __m256i* w = reinterpret_cast<const __m256i*>(b + k * 4 * kPanel);
    const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
    later.ask(k);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m256i x = four_bytes(a + 4 * r);
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w0), ones));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w1), ones));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * kPanel + 8 * h), sum[r][h]);
}

template <int R>
void f32_rows(const float* a, const float* b, long k, float* c) {
  __m256 sum[R][2];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) sum[r][h] = _mm256_loadu_ps(c + r * kPanel + 8 * h);
  for (long i = 0; i < k; ++i, a += R) {
    const __m256 w0 = _mm256_loadu_ps(b + i * kPanel), w1 = _mm256_loadu_ps(b + i * kPanel + 8);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m256 x = _mm256_broadcast_ss(a + r);
      sum[r][0] = _mm256_fmadd_ps(x, w0, sum[r][0]);
      sum[r][1] = _mm256_fmadd_ps(x, w1, sum[r][1]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) _mm256_storeu_ps(c + r * kPanel + 8 * h, sum[r][h]);
}

template <int R>
void s8(const uint8_t* a, int rows, const int8_t* b, long stride, int panels, long k4, const Later& later, int32_t* c) {
  if constexpr (R > 1)
    if (rows < R) return s8<R - 1>(a, rows, b, stride, panels, k4, later, c);
  s8_rows<R>(a, b, k4, later, c);
}

template <int R>
void f32(const float* a, int rows, const float* b, long stride, int panels, long k, float* c) {
  if constexpr (R > 1)
    if (rows < R) return f32<R - 1>(a, rows, b, stride, panels, k, c);
  f32_rows<R>(a, b, k, c);
}

constexpr Tiles kTiles{"avx2", kRows, 1, s8<kRows>, f32<kRows>};

}  // namespace

const Tiles* tiles_avx2() { return &kTiles; }

}  // namespace sealbatch
