#include "dispatch.h"

#include <cstring>

#include "pool.h"

namespace sealbatch {
namespace {

const Tiles* chosen = nullptr;

bool runs_here(const char* name) {
  __builtin_cpu_init();
  if (std::strcmp(name, "avx2") == 0)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (std::strcmp(name, "avx512vnni") != 0) return false;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && runs_here("avx2");
}

}  // namespace

const Tiles& chosen_tiles() { return *chosen; }

extern "C" {

// Whether this CPU runs the instruction set `name`: "avx2" or "avx512vnni".
int sb_supports(const char* name) { return runs_here(name) ? 1 : 0; }

// Use the instruction set `name` from now on. The caller has asked sb_supports.
void sb_use(const char* name) { chosen = std::strcmp(name, "avx2") == 0 ? tiles_avx2() : tiles_avx512(); }

// Have `threads` threads work together from now on, the caller's included.
void sb_threads(int threads) { pool_resize(threads); }

}  // extern "C"
}  // namespace sealbatch
