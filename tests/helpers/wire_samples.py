"""One valid object of each kind, made once, for tests that bend them."""

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from wire import commitments, envelope, header, keys, manifest, messages, payload, receipt, report, ticket

KEY = bytes(range(32))
ANSWER_KEY = bytes(range(32, 64))
TENANT = "benefits"
JOB = "abcdefghijklmnop"
IMAGE = "0123456789abcdef" * 6
QUESTION_ARN = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000a"
ANSWER_ARN = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000b"
WRAPPED = bytes(184)
ANSWER_WRAPPED = bytes([1]) * 184
ANSWER_DIGEST = keys.wrapped_digest(ANSWER_ARN, keys.encryption_context("answer", TENANT, JOB, IMAGE), ANSWER_WRAPPED)
SALT = bytes([7]) * 32
NONCE = bytes(range(12))

RECORDS = (
    payload.Record(4, 5, "case-5", (payload.Message("user", "How many days?"),), payload.Params(max_tokens=16)),
    payload.Record(
        5,
        7,
        "case-7",
        (payload.Message("system", "Be brief."), payload.Message("user", "Größe? 退職")),
        payload.Params(temperature=0.5, top_p=0.9, seed=-3, stop=("\n\n", "END"), top_k=40, repetition_penalty=1.2),
    ),
    payload.Record(6, 8, "line-8", (), payload.Params(), payload.ErrorCode.INVALID_JSON_LINE),
)
RESULTS = (
    payload.Result(4, 5, "case-5", payload.Outcome.SUCCEEDED, "Thirty days.", "stop", 12, 4),
    payload.Result(5, 7, "case-7", payload.Outcome.TRUNCATED, "Die Größe", "length", 20, 16),
    payload.Result(6, 8, "line-8", payload.Outcome.ERRORED, error=payload.ErrorCode.INVALID_JSON_LINE),
)
QUESTION_PAYLOAD = payload.QuestionPayload(ANSWER_KEY, ANSWER_ARN, ANSWER_DIGEST, SALT, RECORDS).encode()
RESULT_PAYLOAD = payload.AnswerPayload("sealbatch/benefits-bloom", SALT, RESULTS).encode()


def question_header() -> header.QuestionHeader:
    """The header of `QUESTIONS`."""
    proof = keys.commitment(KEY, [header.QuestionHeader.direction, TENANT, JOB, 2, 4, 3])
    return header.QuestionHeader(TENANT, JOB, IMAGE, 2, 4, 3, QUESTION_ARN, WRAPPED, commitment=proof)


QUESTIONS = envelope._seal(question_header(), KEY, QUESTION_PAYLOAD, NONCE)
QUESTION_DIGEST = envelope.parse_questions(QUESTIONS).digest


def answer_header() -> header.AnswerHeader:
    """The header of `ANSWERS`."""
    proof = keys.commitment(ANSWER_KEY, [header.AnswerHeader.direction, TENANT, JOB, 2, 4, 3])
    return header.AnswerHeader(
        TENANT,
        JOB,
        IMAGE,
        2,
        4,
        3,
        ANSWER_ARN,
        ANSWER_DIGEST,
        QUESTION_DIGEST,
        bytes([8]) * 32,
        bytes([9]) * 32,
        commitment=proof,
    )


ANSWERS = envelope._seal(answer_header(), ANSWER_KEY, RESULT_PAYLOAD, NONCE)

RECEIPT_KEY = ec.derive_private_key(7, ec.SECP384R1())
DOCUMENT = b"an attestation document"
RECEIPT_VALUE = receipt.Receipt(
    tenant=TENANT,
    job=JOB,
    chunk=2,
    first=4,
    count=3,
    questions=QUESTION_DIGEST,
    answers=envelope.body_digest(ANSWERS),
    question_root=commitments.question_root(SALT, RECORDS),
    result_root=commitments.result_root(SALT, RESULTS),
    totals=receipt.Totals.of(RESULTS),
    model=bytes([8]) * 32,
    template=bytes([9]) * 32,
    settings=bytes([10]) * 32,
    pcrs=(bytes.fromhex(IMAGE), bytes([11]) * 48, bytes([12]) * 48),
    document=hashlib.sha256(DOCUMENT).digest(),
    time_ms=1_790_000_000_000,
)
RECEIPT_PAYLOAD = receipt.encode_payload(RECEIPT_VALUE)


def _sign(payload: bytes) -> bytes:
    """Deterministic (RFC 6979), so that the vectors are the same each time."""
    algorithm = ec.ECDSA(SHA384(), deterministic_signing=True)
    r, s = decode_dss_signature(RECEIPT_KEY.sign(receipt.to_be_signed(payload), algorithm))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


RECEIPT = receipt.encode_receipt(RECEIPT_PAYLOAD, _sign(RECEIPT_PAYLOAD), DOCUMENT)
RECEIPTED = envelope._attach(ANSWERS, ANSWER_KEY, RECEIPT, NONCE)

ENTRIES = (
    manifest.ChunkEntry(0, 0, 2, 0, bytes([3]) * 32),
    manifest.ChunkEntry(1, 2, 2, 0, bytes([4]) * 32),
    manifest.ChunkEntry(2, 4, 3, 0, QUESTION_DIGEST),
)
PAGE = manifest.encode_page(ENTRIES)
MANIFEST_VALUE = manifest.Manifest(
    tenant=TENANT,
    job=JOB,
    created_ms=1_790_000_000_000,
    records=7,
    chunks=3,
    pages=1,
    keysets=(manifest.Keyset(IMAGE, QUESTION_ARN, WRAPPED, ANSWER_ARN, ANSWER_WRAPPED),),
    root=bytes([5]) * 32,
    parameters=manifest.Parameters("october", 1_790_000_100_000, None),
)
MANIFEST = manifest.encode_manifest(MANIFEST_VALUE, ANSWER_KEY)
TICKET = str(ticket.Ticket(JOB, manifest.manifest_digest(MANIFEST)))

MESSAGES: tuple[messages.Message, ...] = (
    messages.Ready(1, IMAGE, bytes([8]) * 32, 8, 33_554_432),
    messages.Unwrap(
        3,
        QUESTION_ARN,
        tuple(keys.encryption_context("question", TENANT, JOB, IMAGE).items()),
        WRAPPED,
        b"document",
    ),
    messages.Progress(9),
    messages.Answer(9, b"sealed"),
    messages.Refusal(9, messages.RefusalCode.UNSEAL_FAILED),
    messages.Work(9, 4, 3, b"sealed"),
    messages.Unwrapped(3, b"cms"),
    messages.UnwrapRefused(3, messages.UnwrapCode.DENIED),
    report.Report(ready=True, tokens=4, occupancy=7, sequences=8, waiting=0, restarts=1, memory=96),
)
