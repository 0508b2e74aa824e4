#include "pool.h"

#include <immintrin.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace sealbatch {
namespace {

// Threads spin this often before they sleep: the next operation of a step follows within microseconds.
constexpr int kSpins = 20000;

struct Pool {
  int capacity = 1;
  int active = 1;
  std::mutex callers;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<unsigned> round{0};
  std::atomic<long> next{0};
  std::atomic<int> busy{0};
  long items = 0;
  const std::function<void(long, int)>* body = nullptr;

  void drain(int thread) {
    for (long item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;) (*body)(item, thread);
  }

  void follow(int thread, unsigned seen) {
    for (;;) {
      for (int spin = 0; spin < kSpins && round.load(std::memory_order_acquire) == seen; ++spin) _mm_pause();
      if (round.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return round.load(std::memory_order_acquire) != seen; });
      }
      ++seen;
      if (thread < active) drain(thread);
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

// Never destroyed: its threads sleep in it until the process ends.
Pool& pool() {
  static Pool* const only = new Pool;
  return *only;
}

}  // namespace

int pool_capacity() { return pool().capacity; }

int pool_active() { return pool().active; }

void pool_resize(int threads) {
  Pool& p = pool();
  std::lock_guard one_caller(p.callers);
  p.active = threads > 1 ? threads : 1;
  for (; p.capacity < p.active; ++p.capacity) {
    // A new thread counts rounds from the one that is current when it starts.
    std::thread([&p, thread = p.capacity, seen = p.round.load()] { p.follow(thread, seen); }).detach();
  }
}

void pool_run(long items, const std::function<void(long, int)>& body) {
  Pool& p = pool();
  std::lock_guard one_caller(p.callers);
  if (p.active == 1 || items == 1) {
    for (long item = 0; item < items; ++item) body(item, 0);
    return;
  }
  p.items = items;
  p.body = &body;
  p.next.store(0, std::memory_order_relaxed);
  p.busy.store(p.capacity - 1, std::memory_order_relaxed);
  {
    std::lock_guard lock(p.mutex);
    p.round.fetch_add(1, std::memory_order_release);
  }
  p.wake.notify_all();
  p.drain(0);
  // With fewer cores than threads the one that is waited for may need this core.
  for (int spin = 0; p.busy.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) _mm_pause();
    else std::this_thread::yield();
  }
}

}  // namespace sealbatch
