"""CMS as KMS writes it: one form is opened, every other one gives one error that says nothing."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from devstack.cms import assemble, envelop
from enclave_worker.cms import MAX_SIZE, CmsError, open_recipient

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY = bytes(range(32))
MESSAGE = envelop(KEY, PRIVATE.public_key())
CONTENT_PRIMITIVE = MESSAGE.replace(bytes.fromhex("a0800430"), bytes.fromhex("8030"))[:-2]


def refused(message: bytes) -> bool:
    """Whether the one error comes; any other exception fails the test."""
    try:
        open_recipient(PRIVATE, message)
    except CmsError as error:
        return str(error) == str(CmsError()) and error.__cause__ is None
    return False


def test_the_key_in_a_reply_is_the_key_that_was_put_in() -> None:
    """Both forms of the content that KMS is known to write are opened; their sizes are those of AWS's replies."""
    assert open_recipient(PRIVATE, MESSAGE) == KEY
    assert open_recipient(PRIVATE, CONTENT_PRIMITIVE) == KEY
    assert (len(MESSAGE), len(CONTENT_PRIMITIVE)) == (493, 489)


def test_a_reply_for_another_key_is_refused() -> None:
    """A pair is good for its own reply only."""
    assert refused(envelop(KEY, STRANGER.public_key()))


@pytest.mark.parametrize("size", [0, 1, 16, 24, 31, 33, 47, 48, 64])
def test_only_a_key_of_32_bytes_is_taken(size: int) -> None:
    """Nothing else that decrypts is a data key of ours."""
    assert refused(envelop(bytes(size), PRIVATE.public_key()))


@given(st.integers(0, len(MESSAGE) - 1))
def test_a_cut_reply_is_refused(size: int) -> None:
    """No beginning of a reply is a reply."""
    assert refused(MESSAGE[:size])


@given(st.binary(min_size=1, max_size=40))
def test_bytes_behind_a_reply_are_refused(more: bytes) -> None:
    """A reply ends where its structure ends."""
    assert refused(MESSAGE + more)


@given(st.binary(max_size=600))
def test_garbage_is_refused(data: bytes) -> None:
    """Random bytes give the one error."""
    assert refused(data)


def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    """The size is checked first."""
    assert refused(MESSAGE + bytes(MAX_SIZE))


@given(st.integers(0, len(MESSAGE) - 1), st.integers(1, 255))
def test_a_changed_reply_is_refused_or_gives_some_key(place: int, change: int) -> None:
    """Nothing authenticates a reply: a changed byte gives the error or 32 other bytes, which open no chunk."""
    bent = bytearray(MESSAGE)
    bent[place] ^= change
    try:
        assert len(open_recipient(PRIVATE, bytes(bent))) == 32
    except CmsError:
        return
    # Only the recipient's opaque name, the IV and the ciphertext may change without an error.
    name = MESSAGE.index(b"\x80\x20") + 2
    vector = MESSAGE.index(bytes.fromhex("0410")) + 2
    content = MESSAGE.index(bytes.fromhex("0430")) + 2
    assert place in {*range(name, name + 32), *range(vector, vector + 16), *range(content, content + 32)}


@given(st.binary(min_size=256, max_size=256), st.binary(min_size=48, max_size=48))
def test_a_made_up_content_key_is_refused(wrapped: bytes, ciphertext: bytes) -> None:
    """Right structure around random bytes gives the same error as everything else."""
    assert refused(assemble(bytes(32), wrapped, bytes(16), ciphertext))
