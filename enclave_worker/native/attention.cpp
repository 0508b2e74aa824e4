// Attention with linear biases (ALiBi, Press et al. 2022) over a paged cache.
//
// The cache is [layer][page][head][part]: 16 positions a page. A part holds keys, transposed ([dimension][position], so
// that 16 scores are computed side by side), then values ([position][dimension]). Bytes have a scale for each position
// behind that, 16 floats for the keys and 16 for the values.
// A query's arithmetic is the same whether it comes alone or in a tile of four, and pages are taken in order of
// position: an answer's bits do not depend on how its prompt was cut or who shares a page.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pool.h"
#include "vec.h"

namespace sealbatch {
namespace {

constexpr int kPage = 16;
constexpr int kQueries = 4;  // queries that share each load of keys and values
constexpr long kHeadsAnItem = 8;

// A run of neighbouring rows that are neighbouring positions of one sequence.
struct Span {
  int32_t row;       // its first row
  int32_t rows;
  int32_t position;  // of its first row
  int32_t table;     // where its page table starts
};

template <typename T>
struct Cache {
  static constexpr bool kScaled = sizeof(T) == 1;

  char* data;       // of this layer
  long part;        // bytes of one head's part of a page
  long heads;
  long dimensions;  // of a head

  T* keys(int32_t page, long head) const { return reinterpret_cast<T*>(data + (page * heads + head) * part); }
  T* values(int32_t page, long head) const { return keys(page, head) + dimensions * kPage; }
  float* key_scales(int32_t page, long head) const {
    return reinterpret_cast<float*>(keys(page, head) + 2 * dimensions * kPage);
  }
  float* value_scales(int32_t page, long head) const { return key_scales(page, head) + kPage; }

  // Pages lie anywhere in memory, and the memory is what attention waits for: the next head's part of a page is asked
  // for while this head's is computed with. Behind the last head comes the next page, which is harmless.
  void ask_for_keys(int32_t page, long head) const { ask_for(keys(page, head)); }
  void ask_for_values(int32_t page, long head) const { ask_for(values(page, head)); }

 private:
  void ask_for(const T* part) const {
    const char* line = reinterpret_cast<const char*>(part);
    for (const char* end = line + dimensions * kPage * static_cast<long>(sizeof(T)); line < end; line += 64)
      _mm_prefetch(line, _MM_HINT_T1);
  }
};

// Scores of Q queries against P pages, scaled and biased; what lies behind a query is minus infinity. One query takes
// several pages at a time, for the sums of one page alone would wait for each other.
template <int Q, int P, typename T>
void score_pages(const float* const* query, const Cache<T>& cache, const int32_t* pages, long head, float scale,
                 float slope, long first_key, const long* position, float* const* scores) {
  __m256 sum[Q][P][2];
  const T* keys[P];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
    keys[p] = cache.keys(pages[p], head);
    cache.ask_for_keys(pages[p], head + 1);
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) sum[q][p][0] = sum[q][p][1] = _mm256_setzero_ps();
  }
  for (long d = 0; d < cache.dimensions; ++d) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      const __m256 k0 = load8(keys[p] + d * kPage), k1 = load8(keys[p] + d * kPage + kLanes);
#pragma GCC unroll 4
      for (int q = 0; q < Q; ++q) {
        const __m256 x = _mm256_broadcast_ss(query[q] + d);
        sum[q][p][0] = _mm256_fmadd_ps(x, k0, sum[q][p][0]);
        sum[q][p][1] = _mm256_fmadd_ps(x, k1, sum[q][p][1]);
      }
    }
  }
  const __m256 lanes = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
#pragma GCC unroll 4
  for (int q = 0; q < Q; ++q)
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        // Distance to the query: at most 0 where the query may look.
        const long key = first_key + p * kPage + h * kLanes;
        const __m256 distance = _mm256_add_ps(_mm256_set1_ps(static_cast<float>(key - position[q])), lanes);
        __m256 factor = _mm256_set1_ps(scale);
        if constexpr (Cache<T>::kScaled)
          factor = _mm256_mul_ps(factor, _mm256_loadu_ps(cache.key_scales(pages[p], head) + h * kLanes));
        const __m256 score =
            _mm256_fmadd_ps(sum[q][p][h], factor, _mm256_mul_ps(distance, _mm256_set1_ps(slope)));
        const __m256 hidden = _mm256_cmp_ps(distance, _mm256_setzero_ps(), _CMP_GT_OQ);
        const __m256 none = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
        _mm256_storeu_ps(scores[q] + key, _mm256_blendv_ps(score, none, hidden));
      }
}

// `count` floats as bytes, `stride` apart; returns their scale.
float round_bytes(const float* x, long count, int8_t* out, long stride) {
  __m256 most = _mm256_setzero_ps();
  for (long i = 0; i < count; i += kLanes) most = _mm256_max_ps(most, magnitude(_mm256_loadu_ps(x + i)));
  const float largest = lane_max(most);
  const __m256 factor = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
  for (long i = 0; i < count; i += kLanes) {
    alignas(32) int32_t values[kLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(values),
                       _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor)));
    for (int lane = 0; lane < kLanes; ++lane) out[(i + lane) * stride] = static_cast<int8_t>(values[lane]);
  }
  return largest / 127.0f;
}

// exp(score - largest) in place; returns 1 / their sum. `count` is a multiple of 16.
float soften(float* scores, long count) {
  __m256 most = _mm256_loadu_ps(scores);
  for (long i = kLanes; i < count; i += kLanes) most = _mm256_max_ps(most, _mm256_loadu_ps(scores + i));
  const __m256 largest = _mm256_set1_ps(lane_max(most));
  __m256 sum = _mm256_setzero_ps();
  for (long i = 0; i < count; i += kLanes) {
    const __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(scores + i), largest));
    _mm256_storeu_ps(scores + i, e);
    sum = _mm256_add_ps(sum, e);
  }
  return 1.0f / lane_sum(sum);
}

// out[q][dimension .. + 8 V] = sum over keys of weight times value, in the order of position.
template <int Q, int V, typename T>
void mix(const Cache<T>& cache, const int32_t* pages, long head, long keys, long dimension, float* const* weights,
         const float* inverse, float* const* out) {
  __m256 sum[Q][V];
#pragma GCC unroll 4
  for (int q = 0; q < Q; ++q)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[q][v] = _mm256_setzero_ps();
  for (long key = 0; key < keys; key += kPage) {
    const T* values = cache.values(pages[key / kPage], head) + dimension;
    if (dimension == 0) cache.ask_for_values(pages[key / kPage], head + 1);
    for (int t = 0; t < kPage; ++t) {
      __m256 value[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) value[v] = load8(values + t * cache.dimensions + v * kLanes);
#pragma GCC unroll 4
      for (int q = 0; q < Q; ++q) {
        const __m256 weight = _mm256_broadcast_ss(weights[q] + key + t);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[q][v] = _mm256_fmadd_ps(weight, value[v], sum[q][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < Q; ++q)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      _mm256_storeu_ps(out[q] + dimension + v * kLanes, _mm256_mul_ps(sum[q][v], _mm256_set1_ps(inverse[q])));
}

template <typename T>
struct Job {
  const float* queries;  // rows of `row_size` floats, the queries of all heads first
  long row_size;
  Cache<T> cache;
  const int32_t* tables;
  const float* slopes;
  float scale;
  long heads;
  float* out;  // rows of heads * dimensions floats

  template <int Q>
  void attend(const Span& span, long first, long head) const {
    const long dimensions = cache.dimensions;
    const int32_t* pages = tables + span.table;
    const long keys = (span.position + first + Q + kPage - 1) / kPage * kPage;
    static thread_local std::vector<float> room;
    if (room.size() < static_cast<size_t>(keys * Q)) room.resize(static_cast<size_t>(keys * Q));
    const float* query[Q];
    float* scores[Q];
    float* target[Q];
    long position[Q];
    for (int q = 0; q < Q; ++q) {
      const long row = span.row + first + q;
      query[q] = queries + row * row_size + head * dimensions;
      target[q] = out + (row * heads + head) * dimensions;
      scores[q] = room.data() + q * keys;
      position[q] = span.position + first + q;
    }
    const long all = keys / kPage;
    long page = 0;
    if constexpr (Q == 1) {
      for (; page + 4 <= all; page += 4)
        score_pages<Q, 4>(query, cache, pages + page, head, scale, slopes[head], page * kPage, position, scores);
    }
    for (; page < all; ++page)
      score_pages<Q, 1>(query, cache, pages + page, head, scale, slopes[head], page * kPage, position, scores);
    float inverse[Q];
    for (int q = 0; q < Q; ++q) inverse[q] = soften(scores[q], keys);
    if constexpr (Cache<T>::kScaled) {
      // A value's scale goes into its weight, once for all dimensions.
      for (long key = 0; key < keys; key += kLanes) {
        const __m256 scales = _mm256_loadu_ps(cache.value_scales(pages[key / kPage], head) + key % kPage);
        for (int q = 0; q < Q; ++q)
          _mm256_storeu_ps(scores[q] + key, _mm256_mul_ps(_mm256_loadu_ps(scores[q] + key), scales));
      }
    }
    long d = 0;
    if constexpr (Q == 1) {
      for (; d + 64 <= dimensions; d += 64) mix<Q, 8>(cache, pages, head, keys, d, scores, inverse, target);
    }
    for (; d + 16 <= dimensions; d += 16) mix<Q, 2>(cache, pages, head, keys, d, scores, inverse, target);
    for (; d < dimensions; d += kLanes) mix<Q, 1>(cache, pages, head, keys, d, scores, inverse, target);
  }

  void run(const Span* spans, long count) const {
    std::vector<std::pair<int32_t, int32_t>> tiles;  // span, first row in it
    for (int32_t s = 0; s < count; ++s)
      for (int32_t first = 0; first < spans[s].rows; first += kQueries) tiles.emplace_back(s, first);
    const long groups = (heads + kHeadsAnItem - 1) / kHeadsAnItem;
    pool_run(static_cast<long>(tiles.size()) * groups, [&](long item, int) {
      // Neighbouring items are the same heads of other sequences: a common beginning's pages stay in the cache.
      const auto [s, first] = tiles[static_cast<size_t>(item % static_cast<long>(tiles.size()))];
      const long start = item / static_cast<long>(tiles.size()) * kHeadsAnItem;
      const long rest = std::min<long>(kQueries, spans[s].rows - first);
      for (long head = start; head < std::min(heads, start + kHeadsAnItem); ++head) {
        if (rest == kQueries) attend<kQueries>(spans[s], first, head);
        else
          for (long q = 0; q < rest; ++q) attend<1>(spans[s], first + q, head);
      }
    });
  }

  // Keys and values of new rows into their pages; behind the queries in each row.
  void store(const Span* spans, long count) const {
    const long width = heads * cache.dimensions;
    pool_run(count, [&](long s, int) {
      const Span& span = spans[s];
      for (long i = 0; i < span.rows; ++i) {
        const long position = span.position + i, slot = position % kPage;
        const int32_t page = tables[span.table + position / kPage];
        const float* key = queries + (span.row + i) * row_size + width;
        for (long head = 0; head < heads; ++head) store_row(key + head * cache.dimensions, width, page, head, slot);
      }
    });
  }

  void store_row(const float* key, long width, int32_t page, long head, long slot) const {
    T* keys = cache.keys(page, head);
    T* values = cache.values(page, head) + slot * cache.dimensions;
    if constexpr (Cache<T>::kScaled) {
      cache.key_scales(page, head)[slot] = round_bytes(key, cache.dimensions, keys + slot, kPage);
      cache.value_scales(page, head)[slot] = round_bytes(key + width, cache.dimensions, values, 1);
    } else {
      for (long d = 0; d < cache.dimensions; d += kLanes) {
        T packed[kLanes];
        store8(packed, _mm256_loadu_ps(key + d));
        for (int lane = 0; lane < kLanes; ++lane) keys[(d + lane) * kPage + slot] = packed[lane];
        store8(values + d, _mm256_loadu_ps(key + width + d));
      }
    }
  }
};

template <typename T>
void attend_all(const float* qkv, void* cache, long part, const int32_t* spans, long count, const int32_t* tables,
                const float* slopes, long heads, long dimensions, float* out) {
  const Job<T> job{qkv,
                   3 * heads * dimensions,
                   {static_cast<char*>(cache), part, heads, dimensions},
                   tables,
                   slopes,
                   1.0f / std::sqrt(static_cast<float>(dimensions)),
                   heads,
                   out};
  const Span* all = reinterpret_cast<const Span*>(spans);
  job.store(all, count);
  job.run(all, count);
}

}  // namespace

extern "C" {

// One layer's attention. qkv: rows of queries, keys and values of all heads; keys and values are put into the cache
// (`cache` is this layer's share of it, its values of `width` bytes) before anybody attends, so spans of one call may share pages. spans: [count][4]
// of row, rows, position, table. out: rows of heads * dimensions floats. dimensions is a multiple of 8.
void sb_attention(const float* qkv, void* cache, int width, long part, const int32_t* spans, long count,
                  const int32_t* tables, const float* slopes, long heads, long dimensions, float* out) {
  const auto attend = width == 1 ? attend_all<int8_t> : width == 2 ? attend_all<uint16_t> : attend_all<float>;
  attend(qkv, cache, part, spans, count, tables, slopes, heads, dimensions, out);
}

}  // extern "C"
}  // namespace sealbatch
