"""Runs one function over many values in threads, with few in flight, so that memory stays bounded."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
    pending: set[Future[R]] = set()

    def drain(allowed: int) -> None:
        nonlocal pending
        while len(pending) > allowed:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                collect(future.result())

    try:
        for value in values:
            pending.add(pool.submit(function, value))
            drain(2 * threads)
        drain(0)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
