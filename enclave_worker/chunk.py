"""From a piece of work to the records in it: parse, check, unwrap, open, check again."""

from dataclasses import dataclass

from enclave_worker.keyring import Courier, Keyring
from enclave_worker.refused import ChunkRefused
from wire.envelope import parse_questions
from wire.errors import MessageError, SealError
from wire.header import QuestionHeader
from wire.messages import RefusalCode, Work
from wire.payload import QuestionPayload, Record


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """The records `first` to `first + count - 1` of an authentic chunk, and what their answers are bound to."""

    header: QuestionHeader
    digest: bytes
    question_key: bytes
    payload: QuestionPayload
    first: int
    count: int

    @property
    def records(self) -> tuple[Record, ...]:
        """The records that are asked for."""
        start = self.first - self.header.first
        return self.payload.records[start : start + self.count]


def open_chunk(work: Work, image: str, keyring: Keyring, courier: Courier) -> OpenChunk:
    """Open a piece of work that is meant for this `image`.

    Raises:
        ChunkRefused: it is malformed, not for this image, does not open, or there is no key.
        CourierLost: the connection ended. AttestorError: there is no attestation document.
    """
    try:
        sealed = parse_questions(work.sealed)
    except SealError:
        raise ChunkRefused(RefusalCode.MALFORMED) from None
    header = sealed.header
    if header.image != image:
        raise ChunkRefused(RefusalCode.WRONG_IMAGE)
    if work.first < header.first or work.first + work.count > header.first + header.count:
        raise ChunkRefused(RefusalCode.MALFORMED)
    try:
        opened = keyring.open(sealed, courier)
        payload = QuestionPayload.decode(opened.payload)
    except SealError:
        raise ChunkRefused(RefusalCode.UNSEAL_FAILED) from None
    except MessageError:
        raise ChunkRefused(RefusalCode.MALFORMED) from None
    numbers = [record.number for record in payload.records]
    if numbers != list(range(header.first, header.first + header.count)):
        raise ChunkRefused(RefusalCode.MALFORMED)
    return OpenChunk(header, sealed.digest, opened.key, payload, work.first, work.count)
