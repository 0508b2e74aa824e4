"""Unwrap requests and their replies: matched by number, each taken once, none waited for beyond its time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import wait_until

from enclave_worker.courier import ConnectionCourier
from enclave_worker.keyring import CourierLost
from enclave_worker.refused import ChunkRefused
from wire.errors import StreamClosed
from wire.messages import Message, RefusalCode, Unwrap, UnwrapCode, Unwrapped, UnwrapRefused

ARN = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"


def ask(courier: ConnectionCourier, name: bytes = b"wrapped") -> bytes:
    """One unwrap."""
    return courier.unwrap(ARN, {"purpose": "question"}, name, b"document")


def requests(sent: list[Message]) -> dict[bytes, int]:
    """The number of the request for each wrapped key."""
    return {message.wrapped: message.request for message in sent if isinstance(message, Unwrap)}


def test_replies_find_their_requests_in_any_order() -> None:
    """Several unwraps are under way on one connection, and none gets another one's reply."""
    sent: list[Message] = []
    courier = ConnectionCourier(sent.append, timeout=30)
    names = [b"one", b"two", b"three"]
    with ThreadPoolExecutor(3) as pool:
        waiting = {name: pool.submit(ask, courier, name) for name in names}
        wait_until(lambda: len(sent) == 3)
        for name, number in sorted(requests(sent).items()):
            assert courier.deliver(Unwrapped(number, b"key of " + name))
        assert [waiting[name].result(10) for name in names] == [b"key of " + name for name in names]
    assert {message.context for message in sent if isinstance(message, Unwrap)} == {(("purpose", "question"),)}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (UnwrapCode.DENIED, RefusalCode.KEY_DENIED),
        (UnwrapCode.UNAVAILABLE, RefusalCode.KEY_UNAVAILABLE),
        (UnwrapCode.INVALID, RefusalCode.KEY_INVALID),
    ],
)
def test_a_refusal_becomes_the_chunks_refusal(said: UnwrapCode, meant: RefusalCode) -> None:
    """Each of the bridge's words has one meaning for the chunk."""
    holder: list[ConnectionCourier] = []

    def send(message: Message) -> None:
        assert isinstance(message, Unwrap)
        assert holder[0].deliver(UnwrapRefused(message.request, said))

    holder.append(ConnectionCourier(send, timeout=30))
    with pytest.raises(ChunkRefused) as caught:
        ask(holder[0])
    assert caught.value.code is meant


def test_a_reply_that_nobody_waits_for_is_not_taken() -> None:
    """Made up, come twice, or come after its time: the key pair that it was for is gone."""
    sent: list[Message] = []
    courier = ConnectionCourier(sent.append, timeout=0)
    assert not courier.deliver(Unwrapped(1, b"made up"))
    with pytest.raises(ChunkRefused) as caught:
        ask(courier)
    assert caught.value.code is RefusalCode.KEY_UNAVAILABLE
    assert not courier.deliver(Unwrapped(requests(sent)[b"wrapped"], b"late"))


def test_a_second_reply_to_one_request_changes_nothing() -> None:
    """The first one counts."""
    taken: list[bool] = []
    holder: list[ConnectionCourier] = []

    def send(message: Message) -> None:
        assert isinstance(message, Unwrap)
        taken.extend(holder[0].deliver(Unwrapped(message.request, reply)) for reply in (b"first", b"second"))

    holder.append(ConnectionCourier(send, timeout=30))
    assert ask(holder[0]) == b"first"
    assert taken == [True, False]


def test_the_end_of_the_connection_ends_all_waiting() -> None:
    """Those that wait, and those that come later, hear that the courier is lost and not that KMS refused."""
    sent: list[Message] = []
    courier = ConnectionCourier(sent.append, timeout=30)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, courier, name) for name in (b"one", b"two")]
        wait_until(lambda: len(sent) == 2)
        courier.close()
        assert [type(future.exception(10)) for future in waiting] == [CourierLost, CourierLost]
    with pytest.raises(CourierLost):
        ask(courier)
    assert len(sent) == 2


def test_a_request_that_cannot_be_sent_is_a_lost_courier() -> None:
    """And it is forgotten: no reply to it is taken."""
    numbers: list[int] = []

    def send(message: Message) -> None:
        assert isinstance(message, Unwrap)
        numbers.append(message.request)
        raise StreamClosed("gone")

    courier = ConnectionCourier(send, timeout=30)
    with pytest.raises(CourierLost):
        ask(courier)
    assert not courier.deliver(Unwrapped(numbers[0], b"late"))


def test_numbers_are_never_used_twice_on_a_connection() -> None:
    """A late reply to one request cannot be taken for another's."""
    sent: list[Message] = []
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            sent.append(message)

    courier = ConnectionCourier(send, timeout=0)

    def attempt(_: int) -> Callable[[], None] | None:
        with pytest.raises(ChunkRefused):
            ask(courier)
        return None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(100)))
    assert len({message.request for message in sent if isinstance(message, Unwrap)}) == 100
