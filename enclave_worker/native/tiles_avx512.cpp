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
constexpr long kAhead = 8 * 64;  // bytes of weights asked for before they are used: they come from the second cache

inline __m512i four_bytes(const uint8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

template <int R, int P>
void s8_tile(const uint8_t* a, const int8_t* b, long panel_stride, long k4, const Later& later, int32_t* c) {
  __m512i sum[R][P];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) sum[r][p] = _mm512_setzero_si512();
  for (long k = 0; k < k4; ++k, a += 4 * R, b += 4 * kPanel) {
    later.ask(k);
    __m512i w[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      w[p] = _mm512_loadu_si512(b + p * panel_stride);
      _mm_prefetch(reinterpret_cast<const char*>(b + p * panel_stride + kAhead), _MM_HINT_T0);
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const __m512i x = four_bytes(a + 4 * r);
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
void f32_tile(const float* a, const float* b, long panel_stride, long k, float* c) {
  __m512 sum[R][P];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) sum[r][p] = _mm512_loadu_ps(c + (r * P + p) * kPanel);
  for (long i = 0; i < k; ++i, a += R, b += kPanel) {
    __m512 w[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      w[p] = _mm512_loadu_ps(b + p * panel_stride);
      _mm_prefetch(reinterpret_cast<const char*>(b + p * panel_stride) + kAhead, _MM_HINT_T0);
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const __m512 x = _mm512_set1_ps(a[r]);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sum[r][p] = _mm512_fmadd_ps(x, w[p], sum[r][p]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) _mm512_storeu_ps(c + (r * P + p) * kPanel, sum[r][p]);
}

// The tile of exactly `rows` rows.
template <int R>
void s8(const uint8_t* a, int rows, const int8_t* b, long panel_stride, int panels, long k4, const Later& later,
        int32_t* c) {
  if constexpr (R > 1)
    if (rows < R) return s8<R - 1>(a, rows, b, panel_stride, panels, k4, later, c);
  if (panels == 2) s8_tile<R, 2>(a, b, panel_stride, k4, later, c);
  else s8_tile<R, 1>(a, b, panel_stride, k4, later, c);
}

template <int R>
void f32(const float* a, int rows, const float* b, long panel_stride, int panels, long k, float* c) {
  if constexpr (R > 1)
    if (rows < R) return f32<R - 1>(a, rows, b, panel_stride, panels, k, c);
  if (panels == 2) f32_tile<R, 2>(a, b, panel_stride, k, c);
  else f32_tile<R, 1>(a, b, panel_stride, k, c);
}

constexpr Tiles kTiles{"avx512vnni", kRows, 2, s8<kRows>, f32<kRows>};

}  // namespace

const Tiles* tiles_avx512() { return &kTiles; }

}  // namespace sealbatch
