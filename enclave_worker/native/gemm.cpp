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

// Rows in tiles of nearly equal height: a small last tile would keep the arithmetic units waiting.
struct RowTiles {
  long rows, count;

  RowTiles(long rows, int most) : rows(rows), count((rows + most - 1) / most) {}
  long first(long tile) const { return rows * tile / count; }
  int height(long tile) const { return static_cast<int>(first(tile + 1) - first(tile)); }
};

// The rows of `x`, `words` values of 32 bits each, as tiles of [words][height]; tile t starts at first(t) * words.
const uint32_t* pack_rows(const uint32_t* x, long words, const RowTiles& tiles) {
  static thread_local std::vector<uint32_t> room;
  if (room.size() < static_cast<size_t>(tiles.rows * words)) room.resize(static_cast<size_t>(tiles.rows * words));
  uint32_t* packed = room.data();
  pool_run(tiles.count, [&, packed](long tile, int) {
    const int height = tiles.height(tile);
    const uint32_t* from = x + tiles.first(tile) * words;
    uint32_t* to = packed + tiles.first(tile) * words;
    int row = 0;
    for (; row + 4 <= height; row += 4) {
      long word = 0;
      for (; word + 4 <= words; word += 4) {
        __m128 quad[4];
        for (int i = 0; i < 4; ++i) quad[i] = _mm_loadu_ps(reinterpret_cast<const float*>(from + (row + i) * words + word));
        _MM_TRANSPOSE4_PS(quad[0], quad[1], quad[2], quad[3]);
        for (int i = 0; i < 4; ++i) _mm_storeu_ps(reinterpret_cast<float*>(to + (word + i) * height + row), quad[i]);
      }
      for (; word < words; ++word)
        for (int i = 0; i < 4; ++i) to[word * height + row + i] = from[(row + i) * words + word];
    }
    for (; row < height; ++row)
      for (long word = 0; word < words; ++word) to[word * height + row] = from[row * words + word];
  });
  return packed;
}

}  // namespace

void product_s8(const uint8_t* x, long rows, const int8_t* w, long n, long k, const S8Epilogue& epilogue) {
  if (rows == 0) return;
  const Tiles& tiles = chosen_tiles();
  const long panels = n / kPanel, panel_size = k * kPanel;
  const long groups = (panels + tiles.panels - 1) / tiles.panels, words = k / 4;
  const RowTiles row_tiles(rows, tiles.rows);
  // What this thread takes next is asked for in as many parts as there are tiles of rows.
  const long ahead = pool_active() * tiles.panels * panel_size;
  const long step = (tiles.panels * 4 * kPanel + row_tiles.count - 1) / row_tiles.count;
  const uint32_t* packed = pack_rows(reinterpret_cast<const uint32_t*>(x), words, row_tiles);
  pool_run(groups, [&](long group, int thread) {
    alignas(64) int32_t sums[kMostRows * kMostPanels * kPanel];
    const long first = group * tiles.panels;
    const int count = static_cast<int>(std::min<long>(tiles.panels, panels - first));
    for (long tile = 0; tile < row_tiles.count; ++tile) {
      const long row = row_tiles.first(tile);
      const int height = row_tiles.height(tile);
      const Later later{w + first * panel_size + ahead + tile * words * step, step};
      tiles.s8(reinterpret_cast<const uint8_t*>(packed + row * words), height, w + first * panel_size, panel_size, count,
               words, later, sums);
      for (int p = 0; p < count; ++p) epilogue({row, height, first + p, thread}, sums + p * kPanel, count * kPanel);
    }
  });
}

void product_f32(const float* x, long rows, const void* w, bool halves, long n, long k, const F32Epilogue& epilogue) {
  const Tiles& tiles = chosen_tiles();
  const long panels = n / kPanel, panel_size = k * kPanel;
  const long groups = (panels + tiles.panels - 1) / tiles.panels, at_once = kRowsAtOnce / tiles.rows;
  const RowTiles row_tiles(rows, tiles.rows);
  const float* packed = reinterpret_cast<const float*>(pack_rows(reinterpret_cast<const uint32_t*>(x), k, row_tiles));
  pool_run(groups, [&](long group, int thread) {
    alignas(64) static thread_local float widened[kMostPanels * kDepth * kPanel];
    alignas(64) static thread_local float sums[kRowsAtOnce * kMostPanels * kPanel];
    const long first = group * tiles.panels;
    const int count = static_cast<int>(std::min<long>(tiles.panels, panels - first));
    const int stride = count * kPanel;
    for (long tile = 0; tile < row_tiles.count; tile += at_once) {
      const long last = std::min(row_tiles.count, tile + at_once);
      const long start = row_tiles.first(tile), stop = row_tiles.first(last);
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
        for (long t = tile; t < last; ++t) {
          const long row = row_tiles.first(t);
          const int height = row_tiles.height(t);
          tiles.f32(packed + row * k + depth * height, height, panel, panel_stride, count, span,
                    sums + (row - start) * stride);
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
