"""A job's manifest and its pages of chunk entries.

The manifest is `"SBMF" | version u8 | body length u32 | body | HMAC-SHA256 32`, numbers big-endian, body in strict
msgpack. It is written once. A ticket pins its digest; the HMAC, under a key derived from the first answer key, shows
a reader without a ticket's history that the maker of that key made it. Pages hold `PAGE_ENTRIES` entries each, the
last fewer; the manifest has the Merkle root over all entries' encodings (`wire.merkle`).
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wire import keys
from wire.codec import Value, pack
from wire.errors import ManifestError
from wire.fields import Fields
from wire.messages import MAX_CHUNK, MAX_RECORD, MAX_WRAPPED
from wire.names import IMAGE, JOB, KEY_ARN, TENANT
from wire.ticket import DIGEST_BYTES, Ticket

MAGIC: Final = b"SBMF"
VERSION: Final = 1
MAC_SIZE: Final = 32
MAX_MANIFEST: Final = 4 * 1024 * 1024
MAX_KEYSETS: Final = 256
MAX_NAME: Final = 128
MAX_RANGES: Final = 262_144
"""Ranges of records that a job may repeat; they have to fit into the manifest, too."""
PAGE_ENTRIES: Final = 4096
MAX_PAGE: Final = 512 * 1024
"""Largest page in bytes: 4096 entries of at most 64 bytes take half of it."""

_PREFIX: Final = struct.Struct(">4sBI")


@dataclass(frozen=True, slots=True)
class Keyset:
    """A question key and an answer key of one sealing process, each wrapped by its KMS key for `image`."""

    image: str
    question_key_arn: str
    question_wrapped: bytes
    answer_key_arn: str
    answer_wrapped: bytes


@dataclass(frozen=True, slots=True)
class Retry:
    """What a job repeats: records of the job that `job` and `digest` make a ticket of.

    They are ascending (first, count) without overlap; its own records are those, in the same order.
    """

    job: str
    digest: bytes
    ranges: tuple[tuple[int, int], ...]

    @property
    def parent(self) -> Ticket:
        """The ticket of the repeated job."""
        return Ticket(self.job, self.digest)

    @property
    def records(self) -> int:
        """How many records that are."""
        return sum(count for _, count in self.ranges)

    @property
    def end(self) -> int:
        """The parent's first record behind all that are repeated."""
        return sum(self.ranges[-1])

    def numbers(self) -> Iterator[int]:
        """The numbers that the records have in the parent, in their order."""
        return (number for first, count in self.ranges for number in range(first, first + count))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the submitter asked of the whole job; times in milliseconds since 1970, UTC."""

    name: str = ""
    deadline_ms: int | None = None
    not_before_ms: int | None = None
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A job's header: `records` in `chunks`, listed on `pages`, under `keysets`."""

    tenant: str
    job: str
    created_ms: int
    records: int
    chunks: int
    pages: int
    keysets: tuple[Keyset, ...]
    root: bytes
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """One chunk: its records, the index of its keyset, and the SHA-256 of its sealed question object."""

    chunk: int
    first: int
    count: int
    keyset: int
    digest: bytes

    def encode(self) -> bytes:
        """The leaf of the Merkle tree."""
        return pack(self)


def manifest_digest(data: bytes) -> bytes:
    """What a ticket holds of a manifest: the first 16 bytes of the SHA-256 of all its bytes."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def encode_manifest(manifest: Manifest, answer_key: bytes) -> bytes:
    """The manifest with its HMAC; `answer_key` is the plain answer key of the first keyset.

    Raises:
        ValueError: our own misuse: a field that `decode_manifest` would refuse.
    """
    body = pack(manifest)
    signed = _PREFIX.pack(MAGIC, VERSION, len(body)) + body
    data = signed + keys.manifest_mac(answer_key, manifest.job, signed)
    try:
        decode_manifest(data)
    except ManifestError as error:
        raise ValueError(str(error)) from None
    return data


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in `data`, its HMAC unchecked: enough for whoever has compared `manifest_digest` with a ticket.

    Raises:
        ManifestError: the bytes are not exactly one manifest within the limits.
    """
    if not _PREFIX.size + MAC_SIZE <= len(data) <= MAX_MANIFEST:
        raise ManifestError("manifest: cut off or too large")
    magic, version, size = _PREFIX.unpack_from(data)
    if magic != MAGIC or version != VERSION or _PREFIX.size + size + MAC_SIZE != len(data):
        raise ManifestError("manifest: not of this format or version, or cut off")
    body = data[_PREFIX.size : -MAC_SIZE]
    with Fields.parse(body, max_size=MAX_MANIFEST, error=ManifestError, what="manifest") as fields:
        manifest = Manifest(
            tenant=fields.shaped("tenant", TENANT),
            job=fields.shaped("job", JOB),
            created_ms=fields.number("created_ms"),
            records=fields.number("records", low=1, high=MAX_RECORD),
            chunks=fields.number("chunks", low=1, high=MAX_CHUNK),
            pages=fields.number("pages", low=1, high=MAX_CHUNK),
            keysets=tuple(_read_keyset(value) for value in fields.array("keysets", longest=MAX_KEYSETS)),
            root=fields.data("root", size=32),
            parameters=_read_parameters(fields.take("parameters")),
        )
    retry = manifest.parameters.retry
    wrong = retry is not None and retry.records != manifest.records
    if wrong or not manifest.keysets or manifest.pages != -(-manifest.chunks // PAGE_ENTRIES):
        raise ManifestError("manifest: counts do not agree")
    return manifest


def verify_manifest(data: bytes, answer_key: bytes) -> Manifest:
    """The manifest in `data`, its HMAC checked with the plain answer key of the first keyset.

    Raises:
        ManifestError: the bytes are not exactly one manifest, or the HMAC is not that key's.
    """
    manifest = decode_manifest(data)
    expected = keys.manifest_mac(answer_key, manifest.job, data[:-MAC_SIZE])
    if not hmac.compare_digest(expected, data[-MAC_SIZE:]):
        raise ManifestError("manifest: not authentic")
    return manifest


def encode_page(entries: tuple[ChunkEntry, ...]) -> bytes:
    """A page of 1 to `PAGE_ENTRIES` entries, in the order of their chunks."""
    if not 0 < len(entries) <= PAGE_ENTRIES:
        raise ValueError(f"a page has 1 to {PAGE_ENTRIES} entries")
    return pack([VERSION, entries])


def decode_page(data: bytes) -> tuple[ChunkEntry, ...]:
    """The entries of a page.

    Raises:
        ManifestError: the bytes are not exactly one page within the limits.
    """
    with Fields.parse(data, max_size=MAX_PAGE, error=ManifestError, what="page") as fields:
        fields.number("version", low=VERSION, high=VERSION)
        entries = tuple(_read_entry(value) for value in fields.array("entries", longest=PAGE_ENTRIES))
    if not entries:
        raise ManifestError("page: has no entry")
    return entries


def _read_entry(value: Value) -> ChunkEntry:
    with Fields(value, ManifestError, "page entry") as fields:
        return ChunkEntry(
            chunk=fields.number("chunk", high=MAX_CHUNK),
            first=fields.number("first", high=MAX_RECORD),
            count=fields.number("count", low=1, high=MAX_RECORD),
            keyset=fields.number("keyset", high=MAX_KEYSETS - 1),
            digest=fields.data("digest", size=32),
        )


def _read_keyset(value: Value) -> Keyset:
    with Fields(value, ManifestError, "keyset") as fields:
        return Keyset(
            image=fields.shaped("image", IMAGE),
            question_key_arn=fields.shaped("question_key_arn", KEY_ARN),
            question_wrapped=fields.data("question_wrapped", longest=MAX_WRAPPED),
            answer_key_arn=fields.shaped("answer_key_arn", KEY_ARN),
            answer_wrapped=fields.data("answer_wrapped", longest=MAX_WRAPPED),
        )


def _read_parameters(value: Value) -> Parameters:
    with Fields(value, ManifestError, "parameters") as fields:
        return Parameters(
            name=fields.text("name", longest=MAX_NAME),
            deadline_ms=fields.optional_number("deadline_ms"),
            not_before_ms=fields.optional_number("not_before_ms"),
            retry=None if fields.nil() else _read_retry(fields.take("retry")),
        )


def _read_retry(value: Value) -> Retry:
    with Fields(value, ManifestError, "retry") as fields:
        job, digest = fields.shaped("job", JOB), fields.data("digest", size=DIGEST_BYTES)
        ranges: list[tuple[int, int]] = []
        end = 0
        for item in fields.array("ranges", longest=MAX_RANGES):
            with Fields(item, ManifestError, "retry range") as span:
                first = span.number("first", low=end, high=MAX_RECORD)
                count = span.number("count", low=1, high=MAX_RECORD)
            ranges.append((first, count))
            end = first + count
        return Retry(job, digest, tuple(ranges))
