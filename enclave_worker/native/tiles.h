// The innermost loops of a matrix product: a few rows times one or two panels of 16 columns, by instruction set.
//
// Layouts. Rows are as usual, K values each. A panel of integer weights is [K/4][16][4], of float weights [K][16].
// Integer tiles are exact. Float tiles add products in the order of k, one fused multiply-add each, so that every
// instruction set, row count and position gives the same bits.
#pragma once

#include <cstdint>

namespace sealbatch {

constexpr int kPanel = 16;

struct Tiles {
  const char* name;
  int rows;    // most rows of a tile
  int panels;  // panels of a tile
  // c[row][panel][16] = sum of a (unsigned) times b (signed) over k4 groups of four.
  void (*s8)(const uint8_t* a, long lda, int rows, const int8_t* b, long panel_stride, int panels, long k4, int32_t* c);
  // c[row][panel][16] += sum of a times b over k.
  void (*f32)(const float* a, long lda, int rows, const float* b, long panel_stride, int panels, long k, float* c);
};

const Tiles* tiles_avx2();
const Tiles* tiles_avx512();

}  // namespace sealbatch
