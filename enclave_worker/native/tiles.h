// The innermost loops of a matrix product: a few rows times one or two panels of 16 columns, by instruction set.
//
// Layouts. A tile of rows is [K/4][rows][4] bytes or [K][rows] floats, so that its values lie in the order in which
// they are used, and no two rows fall on one place of the cache. A panel of integer weights is [K/4][16][4], of float
// weights [K][16]. Integer tiles are exact. Float tiles add products in the order of k, one fused multiply-add each, so
// that every instruction set, row count and position gives the same bits.
#pragma once

#include <cstdint>

namespace sealbatch {

constexpr int kPanel = 16;

// Weights of a later tile: memory takes as long to bring them as a tile takes to compute. Each of the k4 steps asks for
// two lines of the cache at `start`, and the next step for those `step` bytes on.
struct Later {
  const int8_t* start;
  long step;

  void ask(long k) const {
    const char* line = reinterpret_cast<const char*>(start + k * step);
    __builtin_prefetch(line, 0, 2);
    __builtin_prefetch(line + 64, 0, 2);
  }
};

struct Tiles {
  const char* name;
  int rows;    // most rows of a tile
  int panels;  // panels of a tile
  // c[row][panel][16] = sum of a (unsigned) times b (signed) over k4 groups of four; `later` is asked for meanwhile.
  void (*s8)(const uint8_t* a, int rows, const int8_t* b, long panel_stride, int panels, long k4, const Later& later,
             int32_t* c);
  // c[row][panel][16] += sum of a times b over k.
  void (*f32)(const float* a, int rows, const float* b, long panel_stride, int panels, long k, float* c);
};

const Tiles* tiles_avx2();
const Tiles* tiles_avx512();

}  // namespace sealbatch
