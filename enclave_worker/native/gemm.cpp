#include "gemm.h"

#include <immintrin.h>

#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "pool.h"
#include "tiles.h"
#include "vec.h"

namespace sealbatch {
namespace {

constexpr long kRowsAtOnce = 384;  // rows whose sums a thread keeps while it walks over k
constexpr long kDepth = 256;       // values of k that a float panel is walked at a time: 16 KiB, half the first cache
constexpr int kMostPanels = 2;
constexpr int kMostRows = 16;

// What a product does to its sums: y = sum * scales + bias, then one of these.
enum Action { kStore = 0, kAddTo = 1, kGelu = 2 };

inline void finish(Action action, float* out, __m256 y) {
  if (action == kAddTo) y = _mm256_add_ps(_mm256_loadu_ps(out), y);
  if (action == kGelu) y = gelu8(y);
  _mm256_storeu_ps(out, y);
}

const float* widen(const uint16_t* halves, long values, float* out) {
  for (long i = 0; i < values; i += kLanes) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + i)));
    _mm256_store_ps(out + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
  }
  return out;
}

}  // namespace

void product_s8(const uint8_t* x, long rows, const int8_t* w, long n, long k, const S8Epilogue& epilogue) {
  const Tiles& tiles = chosen_tiles();
  const long panels = n / kPanel, panel_size = k * kPanel;
  const long groups = (panels + tiles.panels - 1) / tiles.panels;
  pool_run(groups, [&](long group, int thread) {
    alignas(64) int32_t sums[kMostRows * kMostPanels * kPanel];
    const long first = group * tiles.panels;
    const int count = static_cast<int>(std::min<long>(tiles.panels, panels - first));
    for (long row = 0; row < rows; row += tiles.rows) {
      const int height = static_cast<int>(std::min<long>(tiles.rows, rows - row));
      tiles.s8(x + row * k, k, height, w + first * panel_size, panel_size, count, k / 4, sums);
      for (int p = 0; p < count; ++p) epilogue({row, height, first + p, thread}, sums + p * kPanel, count * kPanel);
    }
  });
}

void product_f32(const float* x, long rows, const void* w, bool halves, long n, long k, const F32Epilogue& epilogue) {
  const Tiles& tiles = chosen_tiles();
  const long panels = n / kPanel, panel_size = k * kPanel;
  const long groups = (panels + tiles.panels - 1) / tiles.panels;
  pool_run(groups, [&](long group, int thread) {
    alignas(64) static thread_local float widened[kMostPanels * kDepth * kPanel];
    alignas(64) static thread_local float sums[kRowsAtOnce * kMostPanels * kPanel];
    const long first = group * tiles.panels;
    const int count = static_cast<int>(std::min<long>(tiles.panels, panels - first));
    const int stride = count * kPanel;
    for (long start = 0; start < rows; start += kRowsAtOnce) {
      const long stop = std::min(rows, start + kRowsAtOnce);
      std::fill(sums, sums + (stop - start) * stride, 0.0f);
      for (long depth = 0; depth < k; depth += kDepth) {
        const long span = std::min(kDepth, k - depth);
        const float* panel = static_cast<const float*>(w) + first * panel_size + depth * kPanel;
        long panel_stride = panel_size;
        if (halves) {
          const uint16_t* packed = static_cast<const uint16_t*>(w) + first * panel_size + depth * kPanel;
          for (int p = 0; p < count; ++p) widen(packed + p * panel_size, span * kPanel, widened + p * kDepth * kPanel);
          panel = widened;
          panel_stride = kDepth * kPanel;
        }
        for (long row = start; row < stop; row += tiles.rows) {
          const int height = static_cast<int>(std::min<long>(tiles.rows, stop - row));
          tiles.f32(x + row * k + depth, k, height, panel, panel_stride, count, span, sums + (row - start) * stride);
        }
      }
      for (int p = 0; p < count; ++p)
        epilogue({start, static_cast<int>(stop - start), first + p, thread}, sums + p * kPanel, stride);
    }
  });
}

extern "C" {

// out[rows][n] = action(x w * row_scales * column_scales + bias). x holds values + 128, so that `offsets`, 128 times
// each column's sum of weights, is taken off again.
void sb_linear_s8(const uint8_t* x, const float* row_scales, long rows, const int8_t* w, const float* column_scales,
                  const int32_t* offsets, const float* bias, long n, long k, int action, float* out) {
  product_s8(x, rows, w, n, k, [&](const TilePlace& tile, const int32_t* sums, int stride) {
    const long column = tile.panel * kPanel;
    for (int half = 0; half < 2; ++half) {
      const long c = column + half * kLanes;
      const __m256i offset = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets + c));
      const __m256 scale = _mm256_loadu_ps(column_scales + c), shift = _mm256_loadu_ps(bias + c);
      for (int r = 0; r < tile.rows; ++r) {
        const __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + r * stride + half * kLanes));
        const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, offset)), scale);
        finish(static_cast<Action>(action), out + (tile.row + r) * n + c,
               _mm256_fmadd_ps(y, _mm256_set1_ps(row_scales[tile.row + r]), shift));
      }
    }
  });
}

// out[rows][n] = action(x w + bias).
void sb_linear_f32(const float* x, long rows, const void* w, int halves, const float* bias, long n, long k, int action,
                   float* out) {
  product_f32(x, rows, w, halves != 0, n, k, [&](const TilePlace& tile, const float* sums, int stride) {
    for (int half = 0; half < 2; ++half) {
      const long c = tile.panel * kPanel + half * kLanes;
      const __m256 shift = _mm256_loadu_ps(bias + c);
      for (int r = 0; r < tile.rows; ++r)
        finish(static_cast<Action>(action), out + (tile.row + r) * n + c,
               _mm256_add_ps(_mm256_loadu_ps(sums + r * stride + half * kLanes), shift));
    }
  });
}

}  // extern "C"
}  // namespace sealbatch
