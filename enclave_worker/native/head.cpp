// The next token: the largest logit of a vocabulary of a quarter of a million.
//
// 8-bit: all logits are computed from 8-bit weights and an 8-bit row, then those that could be the largest are computed
// again from the weights as the checkpoint holds them. "Could be" is proven, not guessed. With w = w' + e (w' the 8-bit
// weights) and x = x' + d (x' the 8-bit row), Cauchy and Schwarz give
//     |x w - x' w'| = |x e + d w'| <= |x| |e| + |d| |w'|,
// so a logit can be the largest only if its screened value plus its bound reaches the best of screened values minus
// their bounds. The token is therefore that of the full-precision head, always.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gemm.h"
#include "pool.h"
#include "tiles.h"
#include "vec.h"

namespace sealbatch {
namespace {

// Rounding of the screened value, of the bound and of the exact dot product, relative to |x| |w|: k 2^-24 bounds a dot
// product of k terms, and a sum in eight lanes has far fewer in a row.
constexpr float kRounding = 4e-5f;

enum Kind { kFloat = 0, kHalf = 1, kBfloat = 2 };

inline __m256 load_exact(const void* row, Kind kind, long i) {
  if (kind == kFloat) return _mm256_loadu_ps(static_cast<const float*>(row) + i);
  const uint16_t* halves = static_cast<const uint16_t*>(row) + i;
  if (kind == kHalf) return load8(halves);
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

float dot_exact(const float* x, const void* row, Kind kind, long n) {
  __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  long i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int j = 0; j < 4; ++j)
      sum[j] = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + j * kLanes), load_exact(row, kind, i + j * kLanes), sum[j]);
  for (; i < n; i += kLanes) sum[0] = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), load_exact(row, kind, i), sum[0]);
  return lane_sum(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

struct Candidate {
  float upper;
  int32_t token;
};

// What one thread has found for one row.
struct Screened {
  float best_lower = -INFINITY;
  std::vector<Candidate> candidates;

  void keep_possible() {
    std::erase_if(candidates, [this](const Candidate& c) { return c.upper < best_lower; });
  }
};

struct Norms {
  float row;   // |x|
  float lost;  // |x - x'|
};

Norms norms_of(const float* x, const uint8_t* rounded, float scale, long n) {
  double row = 0, lost = 0;
  for (long i = 0; i < n; ++i) {
    const double d = x[i] - static_cast<double>(scale) * (rounded[i] - 128);
    row += static_cast<double>(x[i]) * x[i];
    lost += d * d;
  }
  return {static_cast<float>(std::sqrt(row)), static_cast<float>(std::sqrt(lost))};
}

constexpr size_t kSweep = 512;  // candidates of a row before those that became impossible are thrown out

}  // namespace

extern "C" {

// tokens[row] = the token with the largest logit; of equals the first. x: rows x k floats, `rounded` and `row_scales`
// the same in 8 bits. w, column_scales, offsets: the 8-bit head. lost, kept: |w - w'| and |w'| of each token. exact:
// [tokens][k] as the checkpoint holds it. Returns how many logits were computed again, over all rows.
long sb_argmax_s8(const float* x, const uint8_t* rounded, const float* row_scales, long rows, const int8_t* w,
                  const float* column_scales, const int32_t* offsets, const float* lost, const float* kept,
                  const void* exact, int exact_kind, long n, long k, long vocabulary, int32_t* tokens) {
  const long threads = pool_capacity();
  std::vector<Norms> norms(static_cast<size_t>(rows));
  pool_run(rows, [&](long row, int) { norms[static_cast<size_t>(row)] = norms_of(x + row * k, rounded + row * k, row_scales[row], k); });
  std::vector<Screened> found(static_cast<size_t>(rows * threads));
  product_s8(rounded, rows, w, n, k, [&](const TilePlace& tile, const int32_t* sums, int stride) {
    for (int half = 0; half < 2; ++half) {
      const long c = tile.panel * kPanel + half * kLanes;
      const __m256i offset = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets + c));
      const __m256 scale = _mm256_loadu_ps(column_scales + c);
      const __m256 weight_kept = _mm256_loadu_ps(kept + c);
      const __m256 weight_lost = _mm256_fmadd_ps(weight_kept, _mm256_set1_ps(kRounding), _mm256_loadu_ps(lost + c));
      for (int r = 0; r < tile.rows; ++r) {
        const long row = tile.row + r;
        const Norms norm = norms[static_cast<size_t>(row)];
        const __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + r * stride + half * kLanes));
        const __m256 logit = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, offset)), scale),
                                           _mm256_set1_ps(row_scales[row]));
        const __m256 bound = _mm256_fmadd_ps(_mm256_set1_ps(norm.lost), weight_kept,
                                             _mm256_mul_ps(_mm256_set1_ps(norm.row), weight_lost));
        const __m256 upper = _mm256_add_ps(logit, bound);
        Screened& mine = found[static_cast<size_t>(row * threads + tile.thread)];
        int possible = _mm256_movemask_ps(_mm256_cmp_ps(upper, _mm256_set1_ps(mine.best_lower), _CMP_GE_OQ));
        if (possible == 0) continue;
        float uppers[kLanes], lowers[kLanes];
        _mm256_storeu_ps(uppers, upper);
        _mm256_storeu_ps(lowers, _mm256_sub_ps(logit, bound));
        for (; possible != 0; possible &= possible - 1) {
          const int lane = __builtin_ctz(static_cast<unsigned>(possible));
          if (c + lane >= vocabulary) continue;
          mine.best_lower = std::max(mine.best_lower, lowers[lane]);
          mine.candidates.push_back({uppers[lane], static_cast<int32_t>(c + lane)});
        }
        if (mine.candidates.size() > kSweep && (mine.candidates.size() & (kSweep - 1)) == 0) mine.keep_possible();
      }
    }
  });
  std::vector<long> again(static_cast<size_t>(rows));
  const long row_bytes = k * (exact_kind == kFloat ? 4 : 2);
  pool_run(rows, [&](long row, int) {
    Screened* mine = &found[static_cast<size_t>(row * threads)];
    float best_lower = -INFINITY;
    for (long t = 0; t < threads; ++t) best_lower = std::max(best_lower, mine[t].best_lower);
    float best = -INFINITY;
    int32_t token = 0;
    for (long t = 0; t < threads; ++t)
      for (const Candidate& c : mine[t].candidates) {
        if (c.upper < best_lower) continue;
        const float logit = dot_exact(x + row * k, static_cast<const char*>(exact) + c.token * row_bytes,
                                      static_cast<Kind>(exact_kind), k);
        ++again[static_cast<size_t>(row)];
        if (logit > best || (logit == best && c.token < token)) best = logit, token = c.token;
      }
    tokens[row] = token;
  });
  long total = 0;
  for (long count : again) total += count;
  return total;
}

// The same for a head in float or bfloat16, from the exact logits.
void sb_argmax_f32(const float* x, long rows, const void* w, int halves, long n, long k, long vocabulary,
                   int32_t* tokens) {
  const long threads = pool_capacity();
  struct Best {
    float logit = -INFINITY;
    int32_t token = 0;
  };
  std::vector<Best> found(static_cast<size_t>(rows * threads));
  product_f32(x, rows, w, halves != 0, n, k, [&](const TilePlace& tile, const float* sums, int stride) {
    for (int r = 0; r < tile.rows; ++r) {
      Best& mine = found[static_cast<size_t>((tile.row + r) * threads + tile.thread)];
      for (int lane = 0; lane < kPanel; ++lane) {
        const int32_t token = static_cast<int32_t>(tile.panel * kPanel + lane);
        const float logit = sums[r * stride + lane];
        if (token < vocabulary && (logit > mine.logit || (logit == mine.logit && token < mine.token)))
          mine = {logit, token};
      }
    }
  });
  for (long row = 0; row < rows; ++row) {
    Best best = found[static_cast<size_t>(row * threads)];
    for (long t = 1; t < threads; ++t) {
      const Best& other = found[static_cast<size_t>(row * threads + t)];
      if (other.logit > best.logit || (other.logit == best.logit && other.token < best.token)) best = other;
    }
    tokens[row] = best.token;
  }
}

}  // extern "C"
}  // namespace sealbatch
