// What is done to each row by itself: layer norm, and rounding to 8 bits. A row is computed whole by one thread in one
// order, so its result depends on nothing but the row.
#include <algorithm>
#include <cmath>

#include "pool.h"
#include "vec.h"

namespace sealbatch {
namespace {

constexpr long kRowsAnItem = 4;

template <typename Body>
void each_row(long rows, Body body) {
  pool_run((rows + kRowsAnItem - 1) / kRowsAnItem, [&](long item, int) {
    const long stop = std::min(rows, (item + 1) * kRowsAnItem);
    for (long row = item * kRowsAnItem; row < stop; ++row) body(row);
  });
}

void normalize(const float* x, const float* weight, const float* bias, float epsilon, long n, float* out) {
  __m256 sum = _mm256_setzero_ps();
  for (long i = 0; i < n; i += kLanes) sum = _mm256_add_ps(sum, _mm256_loadu_ps(x + i));
  const __m256 mean = _mm256_set1_ps(lane_sum(sum) / static_cast<float>(n));
  __m256 squares = _mm256_setzero_ps();
  for (long i = 0; i < n; i += kLanes) {
    const __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i), mean);
    squares = _mm256_fmadd_ps(d, d, squares);
  }
  const float variance = lane_sum(squares) / static_cast<float>(n);
  const __m256 scale = _mm256_set1_ps(1.0f / std::sqrt(variance + epsilon));
  for (long i = 0; i < n; i += kLanes) {
    const __m256 d = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), mean), scale);
    _mm256_storeu_ps(out + i, _mm256_fmadd_ps(d, _mm256_loadu_ps(weight + i), _mm256_loadu_ps(bias + i)));
  }
}

// The row as round(x / scale) + 128 with scale = max|x| / 127: values 1 to 255. A row of zeros has scale 0.
float round_row(const float* x, long n, uint8_t* out) {
  __m256 most = _mm256_setzero_ps();
  for (long i = 0; i < n; i += kLanes) most = _mm256_max_ps(most, magnitude(_mm256_loadu_ps(x + i)));
  const float largest = lane_max(most);
  const __m256 factor = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
  for (long i = 0; i < n; i += kLanes) {
    const __m256i value = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
    const __m256i words = _mm256_packs_epi32(value, value);
    const __m256i bytes = _mm256_add_epi8(_mm256_packs_epi16(words, words), _mm256_set1_epi8(-128));
    const int32_t low = _mm256_extract_epi32(bytes, 0), high = _mm256_extract_epi32(bytes, 4);
    __builtin_memcpy(out + i, &low, 4);
    __builtin_memcpy(out + i + 4, &high, 4);
  }
  return largest / 127.0f;
}

}  // namespace

extern "C" {

// out = (x - mean) / sqrt(variance + epsilon) * weight + bias, for each of `rows` rows of n floats; out may be x.
void sb_layer_norm(const float* x, const float* weight, const float* bias, float epsilon, long rows, long n,
                   float* out) {
  each_row(rows, [&](long row) { normalize(x + row * n, weight, bias, epsilon, n, out + row * n); });
}

// Each row rounded to 8 bits, and its scale.
void sb_quantize(const float* x, long rows, long n, uint8_t* out, float* scales) {
  each_row(rows, [&](long row) { scales[row] = round_row(x + row * n, n, out + row * n); });
}

// Both, without writing the normalized row to memory in between.
void sb_layer_norm_quantize(const float* x, const float* weight, const float* bias, float epsilon, long rows, long n,
                            uint8_t* out, float* scales) {
  each_row(rows, [&](long row) {
    static thread_local float* buffer = nullptr;
    static thread_local long room = 0;
    if (room < n) {
      _mm_free(buffer);
      buffer = static_cast<float*>(_mm_malloc(static_cast<size_t>(n) * sizeof(float), 64));
      room = n;
    }
    normalize(x + row * n, weight, bias, epsilon, n, buffer);
    scales[row] = round_row(buffer, n, out + row * n);
  });
}

}  // extern "C"
}  // namespace sealbatch
