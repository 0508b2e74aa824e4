"""Cuts a job's records into chunks: what is sealed together, sent as one message and answered as one object."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from producer.fields import text_bytes
from wire.envelope import MAX_PAYLOAD
from wire.messages import MAX_CHUNK_RECORDS
from wire.names import MAX_ARN
from wire.payload import Record

DEFAULT_RECORDS: Final = 32
DEFAULT_BYTES: Final = 256 * 1024 - 4
"""Bytes of a chunk's payload: with its length it fills a padding bucket and does not spill into the next."""
DEFAULT_WORK: Final = 16_384
"""Estimated tokens of a chunk, read and written: what an enclave holds up when it has to answer a chunk again."""

BYTES_A_TOKEN: Final = 4
"""A rough figure for European languages; it only balances chunks."""
UNSAID_MAX_TOKENS: Final = 256
"""The estimate of an answer's length where nobody named a limit."""

_PAYLOAD_OVERHEAD: Final = 128 + MAX_ARN
"""At least the bytes of a payload beside its records: three keys and digests of 32 bytes, the ARN, their prefixes."""
_RECORD_OVERHEAD: Final = 128
"""At least the bytes of a record beside its texts: numbers, parameters, problem code, prefixes."""
_TEXT_OVERHEAD: Final = 16
"""At least the bytes of a message beside its text: role and prefixes; the same for a stop text's prefix."""


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Where a chunk ends: records, bytes of payload, tokens of estimated work. One record always fits.

    Raises:
        ValueError: a limit is out of range.
    """

    records: int = DEFAULT_RECORDS
    bytes: int = DEFAULT_BYTES
    work: int = DEFAULT_WORK

    def __post_init__(self) -> None:
        if not 1 <= self.records <= MAX_CHUNK_RECORDS:
            raise ValueError(f"chunk size: 1 to {MAX_CHUNK_RECORDS} records")
        if not 1 <= self.bytes <= MAX_PAYLOAD // 2:
            raise ValueError(f"chunk bytes: 1 to {MAX_PAYLOAD // 2}")
        if self.work < 1:
            raise ValueError("chunk work: at least 1 token")


def split(records: Iterable[Record], limits: ChunkLimits) -> Iterator[tuple[Record, ...]]:
    """The records in their order, cut into chunks of at least one record each."""
    chunk: list[Record] = []
    size, work = _PAYLOAD_OVERHEAD, 0
    for record in records:
        text = _texts_size(record)
        more_size = _RECORD_OVERHEAD + text
        more_work = text // BYTES_A_TOKEN + (record.params.max_tokens or UNSAID_MAX_TOKENS)
        full = len(chunk) == limits.records or size + more_size > limits.bytes or work + more_work > limits.work
        if chunk and full:
            yield tuple(chunk)
            chunk = []
            size, work = _PAYLOAD_OVERHEAD, 0
        chunk.append(record)
        size += more_size
        work += more_work
    if chunk:
        yield tuple(chunk)


def _texts_size(record: Record) -> int:
    """An upper bound of the bytes that a record's texts take in the payload."""
    size = len(record.custom_id)
    for message in record.messages:
        size += text_bytes(message.content) + _TEXT_OVERHEAD
    for stop in record.params.stop:
        size += text_bytes(stop) + _TEXT_OVERHEAD
    return size
