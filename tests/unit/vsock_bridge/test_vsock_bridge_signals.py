"""Signals as something that the main thread waits for."""

import signal
import threading

import pytest

from vsock_bridge.signals import NUMBERS, Signals


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_that_the_kernel_gives_to_another_thread_is_seen(number: signal.Signals) -> None:
    """The bridge's main thread waited for a queue, which such a signal does not end: it was never told to stop."""
    ending = threading.Event()
    other = threading.Thread(target=ending.wait)
    with Signals() as signals:
        other.start()
        assert other.ident is not None
        # Sent when the main thread is likely to wait by now; it is seen either way.
        sender = threading.Timer(0.1, signal.pthread_kill, (other.ident, number))
        sender.start()
        assert signals.wait(30) == number
        assert signals.wait(0) is None
        ending.set()
        other.join()
        sender.join()


def test_a_wait_ends_by_time_and_by_being_woken() -> None:
    """None and 0; what another thread did before the wait counts too."""
    with Signals() as signals:
        assert signals.wait(0.01) is None
        signals.wake()
        assert signals.wait() == 0


def test_a_signal_at_either_end_of_the_block_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that came when the handlers stood and nothing woke the waiting thread was gone, and the bridge ran on."""
    taken: list[int] = []
    set_wakeup_fd = signal.set_wakeup_fd

    def late(descriptor: int, *, warn_on_full_buffer: bool = True) -> int:
        signal.raise_signal(signal.SIGTERM)
        return set_wakeup_fd(descriptor, warn_on_full_buffer=warn_on_full_buffer)

    before = signal.signal(signal.SIGTERM, lambda number, _: taken.append(number))
    monkeypatch.setattr(signal, "set_wakeup_fd", late)
    try:
        with Signals():
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert taken == [signal.SIGTERM, signal.SIGTERM]


def test_after_the_block_signals_go_where_they_went_before() -> None:
    """And nothing is written to a descriptor that may be another file's by then."""
    taken: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: taken.append(number))
    try:
        with Signals():
            signal.raise_signal(signal.SIGTERM)
        assert taken == []
        assert signal.set_wakeup_fd(-1) == -1
        signal.raise_signal(signal.SIGTERM)
        assert taken == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
