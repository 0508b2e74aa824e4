"""What one connection has outstanding: never more than `Ready` stated, each reference ended once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.window import DuplicateRef, Limits, Window


def test_room_is_counted_in_chunks_and_in_bytes() -> None:
    """Either limit alone fills the window, and what ends makes room again."""
    window = Window(Limits(chunks=2, bytes=10))
    assert window.take(1, 6)
    assert not window.take(2, 5)
    assert window.take(2, 4)
    assert not window.take(3, 0)
    assert window.give_back(1)
    assert window.take(3, 6)
    assert window.outstanding() == (2, 3)


def test_a_reference_ends_once_and_may_then_be_used_again() -> None:
    """The second end of a piece of work is no end; a reference in use is nobody else's."""
    window = Window(Limits(2, 10))
    window.take(7, 1)
    with pytest.raises(DuplicateRef):
        window.take(7, 1)
    assert window.give_back(7)
    assert not window.give_back(7)
    assert window.take(7, 1)


def test_waiting_ends_when_nothing_is_outstanding() -> None:
    """At once for an empty window, never early for another one."""
    window = Window(Limits(2, 10))
    assert window.wait_empty(0)
    window.take(1, 1)
    assert not window.wait_empty(0)
    window.give_back(1)
    window.said()
    assert window.wait_empty(0)


def test_an_end_that_is_not_said_yet_is_waited_for() -> None:
    """Found when a stopping enclave closed the connection between the last chunk's end and its answer."""
    window = Window(Limits(2, 10))
    window.take(1, 1)
    window.give_back(1)
    assert window.outstanding() == ()
    assert not window.wait_empty(0)
    window.said()
    assert window.wait_empty(0)


def test_a_window_that_is_cleared_has_nothing_to_wait_for() -> None:
    """Not even when it is cleared while its references are gone through, as a connection does that breaks then."""
    window = Window(Limits(4, 10))
    for ref in (1, 2, 3):
        window.take(ref, 1)
    window.each(lambda _: window.clear())
    assert window.wait_empty(0)
    assert not window.give_back(2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 40)), max_size=80))
def test_the_limits_hold_whatever_comes(events: list[tuple[bool, int, int]]) -> None:
    """Any order of takes and ends, repeated ones too."""
    window = Window(Limits(4, 100))
    held: dict[int, int] = {}
    for takes, ref, size in events:
        if not takes:
            assert window.give_back(ref) == (held.pop(ref, None) is not None)
        elif ref in held:
            with pytest.raises(DuplicateRef):
                window.take(ref, size)
        else:
            fits = len(held) < 4 and sum(held.values()) + size <= 100
            assert window.take(ref, size) == fits
            if fits:
                held[ref] = size
        seen: list[int] = []
        window.each(seen.append)
        assert seen == list(held) == list(window.outstanding())
