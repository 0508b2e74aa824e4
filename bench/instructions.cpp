// Calls one of the compiled operations once, on inputs made from a fixed seed, for a profiler that counts instructions.
//
// Usage: instructions OPERATION. Sizes are those of bloom-560m with 64 running answers.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

extern "C" {
int sb_supports(const char*);
void sb_use(const char*);
void sb_linear_s8(const uint8_t*, const float*, long, const int8_t*, const float*, const int32_t*, const float*, long, long,
                  int, float*);
void sb_linear_f32(const float*, long, const void*, int, const float*, long, long, int, float*);
void sb_layer_norm_quantize(const float*, const float*, const float*, float, long, long, uint8_t*, float*);
void sb_attention(const float*, void*, int, long, const int32_t*, long, const int32_t*, const float*, long, long, float*);
}

namespace {

constexpr long kRows = 64, kHidden = 1024, kOutputs = 3072, kHeads = 16, kHead = 64, kPage = 16, kPages = 9;
std::mt19937 generator(1);

template <typename T>
std::vector<T> draw(long count, int low, int high, float unit = 1) {
  std::vector<T> values(count);
  for (auto& value : values) value = static_cast<T>(static_cast<float>(low + static_cast<int>(generator() % (high - low))) * unit);
  return values;
}

std::vector<float> floats(long count) { return draw<float>(count, -1000, 1000, 0.001f); }

void linear_int8() {
  const auto x = draw<uint8_t>(kRows * kHidden, 1, 256);
  const auto w = draw<int8_t>(kOutputs * kHidden, -64, 65);
  const auto scales = floats(kRows), columns = floats(kOutputs), bias = floats(kOutputs);
  const auto offsets = draw<int32_t>(kOutputs, 0, 9);
  std::vector<float> out(kRows * kOutputs);
  sb_linear_s8(x.data(), scales.data(), kRows, w.data(), columns.data(), offsets.data(), bias.data(), kOutputs, kHidden, 0,
               out.data());
}

void linear_fp32(bool halves) {
  const auto x = floats(kRows * kHidden), w = floats(kOutputs * kHidden), bias = floats(kOutputs);
  std::vector<uint16_t> upper(w.size());
  for (size_t i = 0; i < w.size(); ++i) std::memcpy(&upper[i], reinterpret_cast<const char*>(&w[i]) + 2, 2);
  std::vector<float> out(kRows * kOutputs);
  const void* weights = halves ? static_cast<const void*>(upper.data()) : w.data();
  sb_linear_f32(x.data(), kRows, weights, halves, bias.data(), kOutputs, kHidden, 0, out.data());
}

void norm_and_round() {
  const auto x = floats(kRows * kHidden), weight = floats(kHidden), bias = floats(kHidden);
  std::vector<uint8_t> out(kRows * kHidden);
  std::vector<float> scales(kRows);
  sb_layer_norm_quantize(x.data(), weight.data(), bias.data(), 1e-5f, kRows, kHidden, out.data(), scales.data());
}

// 64 sequences of 144 positions each, in pages of their own.
void attention_int8() {
  const long part = 2 * kHead * kPage + 2 * kPage * static_cast<long>(sizeof(float));
  const auto qkv = floats(kRows * 3 * kHidden), slopes = floats(kHeads);
  std::vector<char> cache(static_cast<size_t>(part * kHeads * kPages * kRows + 4096));
  std::vector<int32_t> spans, tables;
  for (int32_t row = 0; row < kRows; ++row) {
    spans.insert(spans.end(), {row, 1, kPage * kPages - 1, row * static_cast<int32_t>(kPages)});
    for (int32_t page = 0; page < kPages; ++page) tables.push_back(row * static_cast<int32_t>(kPages) + page);
  }
  std::vector<float> out(kRows * kHidden);
  sb_attention(qkv.data(), cache.data(), 1, part, spans.data(), kRows, tables.data(), slopes.data(), kHeads, kHead, out.data());
}

}  // namespace

int main(int count, char** arguments) {
  const char* operation = count == 2 ? arguments[1] : "";
  sb_use(sb_supports("avx512vnni") ? "avx512vnni" : "avx2");
  if (std::strcmp(operation, "linear_int8") == 0) linear_int8();
  else if (std::strcmp(operation, "linear_bf16") == 0) linear_fp32(true);
  else if (std::strcmp(operation, "linear_fp32") == 0) linear_fp32(false);
  else if (std::strcmp(operation, "norm_and_round") == 0) norm_and_round();
  else if (std::strcmp(operation, "attention_int8") == 0) attention_int8();
  else return std::fprintf(stderr, "no such operation\n"), 2;
  return 0;
}
