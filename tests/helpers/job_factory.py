"""Makes whole jobs for tests of the reader: real KMS keys, real seals, real objects, and any of them bent on demand."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
from botocore.config import Config
from memory_aws import ACCOUNT, MemoryKms, MemoryS3
from receipt_factory import CREATED_MS, TRUST, make_receipt

from results_consumer.settings import ReaderSettings
from wire import envelope, keys, ledger, manifest, merkle, payload, ticket
from wire.header import AnswerHeader

TENANT = "benefits"
IMAGE = "0123456789abcdef" * 6
MODEL = bytes([8]) * 32
TEMPLATE = bytes([9]) * 32
SALT = bytes([7]) * 32


@dataclass(frozen=True)
class Aws:
    """Clients of a moto server, and the two keys and the bucket that a reader needs."""

    s3: Any
    kms: Any
    settings: ReaderSettings


def client(endpoint: str, service: str) -> Any:
    """A client that tries once and waits briefly: tests cause their own failures."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=5, read_timeout=20),
    )


def memory_aws() -> Aws:
    """The same without a server."""
    return Aws(MemoryS3(), MemoryKms(), ReaderSettings(TENANT, "sealed", ACCOUNT + "a", ACCOUNT + "b", TRUST))


def make_aws(endpoint: str) -> Aws:
    """A bucket and two keys that no other test has, at a moto server."""
    s3, kms = client(endpoint, "s3"), client(endpoint, "kms")
    bucket = f"sealed-{secrets.token_hex(8)}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    arns = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    return Aws(s3, kms, ReaderSettings(TENANT, bucket, *arns, TRUST))


@dataclass
class MadeJob:
    """A job as a producer leaves it, and an enclave's side that can answer it, truly or not."""

    aws: Aws
    job: str
    spans: list[tuple[int, int]]
    keysets: list[manifest.Keyset]
    answer_keys: list[bytes]
    entries: list[manifest.ChunkEntry] = field(default_factory=list)
    parameters: manifest.Parameters = field(default_factory=manifest.Parameters)
    encoded: bytes = b""

    @property
    def ticket(self) -> ticket.Ticket:
        """What submit would print."""
        return ticket.Ticket(self.job, manifest.manifest_digest(self.encoded))

    @property
    def records(self) -> int:
        """Records of the job."""
        return sum(count for _, count in self.spans)

    def made_manifest(self) -> manifest.Manifest:
        """The manifest over the entries."""
        tree = merkle.MerkleTree()
        for entry in self.entries:
            tree.append(entry.encode())
        pages = -(-len(self.entries) // manifest.PAGE_ENTRIES)
        counts = (CREATED_MS, self.records, len(self.entries), pages)
        return manifest.Manifest(TENANT, self.job, *counts, tuple(self.keysets), tree.root(), self.parameters)

    def put_manifest(self, made: manifest.Manifest | None = None) -> None:
        """Upload the manifest and its pages; the ticket is of what was uploaded last."""
        self.encoded = manifest.encode_manifest(made or self.made_manifest(), self.answer_keys[0])
        for page, start in enumerate(range(0, len(self.entries), manifest.PAGE_ENTRIES)):
            entries = tuple(self.entries[start : start + manifest.PAGE_ENTRIES])
            self.put(ledger.page_key(TENANT, self.job, page), manifest.encode_page(entries))
        self.put(ledger.manifest_key(TENANT, self.job), self.encoded)

    def results(self, first: int, count: int) -> tuple[payload.Result, ...]:
        """A succeeded result for each record: number n stands on line n + 1 with custom_id case-n."""
        return tuple(
            payload.Result(n, n + 1, f"case-{n}", payload.Outcome.SUCCEEDED, f"Answer {n}.", "stop", 10, 4)
            for n in range(first, first + count)
        )

    def seal(
        self,
        chunk: int,
        first: int | None = None,
        count: int | None = None,
        *,
        results: tuple[payload.Result, ...] | None = None,
        key: bytes | None = None,
        plaintext: bytes | None = None,
        receipt: dict[str, Any] | None = None,
        **bent: Any,
    ) -> bytes:
        """Sealed answers to a chunk, or to a range of it; whatever is named in `bent` goes into the header instead.

        `receipt` does the same to the receipt; `{"none": True}` leaves it out.
        """
        entry = self.entries[chunk]
        first, count = entry.first if first is None else first, entry.count if count is None else count
        keyset = self.keysets[entry.keyset]
        context = keys.encryption_context("answer", TENANT, self.job, keyset.image)
        made = payload.AnswerPayload("test-bloom", SALT, self.results(first, count) if results is None else results)
        header: dict[str, Any] = {
            "tenant": TENANT,
            "job": self.job,
            "image": keyset.image,
            "chunk": chunk,
            "first": first,
            "count": count,
            "key_arn": keyset.answer_key_arn,
            "wrapped_digest": keys.wrapped_digest(keyset.answer_key_arn, context, keyset.answer_wrapped),
            "question_digest": entry.digest,
            "model": MODEL,
            "template": TEMPLATE,
        }
        body = made.encode() if plaintext is None else plaintext
        key = key or self.answer_keys[entry.keyset]
        sealed = envelope.seal(AnswerHeader(**(header | bent)), key, body)
        if receipt == {"none": True}:
            return sealed
        return envelope.attach_receipt(sealed, key, make_receipt(sealed, SALT, made.results, **(receipt or {})))

    def name(self, chunk: int, first: int | None = None, count: int | None = None) -> str:
        """The key of answers to a chunk or a range of it."""
        entry = self.entries[chunk]
        span = (entry.first if first is None else first, entry.count if count is None else count)
        return ledger.answer_key(TENANT, self.job, chunk, *span)

    def answer(self, chunk: int, first: int | None = None, count: int | None = None, **bent: Any) -> str:
        """Put sealed answers to a chunk or a range of it where they belong; the key."""
        name = self.name(chunk, first, count)
        self.put(name, self.seal(chunk, first, count, **bent))
        return name

    def answer_all(self) -> None:
        """Answer every chunk."""
        for entry in self.entries:
            self.answer(entry.chunk)

    def fail(self, chunk: int, first: int, count: int, code: str = "decrypt_failed") -> None:
        """Say, as the bridge does, that records will have no answer."""
        body = ledger.encode_note(ledger.Failure(code, CREATED_MS))
        self.put(ledger.failure_key(TENANT, self.job, chunk, first, count), body)

    def notice(self, code: str, at_ms: int) -> None:
        """Say, as the bridge does, why the job does not move."""
        note = ledger.Notice(code, IMAGE, self.aws.settings.question_key, at_ms)
        self.put(ledger.notice_key(TENANT, self.job), ledger.encode_note(note))

    def put(self, key: str, body: bytes) -> None:
        """Write an object, over another one too: the attacker may."""
        self.aws.s3.put_object(Bucket=self.aws.settings.bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        """Read an object."""
        body: bytes = self.aws.s3.get_object(Bucket=self.aws.settings.bucket, Key=key)["Body"].read()
        return body

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.aws.s3.delete_object(Bucket=self.aws.settings.bucket, Key=key)


def make_job(aws: Aws, *counts: int, keysets: int = 1, parameters: manifest.Parameters | None = None) -> MadeJob:
    """A submitted job with a chunk for each of `counts`, chunks taking turns among the keysets."""
    made = MadeJob(aws, ticket.new_job_id(), [], [], [], parameters=parameters or manifest.Parameters())
    for number in range(keysets):
        _add_keyset(made, IMAGE[number:] + IMAGE[:number])
    first = 0
    for chunk, count in enumerate(counts):
        digest = hashlib.sha256(f"{made.job} {chunk}".encode()).digest()
        made.entries.append(manifest.ChunkEntry(chunk, first, count, chunk % keysets, digest))
        made.spans.append((first, count))
        first += count
    made.put_manifest()
    return made


def rebuilt(made: MadeJob, **changes: Any) -> None:
    """Put a manifest with some fields changed; its HMAC and ticket are right, as a hostile producer could make them."""
    made.put_manifest(replace(made.made_manifest(), **changes))


def parse_lines(data: bytes) -> list[Any]:
    """The values of JSON lines."""
    return [json.loads(line) for line in data.splitlines()]


def _add_keyset(made: MadeJob, image: str) -> None:
    settings, replies = made.aws.settings, []
    for purpose, arn in (("question", settings.question_key), ("answer", settings.answer_key)):
        context = keys.encryption_context(purpose, TENANT, made.job, image)  # type: ignore[arg-type]
        replies.append(made.aws.kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=context))
    wrapped = [reply["CiphertextBlob"] for reply in replies]
    made.keysets.append(manifest.Keyset(image, settings.question_key, wrapped[0], settings.answer_key, wrapped[1]))
    made.answer_keys.append(replies[1]["Plaintext"])
