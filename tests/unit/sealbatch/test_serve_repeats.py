"""Requests that come again: what is made once, and what is made anew."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sealbatch.serve import repeats
from sealbatch.serve.repeats import Attempt, Repeats

FIRST = Attempt.of({"x-stainless-retry-count": "0"})
AGAIN = Attempt.of({"x-stainless-retry-count": "1"})


class Maker:
    """Makes things with ids, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> dict[str, Any]:
        """Make one."""
        self.made += 1
        return {"id": str(self.made)}


def test_which_requests_may_have_come_before() -> None:
    """By OpenAI's count of attempts, or by a key; others mean what they say."""
    assert (FIRST.again, AGAIN.again, Attempt.of({}).again) == (False, True, False)
    assert Attempt.of({"idempotency-key": "night"}) == Attempt("night", again=True)


def test_a_repeated_request_is_given_what_the_first_one_made() -> None:
    """Until its client shows that it knows that; another content or key is another request."""
    made, make = Repeats(), Maker()
    assert made.once(AGAIN, ["a"], make) == {"id": "1"}  # the first one never arrived
    assert made.once(AGAIN, ["a"], make) == {"id": "1"}
    assert made.once(FIRST, ["a"], make) == {"id": "2"}
    assert made.once(AGAIN, ["a"], make) == {"id": "2"}
    assert made.once(AGAIN, ["b"], make) == {"id": "3"}
    assert made.once(Attempt("key", again=True), ["a"], make) == {"id": "4"}
    made.known("2")
    assert made.once(AGAIN, ["a"], make) == {"id": "5"}


def test_whoever_comes_while_it_is_made_waits_for_it() -> None:
    """A client that gave up waiting asks while the first request is still worked on."""
    made, make, begun, go_on = Repeats(), Maker(), threading.Event(), threading.Event()

    def slowly() -> dict[str, Any]:
        begun.set()
        assert go_on.wait(60)
        return make()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made.once, FIRST, ["a"], slowly)
        assert begun.wait(60)
        second = pool.submit(made.once, AGAIN, ["a"], make)
        made.known("1")  # nobody can know it yet
        go_on.set()
        assert first.result(60) == second.result(60) == {"id": "1"}


def test_what_failed_is_made_anew() -> None:
    """An S3 that was away for a moment is no answer for ever."""
    made, make = Repeats(), Maker()

    def fail() -> dict[str, Any]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        made.once(FIRST, ["a"], fail)
    assert made.once(AGAIN, ["a"], make) == {"id": "1"}


def test_a_request_of_another_day_is_not_given_what_was_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose first attempt was refused each night was given the batch of the night before, and asked nothing."""
    made, make = Repeats(), Maker()
    assert made.once(FIRST, ["a"], make) == {"id": "1"}
    monkeypatch.setattr(repeats, "TRIES", -1)
    assert made.once(AGAIN, ["a"], make) == {"id": "2"}


def test_not_more_is_remembered_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(repeats, "MAX_REMEMBERED", 2)
    made, make = Repeats(), Maker()
    for content in "abc":
        made.once(FIRST, [content], make)
    assert made.once(AGAIN, ["c"], make) == {"id": "3"}
    assert made.once(AGAIN, ["a"], make) == {"id": "4"}
