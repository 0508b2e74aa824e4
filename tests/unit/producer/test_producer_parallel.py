"""Calls in threads: all are made, few at a time, and the first failure ends them."""

import threading
from collections.abc import Iterator

import pytest

from producer.parallel import run_parallel


def test_every_value_is_handled_and_few_are_taken_ahead() -> None:
    """Values are asked for as results come in, so that their source need not be in memory."""
    taken, got = 0, list[int]()

    def values() -> Iterator[int]:
        nonlocal taken
        for number in range(300):
            assert taken - len(got) <= 2 * 4 + 1
            taken += 1
            yield number

    run_parallel(lambda number: number * 2, values(), got.append, 4)
    assert sorted(got) == [2 * number for number in range(300)]


def test_the_first_failure_is_raised_when_no_call_is_under_way_any_more() -> None:
    """What waits is not begun."""
    lock, running, begun = threading.Lock(), 0, 0

    def call(number: int) -> None:
        nonlocal running, begun
        with lock:
            running += 1
            begun += 1
        try:
            if number == 5:
                raise RuntimeError("five")
        finally:
            with lock:
                running -= 1

    with pytest.raises(RuntimeError, match="five"):
        run_parallel(call, range(1000), lambda _: None, 3)
    assert running == 0
    assert begun < 100
