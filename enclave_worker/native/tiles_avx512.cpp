// Tiles of 12 rows and two panels: 24 accumulators of the 32 registers. Needs AVX-512 F, BW, VL and VNNI.
#ifdef SEALBATCH_EMULATE_AVX512
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#else
#include <immintrin.h>
#endif

#include <cstring>

#include "tiles.h"

namespace sealbatch {
namespace {

constexpr int kRows = 12;

inline __m512i four_bytes(const uint8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

template <int R, int P>
void s8_tile(const uint8_t* a, long lda, const int8_t* b, long panel_stride, long k4, int32_t* c) {
  __m512i sum[R][P];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) sum[r][p] = _mm512_setzero_si512();
  for (long k = 0; k < k4; ++k) {
    __m512i w[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) w[p] = _mm512_loadu_si512(b + p * panel_stride + k * 4 * kPanel);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const __m512i x = four_bytes(a + r * lda + 4 * k);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], x, w[p]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) _mm512_storeu_si512(c + (r * P + p) * kPanel, sum[r][p]);
}

template <int R, int P>
void f32_tile(const float* a, long lda, const float* b, long panel_stride, long k, float* c) {
  __m512 sum[R][P];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) sum[r][p] = _mm512_loadu_ps(c + (r * P + p) * kPanel);
  for (long i = 0; i < k; ++i) {
    __m512 w[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) w[p] = _mm512_loadu_ps(b + p * panel_stride + i * kPanel);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const __m512 x = _mm512_set1_ps(a[r * lda + i]);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sum[r][p] = _mm512_fmadd_ps(x, w[p], sum[r][p]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) _mm512_storeu_ps(c + (r * P + p) * kPanel, sum[r][p]);
}

// Tiles of `rows` rows, from the largest that fits: 12, then what is left of 8, 4, 2 and 1.
template <int R>
void s8_from(const uint8_t* a, long lda, int rows, const int8_t* b, long panel_stride, int panels, long k4, int32_t* c) {
  while (rows >= R) {
    if (panels == 2) s8_tile<R, 2>(a, lda, b, panel_stride, k4, c);
    else s8_tile<R, 1>(a, lda, b, panel_stride, k4, c);
    rows -= R, a += R * lda, c += R * panels * kPanel;
  }
  if constexpr (R > 1) {
    if (rows > 0) s8_from<(R == 12 ? 8 : R / 2)>(a, lda, rows, b, panel_stride, panels, k4, c);
  }
}

template <int R>
void f32_from(const float* a, long lda, int rows, const float* b, long panel_stride, int panels, long k, float* c) {
  while (rows >= R) {
    if (panels == 2) f32_tile<R, 2>(a, lda, b, panel_stride, k, c);
    else f32_tile<R, 1>(a, lda, b, panel_stride, k, c);
    rows -= R, a += R * lda, c += R * panels * kPanel;
  }
  if constexpr (R > 1) {
    if (rows > 0) f32_from<(R == 12 ? 8 : R / 2)>(a, lda, rows, b, panel_stride, panels, k, c);
  }
}

constexpr Tiles kTiles{"avx512vnni", kRows, 2, s8_from<kRows>, f32_from<kRows>};

}  // namespace

const Tiles* tiles_avx512() { return &kTiles; }

}  // namespace sealbatch
