"""Runs one function over many values in threads, with few in flight, so that memory stays bounded."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, TypeVar

MAX_THREADS: Final = 16

T = TypeVar("T")
R = TypeVar("R")


def run_parallel(
    function: Callable[[T], R], values: Iterable[T], collect: Callable[[R], None], threads: int = MAX_THREADS
) -> None:
    """Call `function` with each of `values`, and in this thread `collect` with each result, in any order.

    The first exception ends it and is raised when no call is under way any more.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sealbatch-producer")
    # Waiting for any of so many futures takes all their locks for each result; each puts itself here instead.
    finished: SimpleQueue[Future[R]] = SimpleQueue()
    pending = 0
    try:
        for value in values:
            pool.submit(function, value).add_done_callback(finished.put)
            pending += 1
            if pending > 2 * threads:
                collect(finished.get().result())
                pending -= 1
        for _ in range(pending):
            collect(finished.get().result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
