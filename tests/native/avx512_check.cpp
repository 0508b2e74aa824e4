// Compares the AVX-512 tiles, emulated, with the AVX2 ones bit for bit: `make avx512`, on any x86-64 with AVX2.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "tiles.h"

using namespace sealbatch;

namespace {

long compared = 0, different = 0;

// Rows of `words` groups of `size` values as a tile: [words][rows][size].
template <typename T>
std::vector<T> packed(const T* x, int rows, long words, int size) {
  std::vector<T> tile(rows * words * size);
  for (int row = 0; row < rows; ++row)
    for (long word = 0; word < words; ++word)
      std::copy_n(x + (row * words + word) * size, size, &tile[(word * rows + row) * size]);
  return tile;
}

void compare(int rows, int panels, long k, std::mt19937& random) {
  std::vector<uint8_t> x(rows * k);
  std::vector<int8_t> w(panels * k * kPanel);
  std::vector<float> fx(x.size()), fw(w.size());
  for (auto& v : x) v = random() % 256;
  for (auto& v : w) v = static_cast<int8_t>(static_cast<int>(random() % 129) - 64);
  for (auto& v : fx) v = (static_cast<int>(random() % 2001) - 1000) / 777.f;
  for (auto& v : fw) v = (static_cast<int>(random() % 2001) - 1000) / 991.f;
  std::vector<int32_t> wide(rows * panels * kPanel);
  std::vector<float> float_wide(wide.size(), 0.5f);
  tiles_avx512()->s8(packed(x.data(), rows, k / 4, 4).data(), rows, w.data(), k * kPanel, panels, k / 4, {w.data(), 0}, wide.data());
  tiles_avx512()->f32(packed(fx.data(), rows, k, 1).data(), rows, fw.data(), k * kPanel, panels, k, float_wide.data());
  const int most = tiles_avx2()->rows;
  for (int panel = 0; panel < panels; ++panel)
    for (int first = 0; first < rows; first += most) {
      const int height = std::min(most, rows - first);
      std::vector<int32_t> narrow(height * kPanel);
      std::vector<float> float_narrow(narrow.size(), 0.5f);
      tiles_avx2()->s8(packed(x.data() + first * k, height, k / 4, 4).data(), height, w.data() + panel * k * kPanel, 0, 1, k / 4, {w.data(), 0},
                       narrow.data());
      tiles_avx2()->f32(packed(fx.data() + first * k, height, k, 1).data(), height, fw.data() + panel * k * kPanel, 0, 1, k,
                        float_narrow.data());
      for (int row = 0; row < height; ++row) {
        const long place = ((first + row) * panels + panel) * kPanel;
        different += std::memcmp(&wide[place], &narrow[row * kPanel], kPanel * 4) != 0;
        different += std::memcmp(&float_wide[place], &float_narrow[row * kPanel], kPanel * 4) != 0;
        compared += 2 * kPanel;
      }
    }
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (int rows = 1; rows <= tiles_avx512()->rows; ++rows)
    for (int panels = 1; panels <= tiles_avx512()->panels; ++panels)
      for (long k : {4L, 8L, 100L, 1024L}) compare(rows, panels, k, random);
  std::printf("%ld values compared, %ld rows differ\n", compared, different);
  return different != 0;
}
