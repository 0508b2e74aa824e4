"""The client of /dev/nsm, against a device whose answers the test chooses."""

import ctypes
import errno
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_worker.nsm import IOCTL, MAX_RESPONSE, NsmDevice, NsmError


class FakeDevice:
    """Does what the driver does: reads the request at one address, fills the buffer at another, sets its size."""

    def __init__(self, reply: bytes, *, size: int | None = None) -> None:
        self.reply = reply
        self.size = len(reply) if size is None else size
        self.requests: list[Any] = []

    def __call__(self, descriptor: int, number: int, message: bytearray) -> int:
        """The ioctl."""
        assert descriptor > 2
        assert number == IOCTL
        source, length, target, room = struct.unpack("=QQQQ", message)
        assert room == MAX_RESPONSE
        self.requests.append(cbor2.loads(ctypes.string_at(source, length)))
        ctypes.memmove(target, self.reply, min(len(self.reply), room))
        struct.pack_into("=Q", message, 24, self.size)
        return 0


@pytest.fixture(name="device")
def make_device(tmp_path: Path) -> Callable[[object], tuple[NsmDevice, FakeDevice]]:
    """A function that opens a device with one CBOR reply."""
    path = tmp_path / "nsm"
    path.touch()

    def build(reply: object) -> tuple[NsmDevice, FakeDevice]:
        fake = FakeDevice(reply if isinstance(reply, bytes) else cbor2.dumps(reply))
        return NsmDevice(path, fake), fake

    return build


Build = Callable[[object], tuple[NsmDevice, FakeDevice]]


def test_an_attestation_asks_with_three_fields_and_gives_the_document(device: Build) -> None:
    """Request and reply have the device's own shape, with null for what is left out."""
    nsm, fake = device({"Attestation": {"document": b"signed"}})
    assert nsm.attest(public_key=b"key", user_data=None, nonce=b"n") == b"signed"
    assert fake.requests == [{"Attestation": {"public_key": b"key", "user_data": None, "nonce": b"n"}}]
    nsm.close()


def test_registers_are_read_extended_and_locked(device: Build) -> None:
    """The operations on registers name their index as the driver's API does."""
    nsm, fake = device({"DescribePCR": {"lock": True, "data": bytes(48)}})
    assert nsm.pcr(3) == bytes(48)
    assert nsm.describe_pcr(3).locked
    fake.reply = cbor2.dumps({"ExtendPCR": {"data": bytes([1]) * 48}})
    fake.size = len(fake.reply)
    assert nsm.extend_pcr(4, b"more") == bytes([1]) * 48
    fake.reply = cbor2.dumps("LockPCR")
    fake.size = len(fake.reply)
    nsm.lock_pcr(5)
    assert fake.requests[1:] == [
        {"DescribePCR": {"index": 3}},
        {"ExtendPCR": {"index": 4, "data": b"more"}},
        {"LockPCR": {"index": 5}},
    ]


@pytest.mark.parametrize("size", [1, 256])
def test_random_bytes_are_as_many_as_the_device_gives(device: Build, size: int) -> None:
    """The device gives up to 256 at a time; a request without a body is a bare text."""
    nsm, fake = device({"GetRandom": {"random": bytes(size)}})
    assert len(nsm.random()) == size
    assert fake.requests == ["GetRandom"]


@pytest.mark.parametrize("code", ["InvalidIndex", "InputTooLarge", "InternalError"])
def test_an_error_of_the_device_is_named(device: Build, code: str) -> None:
    """The device's own word stands in the error."""
    nsm, _ = device({"Error": code})
    with pytest.raises(NsmError, match=f"NSM DescribePCR: {code}"):
        nsm.describe_pcr(0)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\xff",
        cbor2.dumps({"Attestation": {"document": b"x"}}) + b"\0",
        {"Attestation": {"document": "text"}},
        {"Attestation": {}},
        {"Attestation": b"x"},
        {"GetRandom": {"random": b"x"}},
        {"Error": "a word of its own, with whatever in it"},
        {"Error": 7},
        {"Attestation": {"document": b"x"}, "Error": "InternalError"},
        [],
    ],
)
def test_nonsense_from_the_device_is_refused(device: Build, reply: object) -> None:
    """Whatever is not exactly the expected reply gives `InvalidResponse` and none of its text."""
    nsm, _ = device(reply)
    with pytest.raises(NsmError, match=r"^NSM Attestation: InvalidResponse$"):
        nsm.attest(public_key=None, user_data=None, nonce=None)


@given(reply=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_from_the_device_give_a_value_or_the_one_error(device: Build, reply: bytes) -> None:
    """No reply raises anything else."""
    nsm, _ = device(reply)
    try:
        nsm.describe_pcr(0)
    except NsmError:
        pass
    finally:
        nsm.close()


def test_a_size_beyond_the_buffer_is_refused(device: Build) -> None:
    """A driver that reports more than there is room for is not believed."""
    nsm, fake = device({"GetRandom": {"random": b"x"}})
    fake.size = MAX_RESPONSE + 1
    with pytest.raises(NsmError, match="InvalidResponse"):
        nsm.random()


@pytest.mark.parametrize(("number", "code"), [(errno.EMSGSIZE, "InputTooLarge"), (errno.EIO, "InternalError")])
def test_an_error_of_the_driver_is_an_error_of_the_device(tmp_path: Path, number: int, code: str) -> None:
    """The driver says EMSGSIZE for what is too long."""
    (tmp_path / "nsm").touch()

    def fails(*_: object) -> None:
        raise OSError(number, "no")

    with pytest.raises(NsmError, match=code):
        NsmDevice(tmp_path / "nsm", fails).random()


def test_a_machine_that_is_no_enclave_is_told_so(tmp_path: Path) -> None:
    """Without the device there is no attestor."""
    with pytest.raises(NsmError, match="NSM open: ENOENT"):
        NsmDevice(tmp_path / "none")


@pytest.mark.parametrize(("name", "size"), [("public_key", 1025), ("user_data", 513), ("nonce", 513)])
def test_what_the_device_would_not_take_is_not_sent(device: Build, name: str, size: int) -> None:
    """The three limits of a document's values."""
    nsm, fake = device({"Attestation": {"document": b"x"}})
    values: dict[str, bytes | None] = {"public_key": None, "user_data": None, "nonce": None, name: bytes(size)}
    with pytest.raises(ValueError, match=f"{name} has at most {size - 1} bytes"):
        nsm.attest(**values)
    assert not fake.requests
