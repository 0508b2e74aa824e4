// Matrix products over packed weights, and what is done to each tile while it lies in the first cache.
#pragma once

#include <cstdint>
#include <functional>

namespace sealbatch {

// A finished tile of a product: y[row][0..15] of one panel, before scale and bias for integers, before bias for floats.
struct TilePlace {
  long row;    // of the tile's first row
  int rows;
  long panel;
  int thread;
};

using S8Epilogue = std::function<void(const TilePlace&, const int32_t* sums, int stride)>;
using F32Epilogue = std::function<void(const TilePlace&, const float* sums, int stride)>;

// x: rows x k unsigned bytes; w: [n/16][k/4][16][4]. k is a multiple of 4, n of 16.
void product_s8(const uint8_t* x, long rows, const int8_t* w, long n, long k, const S8Epilogue& epilogue);

// x: rows x k floats; w: [n/16][k][16] floats, or their upper halves (bfloat16) where `halves` says so.
void product_f32(const float* x, long rows, const void* w, bool halves, long n, long k, const F32Epilogue& epilogue);

}  // namespace sealbatch
