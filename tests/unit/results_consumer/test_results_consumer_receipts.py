"""Receipts: each step of the plan refuses what it is there for, and nothing before it does."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from receipt_factory import CREATED_MS, PCR1, PCR2, ROOT, SETTINGS, STARTED, TRUST, make_receipt, signer
from wire_samples import ANSWER_ARN, ANSWER_DIGEST, ANSWER_KEY, IMAGE, JOB, SALT, TENANT

from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from results_consumer.certificates import AWS_ROOT
from results_consumer.receipts import ReceiptVerifier, Subject
from results_consumer.steps import EXPLANATIONS, PROVES, ReceiptRefused, Step
from results_consumer.trust import Release, ReleaseError, Trust, parse_release
from wire import envelope
from wire.header import AnswerHeader
from wire.payload import Outcome, Result
from wire.receipt import Totals, encode_receipt, parse_receipt

MODEL, TEMPLATE, QUESTIONS = bytes([8]) * 32, bytes([9]) * 32, bytes([3]) * 32
RESULTS = (
    Result(4, 5, "case-5", Outcome.SUCCEEDED, "Thirty days.", "stop", 12, 4),
    Result(5, 7, "case-7", Outcome.TRUNCATED, "Twenty", "length", 20, 16),
)
HEADER = AnswerHeader(
    tenant=TENANT,
    job=JOB,
    image=IMAGE,
    chunk=2,
    first=4,
    count=2,
    key_arn=ANSWER_ARN,
    wrapped_digest=ANSWER_DIGEST,
    question_digest=QUESTIONS,
    model=MODEL,
    template=TEMPLATE,
)
SEALED = envelope.seal(HEADER, ANSWER_KEY, b"answers")
SUBJECT = Subject(
    tenant=TENANT,
    job=JOB,
    chunk=2,
    first=4,
    count=2,
    image=IMAGE,
    questions=QUESTIONS,
    answers=envelope.body_digest(SEALED),
    model=MODEL,
    template=TEMPLATE,
    created_ms=CREATED_MS,
    now=STARTED + timedelta(minutes=5),
    salt=SALT,
    results=RESULTS,
)


def receipt(**bent: Any) -> bytes:
    """A true receipt, or one with something else signed."""
    return make_receipt(SEALED, SALT, RESULTS, **bent)


GOOD = receipt()


def refused_at(step: Step, data: bytes = GOOD, subject: Subject = SUBJECT, trust: Trust = TRUST) -> None:
    """The receipt fails at this step, with this step's words."""
    with pytest.raises(ReceiptRefused) as caught:
        ReceiptVerifier(trust).verify(data, subject)
    assert caught.value.step == step
    assert str(caught.value) == f"receipt step {step.value} ({step.code}): {EXPLANATIONS[step]}"


def attested_by(nsm: SoftwareNsm, **values: bytes | None) -> bytes:
    """The true receipt, signed by its true key, under another document that is named in it."""
    said = {
        "public_key": signer(IMAGE, MODEL, TEMPLATE)._public_key,
        "user_data": signer(IMAGE, MODEL, TEMPLATE)._statement,
    }
    document = nsm.attest(**(said | {"nonce": None} | values))  # type: ignore[arg-type]
    payload = cbor2.loads(cbor2.loads(document)[2])
    return receipt(
        document_bytes=document,
        document=hashlib.sha256(document).digest(),
        time_ms=payload["timestamp"],
        pcrs=tuple(payload["pcrs"][index] for index in range(3)),
    )


def nsm(pcr0: bytes = bytes.fromhex(IMAGE), at: datetime = STARTED, root: DevelopmentRoot = ROOT) -> SoftwareNsm:
    """An NSM of this image, at a time, under a root."""
    return SoftwareNsm(root, {0: pcr0, 1: PCR1, 2: PCR2}, lambda: at)


def resigned(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A receipt whose map was changed by whoever holds the receipt key: only the signature is right."""
    structure = cbor2.loads(GOOD)
    fields = dict(cbor2.loads(structure[2]))
    change(fields)
    payload = cbor2.dumps(fields, canonical=True)
    key = signer(IMAGE, MODEL, TEMPLATE)._key
    r, s = decode_dss_signature(key.sign(cbor2.dumps(["Signature1", structure[0], b"", payload]), ec.ECDSA(SHA384())))
    return encode_receipt(payload, r.to_bytes(48, "big") + s.to_bytes(48, "big"), parse_receipt(GOOD).document)


def changed_document(change: Callable[[bytearray], None]) -> bytes:
    """The receipt over a document with bytes changed, named by its new digest."""
    document = bytearray(parse_receipt(GOOD).document)
    change(document)
    return receipt(document_bytes=bytes(document), document=hashlib.sha256(document).digest())


def _flip(at: int) -> Callable[[bytearray], None]:
    def change(document: bytearray) -> None:
        document[at] ^= 1

    return change


def test_a_true_receipt_stands_every_step() -> None:
    """What was signed comes back, under the root alone and under a release that names all of it."""
    release = Release("1.0", {0: bytes.fromhex(IMAGE), 1: PCR1, 2: PCR2}, {"model": MODEL, "settings": SETTINGS})
    for trust in (TRUST, replace(TRUST, releases=(release,))):
        found = ReceiptVerifier(trust).verify(GOOD, SUBJECT)
        assert (found.job, found.totals) == (JOB, Totals((1, 1, 0, 0, 0), 32, 20))
        assert found.time_ms == int(STARTED.timestamp() * 1000)


def test_every_step_says_what_it_shows_and_why_it_refuses() -> None:
    """The two tables have a line for each."""
    assert list(EXPLANATIONS) == list(PROVES) == list(Step)
    assert [step.value for step in Step] == list(range(1, len(Step) + 1))


# One negative test for each step; 2 (seal) is in the test of verify_answers, 21 and 22 in that of archives.

NEGATIVES: list[tuple[Step, bytes, dict[str, Any]]] = [
    (Step.PRESENT, b"", {}),
    (Step.FORM, GOOD + b"\0", {}),
    (Step.FORM, GOOD[:-1], {}),
    (Step.FORM, b"\xd2" + GOOD, {}),
    (Step.FORM, resigned(lambda fields: fields.update(more=1)), {}),
    (Step.FORM, resigned(lambda fields: fields.pop("questions")), {}),
    (Step.FORM, resigned(lambda fields: fields.update(v=2)), {}),
    (Step.FORM, resigned(lambda fields: fields.update(v=True)), {}),
    (Step.FORM, resigned(lambda fields: fields["pcrs"].update({3: bytes(48)})), {}),
    (Step.FORM, resigned(lambda fields: fields["outcomes"].update(succeeded=-1)), {}),
    (Step.DOCUMENT_DIGEST, receipt(document=bytes(32)), {}),
    (Step.DOCUMENT_DIGEST, receipt(document_bytes=nsm().attest(public_key=None, user_data=None, nonce=None)), {}),
    (Step.DOCUMENT_FORM, changed_document(_flip(0)), {}),
    (Step.DOCUMENT_SIGNATURE, changed_document(_flip(-1)), {}),
    (Step.CHAIN, attested_by(nsm(root=DevelopmentRoot.create(STARTED))), {}),
    (Step.CERTIFICATE_TIME, attested_by(nsm(at=STARTED + timedelta(days=40))), {"now": STARTED + timedelta(days=60)}),
    (Step.NOT_DEBUG, attested_by(nsm(pcr0=bytes(48))), {}),
    (Step.DOCUMENT_TIME, attested_by(nsm(at=STARTED - timedelta(hours=5))), {}),
    (Step.DOCUMENT_TIME, GOOD, {"now": STARTED - timedelta(hours=1)}),
    (Step.KEY, attested_by(nsm(), user_data=None), {}),
    (Step.KEY, attested_by(nsm(), user_data=cbor2.dumps(["sealbatch/2 receipt key", MODEL, TEMPLATE, SETTINGS])), {}),
    (Step.KEY, attested_by(nsm(), public_key=None), {}),
    (Step.SIGNATURE, attested_by(nsm(), public_key=signer(IMAGE, bytes(32), TEMPLATE)._public_key), {}),
    (Step.SIGNATURE, encode_receipt(parse_receipt(GOOD).payload, bytes(95) + b"\1", parse_receipt(GOOD).document), {}),
    (Step.MEASUREMENTS, receipt(time_ms=CREATED_MS), {}),
    (Step.MEASUREMENTS, receipt(pcrs=(bytes.fromhex(IMAGE), PCR1, PCR1)), {}),
    (Step.MEASUREMENTS, receipt(settings=bytes(32)), {}),
    (Step.MEASUREMENTS, GOOD, {"model": bytes(32)}),
    (Step.IMAGE, GOOD, {"image": "ab" * 48}),
    (Step.PLACE, GOOD, {"tenant": "pensions"}),
    (Step.PLACE, GOOD, {"job": "a" * 16}),
    (Step.PLACE, GOOD, {"chunk": 3}),
    (Step.PLACE, GOOD, {"first": 3}),
    (Step.PLACE, GOOD, {"count": 1}),
    (Step.QUESTIONS, GOOD, {"questions": bytes(32)}),
    (Step.ANSWERS, GOOD, {"answers": bytes(32)}),
    (Step.COUNTS, receipt(totals=Totals((2, 0, 0, 0, 0), 32, 20)), {}),
    (Step.COUNTS, receipt(totals=Totals((1, 1, 0, 0, 0), 33, 20)), {}),
    (Step.COUNTS, receipt(totals=Totals((1, 0, 0, 0, 0), 32, 20)), {"results": None}),
    (Step.RESULTS, receipt(result_root=bytes(32)), {}),
    (Step.RESULTS, GOOD, {"results": (replace(RESULTS[0], text="Forty days."), RESULTS[1])}),
    (Step.RESULTS, GOOD, {"results": RESULTS[::-1]}),
    (Step.RESULTS, GOOD, {"salt": bytes(32)}),
]


@pytest.mark.parametrize(
    ("step", "data", "changes"), NEGATIVES, ids=[f"{s.code}-{n}" for n, (s, *_) in enumerate(NEGATIVES)]
)
def test_each_step_refuses_what_it_is_there_for(step: Step, data: bytes, changes: dict[str, Any]) -> None:
    """One thing is wrong, everything else is right, and the step that looks at it is the one that says so."""
    refused_at(step, data, replace(SUBJECT, **changes))


def test_every_step_has_a_negative_test_here() -> None:
    """Save those that this function does not make, and the release's, which is below."""
    elsewhere = {Step.SEAL, Step.RELEASE, Step.INPUT, Step.COMPLETE}
    assert {step for step, *_ in NEGATIVES} == set(Step) - elsewhere


def test_a_document_that_kms_was_asked_with_is_none_for_a_receipt_key() -> None:
    """The enclave's other documents hold an RSA key and no statement."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    refused_at(Step.KEY, attested_by(nsm(), public_key=der, user_data=None))
    refused_at(Step.KEY, attested_by(nsm(), public_key=der))


def test_a_document_for_a_key_of_an_unknown_curve_is_refused() -> None:
    """`cryptography` raises an error of its own kind for it, which once came out of the reader."""
    p384 = signer(IMAGE, MODEL, TEMPLATE)._public_key
    secp112r1 = p384.replace(bytes.fromhex("06052b81040022"), bytes.fromhex("06052b81040006"))
    refused_at(Step.KEY, attested_by(nsm(), public_key=secp112r1))


def test_a_development_receipt_is_worth_nothing_under_amazons_root() -> None:
    """The default trust is the pinned root."""
    assert Trust().roots == (AWS_ROOT,)
    refused_at(Step.CHAIN, trust=Trust())


@pytest.mark.parametrize(
    "release",
    [
        Release("other", {0: bytes(47) + b"\1"}),
        Release("boot", {0: bytes.fromhex(IMAGE), 1: PCR2}),
        Release("register 8", {0: bytes.fromhex(IMAGE), 8: PCR2}),
        Release("model", {0: bytes.fromhex(IMAGE)}, {"model": bytes(32)}),
        Release("settings", {0: bytes.fromhex(IMAGE)}, {"settings": bytes(32)}),
    ],
    ids=lambda release: release.name,
)
def test_a_release_must_agree_in_all_that_it_states(release: Release) -> None:
    """And one of several accepted releases is enough."""
    refused_at(Step.RELEASE, trust=replace(TRUST, releases=(release,)))
    true = Release("1.0", {0: bytes.fromhex(IMAGE)})
    assert ReceiptVerifier(replace(TRUST, releases=(release, true))).verify(GOOD, SUBJECT)


def test_an_old_receipt_stands_years_later() -> None:
    """Certificates count at the document's time: the leaf's three hours are long over."""
    assert ReceiptVerifier(TRUST).verify(GOOD, replace(SUBJECT, now=datetime(2056, 1, 1, tzinfo=UTC)))


def test_a_document_is_verified_once_for_all_receipts_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a million chunks has a few documents."""
    from results_consumer import receipts

    calls: list[bytes] = []
    true = receipts.verify_document
    monkeypatch.setattr(receipts, "verify_document", lambda data, roots: (calls.append(data), true(data, roots))[1])
    verifier = ReceiptVerifier(TRUST)
    for _ in range(3):
        verifier.verify(GOOD, SUBJECT)
    assert len(calls) == 1


PCR = "a" * 96


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([], "format"),
        ({"format": 2}, "format"),
        ({"name": ""}, "name"),
        ({"pcrs": {}}, "pcrs"),
        ({"pcrs": {"0": "ab"}}, "pcrs.0"),
        ({"pcrs": {"0": "0" * 96}}, "debug"),
        ({"pcrs": {"0": PCR, "32": PCR}}, "index"),
        ({"model": "A"}, "model"),
        ({"other": "A"}, "other"),
    ],
)
def test_a_malformed_release_is_refused_by_the_field(value: Any, named: str) -> None:
    """Whoever wrote it finds the field."""
    whole = {"format": 1, "name": "a", "pcrs": {"0": PCR}}
    assert parse_release(json.dumps(whole).encode()).name == "a"
    with pytest.raises(ReleaseError, match=named):
        parse_release(json.dumps(whole | value if isinstance(value, dict) else value).encode())
    with pytest.raises(ReleaseError, match="not JSON"):
        parse_release(b"no")
