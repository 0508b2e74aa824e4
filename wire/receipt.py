"""Receipts: what the enclave signs about one answer object, as COSE_Sign1 (RFC 9052, section 4.2) over a CBOR map.

The signing key lives as long as its enclave. Its public half stands in an attestation document, which the receipt
carries in its unprotected header and names by digest in what is signed; the document's `user_data` says what else the
enclave is (`key_statement`). Encoding is deterministic CBOR (RFC 8949, section 4.2.1): a receipt has one spelling.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from wire.errors import ReceiptError
from wire.fields import MAX_COUNT
from wire.measurement import PCR_SIZE
from wire.messages import MAX_CHUNK, MAX_DOCUMENT, MAX_RECORD
from wire.names import JOB, TENANT
from wire.payload import Outcome, Result

FORMAT: Final = 1
SIGNATURE_SIZE: Final = 96
PCRS: Final = (0, 1, 2)
"""Registers that a receipt repeats: the whole image, its kernel and boot, its application."""
MAX_RECEIPT: Final = 16 * 1024 - 4
MAX_USER_DATA: Final = 512
"""What the NSM takes."""
OUTCOMES: Final = tuple(Outcome)

_LABEL: Final = "sealbatch/1 receipt key"
_DOCUMENT_HEADER: Final = "attestation document"
_PROTECTED: Final = bytes.fromhex("a1013822")  # {1: -35}: ES384, as in attestation documents
_MAX_DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class Totals:
    """What a range of results adds up to: outcomes in the order of `OUTCOMES`, tokens of records with an answer."""

    outcomes: tuple[int, ...]
    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Totals":
        """Add up."""
        counts = Counter(result.outcome for result in results)
        return cls(
            outcomes=tuple(counts[outcome] for outcome in OUTCOMES),
            prompt_tokens=sum(result.prompt_tokens for result in results if result.answered),
            completion_tokens=sum(result.completion_tokens for result in results if result.answered),
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is signed about the answers to records `first` to `first + count - 1` of a chunk.

    `questions` is the SHA-256 of the whole sealed question object, `answers` that of the sealed answer object up to
    its receipt. The roots are Merkle tree hashes over salted commitments (`wire.commitments`), a leaf a record.
    `model`, `template`, `settings` and `pcrs` (48 bytes each, in
    the order of `PCRS`) say who answered; `document` is the SHA-256 of the attestation document and `time_ms` its time
    in milliseconds since 1970, UTC.
    """

    tenant: str
    job: str
    chunk: int
    first: int
    count: int
    questions: bytes
    answers: bytes
    question_root: bytes
    result_root: bytes
    totals: Totals
    model: bytes
    template: bytes
    settings: bytes
    pcrs: tuple[bytes, ...]
    document: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A parsed receipt, not yet verified: `payload` is what `signature` is over, `document` what it was attested by."""

    receipt: Receipt
    payload: bytes
    signature: bytes
    document: bytes


def key_statement(model: bytes, template: bytes, settings: bytes) -> bytes:
    """`user_data` of the document that holds a receipt key: no other document of an enclave has such."""
    return cbor2.dumps([_LABEL, model, template, settings], canonical=True)


def parse_statement(user_data: bytes | None) -> tuple[bytes, bytes, bytes] | None:
    """Digests of model, template and settings in a document for a receipt key; None if it is no such document."""
    try:
        match _load(user_data or b"", MAX_USER_DATA):
            case [str(label), bytes(model), bytes(template), bytes(settings)] if label == _LABEL:
                return model, template, settings
    except ReceiptError:
        pass
    return None


def to_be_signed(payload: bytes) -> bytes:
    """COSE's Sig_structure: what the signature is over."""
    return cbor2.dumps(["Signature1", _PROTECTED, b"", payload])


def encode_payload(receipt: Receipt) -> bytes:
    """The CBOR map that is signed.

    Raises:
        ValueError: our own misuse: a field that `parse_receipt` would refuse.
    """
    fields = {name: getattr(receipt, name) for name in _READERS} | {
        "v": FORMAT,
        "outcomes": {str(outcome): count for outcome, count in zip(OUTCOMES, receipt.totals.outcomes, strict=True)},
        "prompt_tokens": receipt.totals.prompt_tokens,
        "completion_tokens": receipt.totals.completion_tokens,
        "pcrs": dict(zip(PCRS, receipt.pcrs, strict=True)),
    }
    payload: bytes = cbor2.dumps(fields, canonical=True)
    try:
        _decode_payload(payload)
    except ReceiptError as error:
        raise ValueError(str(error)) from None
    return payload


def encode_receipt(payload: bytes, signature: bytes, document: bytes) -> bytes:
    """The COSE_Sign1 structure around a signed payload, untagged as attestation documents are."""
    return cbor2.dumps([_PROTECTED, {_DOCUMENT_HEADER: document}, payload, signature])


def parse_receipt(data: bytes) -> SignedReceipt:
    """Take a receipt apart.

    Raises:
        ReceiptError: the bytes are not exactly one receipt within the limits.
    """
    match _load(data, MAX_RECEIPT):
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            document = unprotected.get(_DOCUMENT_HEADER)
            if protected == _PROTECTED and len(unprotected) == 1 and len(signature) == SIGNATURE_SIZE:  # noqa: SIM102
                if isinstance(document, bytes) and 0 < len(document) <= MAX_DOCUMENT:
                    return SignedReceipt(_decode_payload(payload), payload, signature, document)
    raise ReceiptError("receipt: not a COSE_Sign1 of this format")


def _load(data: bytes, longest: int) -> object:
    if not 0 < len(data) <= longest:
        raise ReceiptError("receipt: empty or too large")
    try:
        value: object = cbor2.loads(data, max_depth=_MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
        # One spelling: no long form, no other order and no trailing byte survives being written again.
        again: bytes = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
        raise ReceiptError("receipt: not CBOR of an allowed shape") from None
    if again != data:
        raise ReceiptError("receipt: not the one deterministic encoding")
    return value


def _decode_payload(payload: bytes) -> Receipt:
    fields = _load(payload, MAX_RECEIPT)
    if not isinstance(fields, dict) or fields.keys() != {*_SHAPED, *_READERS}:
        raise ReceiptError("receipt: fields are missing, or too many")
    if type(fields["v"]) is not int or fields["v"] != FORMAT:
        raise ReceiptError("receipt: unknown format")
    values = {name: read(name, fields[name]) for name, read in _READERS.items()}
    outcomes = _keyed(fields, "outcomes", [str(outcome) for outcome in OUTCOMES])
    pcrs = _keyed(fields, "pcrs", list(PCRS))
    return Receipt(
        **values,
        totals=Totals(
            tuple(_number("outcomes", count) for count in outcomes),
            _number("prompt_tokens", fields["prompt_tokens"]),
            _number("completion_tokens", fields["completion_tokens"]),
        ),
        pcrs=tuple(_bytes("pcrs", pcr, PCR_SIZE) for pcr in pcrs),
    )


def _keyed(fields: dict[Any, Any], name: str, keys: list[Any]) -> list[object]:
    found = fields[name]
    if not isinstance(found, dict) or len(found) != len(keys) or any(key not in found for key in keys):
        raise _bad(name)
    if any(type(key) is not type(keys[0]) for key in found):
        raise _bad(name)
    return [found[key] for key in keys]


def _bad(name: str) -> ReceiptError:
    return ReceiptError(f"receipt: {name} has a wrong type, size or value")


def _number(name: str, value: object, low: int = 0, high: int = MAX_COUNT) -> int:
    if type(value) is not int or not low <= value <= high:
        raise _bad(name)
    return value


def _bytes(name: str, value: object, size: int = 32) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise _bad(name)
    return value


def _shaped(name: str, value: object, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise _bad(name)
    return value


_READERS: Final[dict[str, Callable[[str, object], Any]]] = {
    "tenant": lambda name, value: _shaped(name, value, TENANT),
    "job": lambda name, value: _shaped(name, value, JOB),
    "chunk": lambda name, value: _number(name, value, high=MAX_CHUNK),
    "first": lambda name, value: _number(name, value, high=MAX_RECORD),
    "count": lambda name, value: _number(name, value, low=1, high=MAX_RECORD),
    "questions": _bytes,
    "answers": _bytes,
    "question_root": _bytes,
    "result_root": _bytes,
    "model": _bytes,
    "template": _bytes,
    "settings": _bytes,
    "document": _bytes,
    "time_ms": _number,
}
_SHAPED: Final = frozenset({"v", "outcomes", "prompt_tokens", "completion_tokens", "pcrs"})
"""Fields that are read otherwise than one by one."""
