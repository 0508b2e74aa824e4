"""Work ahead on a few items with threads, results in order, memory bounded."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def ordered(work: Callable[[Item], Done], items: Iterable[Item], *, threads: int) -> Generator[Done]:
    """`work` on each item, in order, at most `threads` items ahead of the consumer.

    `items` is read in the caller's thread. Closing the generator waits for the few that are under way.
    """
    pending: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="reveal") as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) == threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
