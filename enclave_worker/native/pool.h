// A pool of threads that shares out numbered items. Which thread takes which item never changes a result: every
// output element is computed whole by one item.
#pragma once

#include <functional>

namespace sealbatch {

// Have `threads` threads work together from now on, the caller's included.
void pool_resize(int threads);

// The most threads that ever worked together: results that each thread gathers have so many places.
int pool_capacity();

// The threads that work together now. Each takes about every so many-th item.
int pool_active();

// Call body(item, thread) for every item from 0 to items - 1 and return when all are done.
void pool_run(long items, const std::function<void(long item, int thread)>& body);

}  // namespace sealbatch
