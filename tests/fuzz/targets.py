"""The parsers that take bytes from the other side, each with true samples and the one error that it may raise."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import wire_samples as samples
from cryptography.hazmat.primitives.asymmetric import rsa

from devstack.cms import envelop
from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from enclave_worker import engine_wire, nsm
from enclave_worker import manifest as model_manifest
from enclave_worker.cms import CmsError, open_recipient
from enclave_worker.engine import Completion, Room
from enclave_worker.manifest import ModelError
from enclave_worker.nsm import NsmError
from producer.policy_lint import lint_policy
from results_consumer.attestation import AttestationError, verify_document
from results_consumer.output_reader import LineError, read_line
from results_consumer.trust import ReleaseError, parse_release
from wire import codec, envelope, ledger, manifest, messages, payload, receipt, ticket
from wire.errors import WireError
from wire.framing import FrameDecoder, encode_frame


@dataclass(frozen=True)
class Target:
    """One parser: what it is fed with to begin with, and what it may raise."""

    parse: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


def frames(data: bytes) -> None:
    """A stream, in pieces as long as the first byte says."""
    size = max(1, data[0] if data else 1)
    decoder = FrameDecoder(max_frame=4096)
    for start in range(1, len(data), size):
        decoder.receive_data(data[start : start + size])
        while isinstance(decoder.next_frame(), bytes):
            pass
    decoder.receive_data(b"")
    decoder.next_frame()


def text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A parser of text, fed with bytes."""
    return lambda data: parse(data.decode("latin-1"))


_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_ROOT = DevelopmentRoot.create(datetime(2026, 9, 1, tzinfo=UTC))
_DOCUMENT = SoftwareNsm(_ROOT, {0: bytes(47) + b"\1"}, lambda: datetime(2026, 9, 2, tzinfo=UTC)).attest(
    public_key=b"k" * 100, user_data=b"u" * 50, nonce=None
)
_CMS = envelop(bytes(32), _KEY.public_key())
_LINE = (
    b'{"id":"batch_req_abcdefghijklmnop_0","custom_id":"a","outcome":"succeeded","response":{"body":{"model":"m@sha256:'
    + b"0" * 64
    + b'","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],'
    + b'"usage":{"prompt_tokens":1,"completion_tokens":1}}}'
    + b',"error":null,"attested":true,"receipt":null,"line":1}'
)

_PROFILE = engine_wire.Profile("m", bytes(32), 2048, Room(4, 4096))
_STEPPED = engine_wire.Stepped((Completion(1, "Yes.", "stop", 2),), Room(3, 2048))

TARGETS: dict[str, Target] = {
    "frame": Target(frames, (WireError,), (b"\4" + encode_frame(b"hello") * 3,)),
    "codec": Target(lambda data: codec.unpack(data, max_size=1 << 20), (WireError,), (samples.QUESTION_PAYLOAD,)),
    "message": Target(messages.decode, (WireError,), tuple(messages.encode(m) for m in samples.MESSAGES)),
    "sealed_questions": Target(envelope.parse_questions, (WireError,), (samples.QUESTIONS,)),
    "sealed_answers": Target(envelope.parse_answers, (WireError,), (samples.ANSWERS, samples.RECEIPTED)),
    "question_payload": Target(payload.QuestionPayload.decode, (WireError,), (samples.QUESTION_PAYLOAD,)),
    "answer_payload": Target(payload.AnswerPayload.decode, (WireError,), (samples.RESULT_PAYLOAD,)),
    "manifest": Target(manifest.decode_manifest, (WireError,), (samples.MANIFEST,)),
    "page": Target(manifest.decode_page, (WireError,), (samples.PAGE,)),
    "receipt": Target(receipt.parse_receipt, (WireError,), (samples.RECEIPT,)),
    "ticket": Target(text(ticket.Ticket.parse), (WireError,), (samples.TICKET.encode(),)),
    "queue_message": Target(
        text(ledger.parse_chunk_message),
        (WireError,),
        (ledger.ChunkMessage("a", "a" * 16, 0, 0, 1, bytes(32), 5, b"hello").encode().encode(),),
    ),
    "object_name": Target(text(ledger.parse_answer_name), (WireError,), (b"00000001.64.32~0123456789abcdef",)),
    "failure": Target(ledger.parse_failure, (WireError,), (ledger.encode_note(ledger.Failure("canceled", 1)),)),
    "notice": Target(
        ledger.parse_notice,
        (WireError,),
        (ledger.encode_note(ledger.Notice("key_denied", "0" * 96, samples.QUESTION_ARN, 1)),),
    ),
    "cms": Target(lambda data: open_recipient(_KEY, data), (CmsError,), (_CMS,)),
    "attestation": Target(lambda data: verify_document(data, [_ROOT.certificate]), (AttestationError,), (_DOCUMENT,)),
    "nsm_reply": Target(
        lambda data: nsm._decode("Attestation", data), (NsmError,), (bytes.fromhex("a16b4174746573746174696f6ea0"),)
    ),
    "model_manifest": Target(
        model_manifest._parse,
        (ModelError,),
        (b'{"format":1,"name":"a","revision":"b","files":{"x":{"sha256":"' + b"0" * 64 + b'","size":1}}}',),
    ),
    "engine_greeting": Target(engine_wire.decode_greeting, (WireError,), (engine_wire.encode_greeting(_PROFILE),)),
    "engine_reply": Target(engine_wire.decode_reply, (WireError,), (engine_wire.encode_reply(_STEPPED),)),
    "release": Target(parse_release, (ReleaseError,), (b'{"format":1,"name":"a","pcrs":{"0":"' + b"a" * 96 + b'"}}',)),
    "output_line": Target(read_line, (LineError,), (_LINE,)),
    "key_policy": Target(
        text(lambda data: lint_policy(data, "question")),
        (),
        (b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}',),
    ),
}
