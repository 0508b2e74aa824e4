"""The parsers that take bytes from the other side, each with true samples and the one error that it may raise."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cbor2
import wire_samples as samples
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.cms import envelop
from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from enclave_worker import engine_wire, nsm, template
from enclave_worker import manifest as model_manifest
from enclave_worker.cms import CmsError, open_recipient
from enclave_worker.engine import Completion, Prompt, Room, SamplingParams
from enclave_worker.manifest import ModelError
from enclave_worker.nsm import NsmError
from producer.errors import SealedFileError
from producer.forms import InputForm
from producer.policy_lint import lint_policy
from producer.questions import read_records
from producer.sealed_file import PREFIX, read_header
from results_consumer.archive import parse_opening, parse_retries, parse_silent
from results_consumer.attestation import AttestationError, verify_document
from results_consumer.errors import IntegrityError
from results_consumer.output import OutputForm, encode_head
from results_consumer.output_reader import LineError, read_line
from results_consumer.row_reader import read_rows
from results_consumer.trust import ReleaseError, load_roots, parse_release
from sealbatch.image.eif import HEADER_SIZE, EifError, read_image
from vsock_bridge.dead_letters import _letter, encode_dead_letter
from wire import codec, envelope, ledger, manifest, messages, model_feed, payload, receipt, ticket
from wire.errors import WireError
from wire.framing import FrameDecoder, encode_frame
from wire.release import SignatureRefused, read_public_key, sign


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


def image(data: bytes) -> None:
    """An enclave image, its checksum made right: nobody who makes a hostile one leaves it wrong."""
    if len(data) >= HEADER_SIZE:
        crc = zlib.crc32(data[HEADER_SIZE:], zlib.crc32(data[: HEADER_SIZE - 4]))
        data = data[: HEADER_SIZE - 4] + struct.pack(">I", crc) + data[HEADER_SIZE:]
    read_image(io.BytesIO(data))


def sample_image() -> bytes:
    """A small image with every kind of section."""
    signed = [{"signing_certificate": _ROOT.certificate.public_bytes(Encoding.PEM), "signature": b"s"}]
    parts = ((1, b"kernel"), (2, b"line"), (3, b"init"), (3, b"application"), (4, cbor2.dumps(signed)), (5, b"{}"))
    offsets, sizes, body = [0] * 32, [0] * 32, b""
    for number, (kind, data) in enumerate(parts):
        offsets[number], sizes[number] = HEADER_SIZE + len(body), len(data)
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    return struct.pack(">4sHHQQHH64QII", b".eif", 4, 0, 1, 1, 0, len(parts), *offsets, *sizes, 0, 0) + body


def letter(data: bytes) -> None:
    """A message of the dead-letter queue."""
    _letter({"Body": data.decode("latin-1"), "MessageId": "a", "ReceiptHandle": "b"})


def questions(kind: str) -> Callable[[bytes], Any]:
    """A file of questions; whatever is wrong with a line is a problem that is told, and no error."""
    form = InputForm(kind=kind)  # type: ignore[arg-type]
    return lambda data: list(read_records(io.BytesIO(data), form, payload.Params(), keep_invalid=True))


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
_STEP = engine_wire.Step([Prompt(1, [1, 2], SamplingParams(9, 0.0, 1.0, 1, ("x",)))], (3,))
_STEPPED = engine_wire.Stepped((Completion(1, "Yes.", "stop", 2),), Room(3, 2048))

_TEMPLATE = (
    b'{"format":1,"system":"","system_turn":"{content}","user_turn":"{content}","assistant_turn":"{content}","prompt_end":"",'
    b'"stop":["x"]}'
)
_ROWS = encode_head(OutputForm.CSV) + (
    b"a,1,succeeded,'=x,stop,1,1,,,true\r\n,2,canceled,,,0,0,batch_cancelled,the job was canceled,false\r\n"
)
_SIGNER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
_PUBLIC = _SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
_RELEASE: dict[str, object] = {"format": 1, "name": "a", "pcrs": {"0": "a" * 96, "16": "b" * 96}}
_SIGNED = json.dumps(_RELEASE | {"signature": sign(_RELEASE, _SIGNER)}).encode()
_OPENAI = (
    b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":'
    b'[{"role":"user","content":"Hi"}],"temperature":0.5,"stop":["a"]}}\n'
)
_SEALED_HEADER = codec.pack(["benefits", "nightly", samples.QUESTION_ARN, b"w" * 100, bytes(32)])
_SEALED_FILE = PREFIX.pack(b"SLFL", 1, len(_SEALED_HEADER)) + _SEALED_HEADER + bytes(16)

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
        model_manifest.parse_manifest,
        (ModelError,),
        (b'{"format":1,"name":"a","revision":"b","files":{"x":{"sha256":"' + b"0" * 64 + b'","size":1}}}',),
    ),
    "engine_greeting": Target(engine_wire.decode_greeting, (WireError,), (engine_wire.encode_greeting(_PROFILE),)),
    "engine_reply": Target(engine_wire.decode_reply, (WireError,), (engine_wire.encode_reply(_STEPPED),)),
    "release": Target(parse_release, (ReleaseError,), (b'{"format":1,"name":"a","pcrs":{"0":"' + b"a" * 96 + b'"}}',)),
    "model_feed": Target(
        model_feed.decode_reply,
        (WireError,),
        tuple(map(model_feed.encode_reply, (model_feed.Want("a", 0, 9), model_feed.Done(), model_feed.Refused("no")))),
    ),
    "signed_release": Target(lambda data: parse_release(data, _SIGNER.public_key()), (ReleaseError,), (_SIGNED,)),
    "public_key": Target(read_public_key, (SignatureRefused,), (_PUBLIC,)),
    "output_line": Target(read_line, (LineError,), (_LINE,)),
    "engine_step": Target(engine_wire.decode_step, (WireError,), (engine_wire.encode_step(_STEP),)),
    "engine_tokens": Target(engine_wire.decode_tokens, (WireError,), (engine_wire.encode_tokens([1, 2, 3]),)),
    "statement": Target(receipt.parse_statement, (), (receipt.key_statement(*(bytes([n]) * 32 for n in range(3))),)),
    "template": Target(template._parse, (ModelError,), (_TEMPLATE,)),
    "image": Target(image, (EifError,), (sample_image(),)),
    "roots": Target(load_roots, (ReleaseError,), (_ROOT.certificate.public_bytes(Encoding.PEM),)),
    "opening": Target(
        lambda data: parse_opening(data, "an opening"),
        (IntegrityError,),
        (b'{"salt":"' + b"00" * 32 + b'","results":["' + b"11" * 32 + b'"]}',),
    ),
    "silent": Target(
        lambda data: parse_silent(data, "silent.json"),
        (IntegrityError,),
        (b'[{"chunk":0,"first":0,"count":2,"outcome":"canceled","code":null}]',),
    ),
    "sealed_file": Target(read_header, (SealedFileError,), (_SEALED_FILE,)),
    "dead_letter": Target(letter, (), (encode_dead_letter("x", "not JSON").encode(),)),
    "questions_jsonl": Target(
        questions("jsonl"),
        (),
        (
            b'{"custom_id":"a","question":"How many days?"}\n{"custom_id":"b","question":"x","max_tokens":3}\n',
            _OPENAI,
        ),
    ),
    "questions_csv": Target(questions("csv"), (), (b'custom_id,question\n1,"How many, ""days""?"\n2,x\n',)),
    "output_row": Target(lambda data: list(read_rows(io.BytesIO(data), "a" * 16)), (LineError,), (_ROWS,)),
    "retries": Target(lambda data: parse_retries(data, "retries"), (IntegrityError,), (b'["' + b"a" * 16 + b'"]',)),
    "key_policy": Target(
        text(lambda data: lint_policy(data, "question")),
        (),
        (b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}',),
    ),
}
