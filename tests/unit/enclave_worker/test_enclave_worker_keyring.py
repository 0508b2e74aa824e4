"""Question keys: unwrapped once for a keyset, kept only when they proved themselves, given up in order of use."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from enclave_parent import EchoAttestor
from question_factory import QUESTION_ARN, Keys, record

from devstack.cms import envelop
from enclave_worker.keyring import CourierLost, Keyring
from enclave_worker.refused import ChunkRefused
from wire.envelope import SealedQuestions, parse_questions
from wire.errors import SealError
from wire.messages import RefusalCode


class FakeKms:
    """A courier that plays KMS: by default it wraps each keyset's own key for the document's key."""

    def __init__(self, *keysets: Keys) -> None:
        self.known = {keyset.wrapped: keyset for keyset in keysets}
        self.calls = 0
        self.replies: list[Callable[[RSAPublicKey], bytes]] = []

    def unwrap(self, key_arn: str, context: Mapping[str, str], wrapped: bytes, document: bytes) -> bytes:
        """See `Courier.unwrap`."""
        self.calls += 1
        keyset = self.known[wrapped]
        assert (key_arn, dict(context)) == (QUESTION_ARN, keyset.context)
        public = load_der_public_key(document)
        assert isinstance(public, RSAPublicKey)
        if self.replies:
            return self.replies.pop(0)(public)
        return envelop(keyset.question_key, public)


def sealed_by(keyset: Keys, number: int = 0) -> SealedQuestions:
    """One chunk of a keyset."""
    return parse_questions(keyset.seal([record(number, "How many days?")]))


def refuse(_: RSAPublicKey) -> bytes:
    """KMS says no."""
    raise ChunkRefused(RefusalCode.KEY_DENIED)


def hang_up(_: RSAPublicKey) -> bytes:
    """The connection ends."""
    raise CourierLost


def test_the_chunks_of_a_keyset_cost_one_unwrap() -> None:
    """The key is remembered under its wrapping."""
    keyset = Keys()
    kms, attestor = FakeKms(keyset), EchoAttestor()
    keyring = Keyring(attestor, 4)
    for number in range(3):
        opened = keyring.open(sealed_by(keyset, number), kms)
        assert opened.payload == keyset.payload([record(number, "How many days?")])
        assert opened.key == keyset.question_key
    assert kms.calls == len(attestor.documents) == 1


def test_every_unwrap_has_a_key_pair_of_its_own() -> None:
    """A reply is good once: no two documents hold the same public key."""
    keysets = [Keys() for _ in range(3)]
    attestor = EchoAttestor()
    keyring = Keyring(attestor, 1)
    for keyset in [*keysets, keysets[0]]:
        keyring.open(sealed_by(keyset), FakeKms(*keysets))
    assert len(set(attestor.documents)) == 4


@pytest.mark.parametrize(
    "reply",
    [
        lambda public: envelop(bytes(32), public),
        lambda public: envelop(bytes(16), public),
        lambda _: b"",
        lambda _: b"\x30\x80" * 200,
    ],
)
def test_a_false_reply_fails_at_the_seal_and_is_not_kept(reply: Callable[[RSAPublicKey], bytes]) -> None:
    """A made-up key and a reply that is no CMS look alike, and the next true reply is taken."""
    keyset = Keys()
    kms = FakeKms(keyset)
    kms.replies = [reply]
    keyring = Keyring(EchoAttestor(), 4)
    with pytest.raises(SealError):
        keyring.open(sealed_by(keyset), kms)
    assert keyring.open(sealed_by(keyset), kms).key == keyset.question_key
    assert kms.calls == 2


def test_the_least_recently_used_key_leaves_first() -> None:
    """The cache is bounded, and use keeps a key."""
    one, two, three = (Keys() for _ in range(3))
    kms = FakeKms(one, two, three)
    keyring = Keyring(EchoAttestor(), 2)
    for keyset in (one, two, one, three, one):
        keyring.open(sealed_by(keyset), kms)
    assert kms.calls == 3
    keyring.open(sealed_by(two), kms)
    assert kms.calls == 4


def test_a_refusal_is_heard_by_all_and_not_remembered() -> None:
    """A denied key is asked for again when the next chunk comes, since the policy may have been mended."""
    keyset = Keys()
    kms = FakeKms(keyset)
    kms.replies = [refuse]
    keyring = Keyring(EchoAttestor(), 4)
    with pytest.raises(ChunkRefused) as caught:
        keyring.open(sealed_by(keyset), kms)
    assert caught.value.code is RefusalCode.KEY_DENIED
    assert keyring.open(sealed_by(keyset), kms).key == keyset.question_key


@pytest.mark.parametrize(("fate", "calls"), [(None, 1), (refuse, 1), (hang_up, 2)])
def test_chunks_that_come_together_wait_for_one_unwrap(
    fate: Callable[[RSAPublicKey], bytes] | None, calls: int
) -> None:
    """Followers share the leader's key or refusal; when its connection ends, the next one leads."""
    keyset = Keys()
    kms = FakeKms(keyset)
    led, go = threading.Event(), threading.Event()

    def slow(public: RSAPublicKey) -> bytes:
        led.set()
        assert go.wait(30)
        return fate(public) if fate else envelop(keyset.question_key, public)

    kms.replies = [slow]
    keyring = Keyring(EchoAttestor(), 4)
    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(keyring.open, sealed_by(keyset), kms)
        assert led.wait(30)
        followers = [pool.submit(keyring.open, sealed_by(keyset, n), kms) for n in (1, 2, 3)]
        go.set()
        errors = [future.exception(30) for future in (leader, *followers)]
    expected = {None: [None] * 4, refuse: [ChunkRefused] * 4, hang_up: [CourierLost, None, None, None]}[fate]
    found = [type(error) if error else None for error in errors]
    if fate is refuse:
        # A follower that boards after the refusal asks anew, and is answered.
        assert found[0] is ChunkRefused
        assert set(found) <= {ChunkRefused, None}
    else:
        assert found == expected
        assert kms.calls == calls
