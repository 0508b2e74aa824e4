"""Work ahead, in order and bounded."""

import threading
from collections.abc import Iterator

import pytest

from results_consumer.prefetch import ordered

THREADS = 4


def test_results_come_in_the_order_of_the_items() -> None:
    """The first item's result is first, though a later one is done before it."""
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(10)
        if item == 1:
            second_done.set()
        return item * item

    assert list(ordered(work, range(20), threads=THREADS)) == [n * n for n in range(20)]


def test_no_more_than_a_few_items_are_taken_ahead() -> None:
    """Whoever has n results has made at most n + THREADS items be read."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(50):
            taken.append(item)
            yield item

    for result in ordered(lambda item: item, items(), threads=THREADS):
        assert len(taken) <= result + THREADS


def test_an_error_comes_in_its_turn_and_ends_the_work() -> None:
    """Results before it are given, and items far behind it are never begun."""
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise LookupError
        return item

    results: list[int] = []
    with pytest.raises(LookupError):
        results.extend(ordered(work, range(100), threads=THREADS))
    assert max(begun) <= 3 + THREADS


def test_closing_ends_the_threads() -> None:
    """A consumer that stops early leaves nothing running."""
    running = ordered(lambda item: item, range(100), threads=THREADS)
    assert next(running) == 0
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reveal")]
