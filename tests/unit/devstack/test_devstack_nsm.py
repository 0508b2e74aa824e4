"""The software NSM behind the real client: the device's operations, limits and errors."""

import ctypes
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.nsm import SoftwareNsm
from devstack.nsm_device import respond
from devstack.root import DevelopmentRoot
from enclave_worker.measured import measure_model
from enclave_worker.nsm import ERRORS, MAX_REQUEST, MAX_RESPONSE, NsmDevice, NsmError
from results_consumer.attestation import verify_document
from wire.measurement import MODEL_PCR, model_register

ROOT = DevelopmentRoot.create()
PCR0 = b"\7" * 48


def opened(nsm: SoftwareNsm, folder: Path) -> NsmDevice:
    """The client of a device that the software NSM stands behind."""

    def ioctl(_: int, __: int, message: bytearray) -> None:
        source, length, target, room = struct.unpack("=QQQQ", message)
        reply = respond(nsm, ctypes.string_at(source, length))
        assert len(reply) <= room
        ctypes.memmove(target, reply, len(reply))
        struct.pack_into("=Q", message, 24, len(reply))

    (folder / "nsm").touch()
    return NsmDevice(folder / "nsm", ioctl)


@pytest.fixture(name="device")
def make_device(tmp_path: Path) -> NsmDevice:
    """A device that nobody has used."""
    return opened(SoftwareNsm(ROOT, {0: PCR0}), tmp_path)


def test_the_client_and_the_software_module_agree(device: NsmDevice) -> None:
    """Every operation, through the device's own bytes."""
    assert len(device.random()) == 256
    assert device.random() != device.random()
    assert device.describe_pcr(0).data == PCR0
    assert device.extend_pcr(17, b"x") == hashlib.sha384(bytes(48) + b"x").digest()
    assert device.extend_pcr(17, b"y") == hashlib.sha384(hashlib.sha384(bytes(48) + b"x").digest() + b"y").digest()
    device.lock_pcr(17)
    assert [index for index in range(32) if device.describe_pcr(index).locked] == [*range(16), 17]


def test_a_document_holds_the_registers_that_are_locked(device: NsmDevice) -> None:
    """One that can still change says nothing."""
    values = {"public_key": b"k" * 1024, "user_data": b"u" * 512, "nonce": b"n" * 512}
    device.extend_pcr(MODEL_PCR, b"early")
    before = verify_document(device.attest(**values), [ROOT.certificate])
    assert before.pcrs.keys() == set(range(16))
    assert (before.public_key, before.user_data, before.nonce) == tuple(values.values())
    device.lock_pcr(MODEL_PCR)
    after = verify_document(device.attest(public_key=None, user_data=None, nonce=None), [ROOT.certificate])
    assert after.pcrs[MODEL_PCR] == hashlib.sha384(bytes(48) + b"early").digest()
    assert after.pcrs[0] == PCR0


def test_a_measured_model_is_attested(device: NsmDevice) -> None:
    """By the register that follows from its manifest."""
    digest = hashlib.sha256(b"manifest").digest()
    measure_model(device, digest)
    document = device.attest(public_key=None, user_data=None, nonce=None)
    assert verify_document(document, [ROOT.certificate]).pcrs[MODEL_PCR] == model_register(digest)


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda nsm: nsm.describe_pcr(32), "InvalidIndex"),
        (lambda nsm: nsm.extend_pcr(32, b"x"), "InvalidIndex"),
        (lambda nsm: nsm.extend_pcr(0, b"x"), "ReadOnlyIndex"),
        (lambda nsm: nsm.extend_pcr(16, b""), "InvalidArgument"),
        (lambda nsm: nsm.extend_pcr(16, bytes(513)), "InputTooLarge"),
        (lambda nsm: nsm.lock_pcr(3), "ReadOnlyIndex"),
        (lambda nsm: nsm.lock_pcr(-1), "InvalidIndex"),
        (lambda nsm: nsm.attest(public_key=bytes(1025), user_data=None, nonce=None), "InputTooLarge"),
        (lambda nsm: nsm.attest(public_key=None, user_data=bytes(513), nonce=None), "InputTooLarge"),
        (lambda nsm: nsm.attest(public_key=None, user_data=None, nonce=bytes(513)), "InputTooLarge"),
    ],
)
def test_the_software_module_refuses_as_the_device_does(act: Callable[[SoftwareNsm], object], code: str) -> None:
    """In the device's words."""
    with pytest.raises(NsmError, match=code):
        act(SoftwareNsm(ROOT, {}))


def test_a_locked_register_stays_as_it_is() -> None:
    """Until the enclave ends."""
    nsm = SoftwareNsm(ROOT, {})
    nsm.lock_pcr(16)
    with pytest.raises(NsmError, match="ReadOnlyIndex"):
        nsm.extend_pcr(16, b"late")
    assert nsm.describe_pcr(16).data == bytes(48)


@given(
    request=st.one_of(
        st.binary(max_size=64),
        st.recursive(
            st.one_of(st.none(), st.integers(-1, 70_000), st.binary(max_size=8), st.sampled_from(["LockPCR", "index"])),
            lambda inner: st.dictionaries(
                st.sampled_from(
                    ["Attestation", "DescribePCR", "ExtendPCR", "LockPCR", "LockPCRs", "index", "data", "range"]
                ),
                inner,
                max_size=2,
            ),
        ).map(cbor2.dumps),
    )
)
def test_any_request_gets_a_reply_of_the_device(request: bytes) -> None:
    """Or one of its errors; a guest cannot stop the module."""
    reply = cbor2.loads(respond(SoftwareNsm(ROOT, {}), request))
    assert isinstance(reply, str) or len(reply) == 1
    if isinstance(reply, dict) and "Error" in reply:
        assert reply["Error"] in ERRORS


def test_a_request_beyond_the_limit_is_too_large() -> None:
    """And a reply is never longer than the buffer for it."""
    assert cbor2.loads(respond(SoftwareNsm(ROOT, {}), bytes(MAX_REQUEST + 1))) == {"Error": "InputTooLarge"}
    assert len(respond(SoftwareNsm(ROOT, {}), cbor2.dumps("GetRandom"))) < MAX_RESPONSE
