"""SQS, S3 and KMS in memory, for simulated processes, with the faults that a network and AWS have.

What is checked here, at the moment that it happens: no message is deleted before each of its records has a durable
outcome, and nothing that is stored or sent holds plaintext.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from botocore.response import StreamingBody
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from simulated.runtime import Process, Simulation

from devstack.cms import envelop
from results_consumer.attestation import verify_document
from wire import ledger
from wire.ledger import ChunkMessage

PAGE = 25
"""Names a page of a listing: small, so that there are pages, and more than there are of one chunk."""
ERRORS = {"unavailable": ("ServiceUnavailable", 503), "throttle": ("SlowDown", 503), "conflict": ("Conflict", 409)}
KINDS = ("refuse", "drop", *ERRORS, "die", "die_after")
"""`drop` and `die_after` let the request take effect first; those that die take their process with them."""


@dataclass
class Fault:
    """What the next requests of an operation meet."""

    operation: str
    kind: str
    times: int = 1


@dataclass
class Stored:
    """A message in the queue."""

    body: str
    sent_ms: int
    visible_at: float
    receives: int = 0
    receipts: list[str] = field(default_factory=list)


class Cloud:
    """One queue, one bucket and the keys. A process uses it by `Aws`."""

    def __init__(self, sim: Simulation, root: Any, canary: str) -> None:
        self.sim = sim
        self.root = root
        self.canary = canary
        self.objects: dict[str, bytes] = {}
        self.messages: dict[int, Stored] = {}
        self.keys: dict[bytes, tuple[str, dict[str, str], bytes]] = {}
        self.faults: list[Fault] = []
        self.deny = False
        self.broken: list[str] = []
        self.met = 0
        self._numbers = 0

    def number(self) -> int:
        """A fresh one."""
        self._numbers += 1
        return self._numbers

    def look(self, data: bytes | str) -> None:
        """Nothing in the clear may pass here."""
        text = data.encode() if isinstance(data, str) else data
        if self.canary.encode() in text or self.canary[::-1].encode() in text:
            self.broken.append("plaintext outside the enclave and the clients")

    def visible(self) -> list[int]:
        """Messages that can be received now."""
        return [number for number, stored in self.messages.items() if stored.visible_at <= self.sim.now]

    def durable(self, chunk: ChunkMessage) -> bool:
        """Whether each record of a chunk has an outcome that will stay."""
        now_ms = int((self.sim.epoch + self.sim.now) * 1000)
        if chunk.deadline_ms is not None and now_ms >= chunk.deadline_ms:
            return True
        left = set(range(chunk.first, chunk.first + chunk.count))
        for prefix in (ledger.answer_prefix, ledger.failure_prefix):
            start = f"{prefix(chunk.tenant, chunk.job)}{chunk.chunk:08d}."
            for key in self.objects:
                if key.startswith(start):
                    name = ledger.parse_answer_name(key.rpartition("/")[2])
                    left -= set(range(name.first, name.first + name.count))
        return not left


class Aws:
    """The three clients of one process, in one object."""

    def __init__(self, cloud: Cloud, process: Process) -> None:
        self._cloud = cloud
        self._process = process

    def _call(self, operation: str, effect: Callable[[], Any]) -> Any:
        cloud, sim = self._cloud, self._cloud.sim
        sim.check()
        fault = next((one for one in cloud.faults if one.times and one.operation == operation), None)
        if fault is None:
            return effect()
        fault.times -= 1
        cloud.met += 1
        if fault.kind in {"drop", "die_after"}:
            effect()
        if fault.kind.startswith("die"):
            sim.kill(self._process)
        if fault.kind == "refuse":
            raise EndpointConnectionError(endpoint_url="simulated")
        if fault.kind == "drop":
            raise ConnectionClosedError(endpoint_url="simulated")
        raise _error(operation, *ERRORS[fault.kind])

    # S3

    def put_object(self, **request: Any) -> Any:
        """PutObject, with IfNoneMatch."""
        key, body = request["Key"], request["Body"]
        self._cloud.look(body)

        def effect() -> Any:
            if request.get("IfNoneMatch") == "*" and key in self._cloud.objects:
                raise _error("PutObject", "PreconditionFailed", 412)
            self._cloud.objects[key] = body
            return {}

        return self._call("PutObject", effect)

    def get_object(self, **request: Any) -> Any:
        """GetObject."""

        def effect() -> Any:
            body = self._cloud.objects.get(request["Key"])
            if body is None:
                raise _error("GetObject", "NoSuchKey", 404)
            return {"Body": StreamingBody(io.BytesIO(body), len(body))}

        return self._call("GetObject", effect)

    def delete_objects(self, **request: Any) -> Any:
        """DeleteObjects."""

        def effect() -> Any:
            for item in request["Delete"]["Objects"]:
                self._cloud.objects.pop(item["Key"], None)
            return {}

        return self._call("DeleteObjects", effect)

    def list_objects_v2(self, **request: Any) -> Any:
        """ListObjectsV2, in small pages."""

        def effect() -> Any:
            behind = request.get("ContinuationToken", "")
            found = sorted(key for key in self._cloud.objects if key.startswith(request["Prefix"]) and key > behind)
            page = found[:PAGE]
            dated = [{"Key": key, "LastModified": datetime.fromtimestamp(0, UTC)} for key in page]
            if not page:
                return {"IsTruncated": False}
            return {"Contents": dated, "IsTruncated": len(found) > len(page), "NextContinuationToken": page[-1]}

        return self._call("ListObjectsV2", effect)

    # SQS

    def send_message_batch(self, **request: Any) -> Any:
        """SendMessageBatch."""

        def effect() -> Any:
            for entry in request["Entries"]:
                self._cloud.look(entry["MessageBody"])
                now_ms = int((self._cloud.sim.epoch + self._cloud.sim.now) * 1000)
                self._cloud.messages[self._cloud.number()] = Stored(entry["MessageBody"], now_ms, 0.0)
            return {}

        return self._call("SendMessageBatch", effect)

    def receive_message(self, **request: Any) -> Any:
        """ReceiveMessage: a long poll."""
        cloud = self._cloud
        cloud.sim.wait(lambda: bool(cloud.visible()), request["WaitTimeSeconds"])

        def effect() -> Any:
            numbers = cloud.visible()
            cloud.sim.dice.shuffle(numbers)  # SQS keeps no order
            found = []
            for number in numbers[: request["MaxNumberOfMessages"]]:
                stored = cloud.messages[number]
                stored.receives += 1
                stored.visible_at = cloud.sim.now + request["VisibilityTimeout"]
                stored.receipts.append(f"{number}:{stored.receives}")
                attributes = {"ApproximateReceiveCount": str(stored.receives), "SentTimestamp": str(stored.sent_ms)}
                found.append(
                    {
                        "MessageId": str(number),
                        "ReceiptHandle": stored.receipts[-1],
                        "Body": stored.body,
                        "Attributes": attributes,
                    }
                )
            return {"Messages": found} if found else {}

        return self._call("ReceiveMessage", effect)

    def delete_message(self, **request: Any) -> Any:
        """DeleteMessage, also by the receipt of an earlier receive, as SQS may."""

        def effect() -> Any:
            number = int(request["ReceiptHandle"].partition(":")[0])
            stored = self._cloud.messages.pop(number, None)
            if stored is not None:
                chunk = ledger.parse_chunk_message(stored.body)
                if not self._cloud.durable(chunk):
                    self._cloud.broken.append(f"chunk {chunk.chunk} was acknowledged before it was durable")
            return {}

        return self._call("DeleteMessage", effect)

    def change_message_visibility_batch(self, **request: Any) -> Any:
        """ChangeMessageVisibilityBatch, by the newest receipt only."""

        def effect() -> Any:
            failed = []
            for entry in request["Entries"]:
                stored = self._cloud.messages.get(int(entry["ReceiptHandle"].partition(":")[0]))
                if stored is None or stored.receipts[-1] != entry["ReceiptHandle"]:
                    failed.append({"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid"})
                else:
                    stored.visible_at = self._cloud.sim.now + entry["VisibilityTimeout"]
            return {"Failed": failed}

        return self._call("ChangeMessageVisibilityBatch", effect)

    def get_queue_attributes(self, **_: Any) -> Any:
        """GetQueueAttributes: the depths."""
        seen = len(self._cloud.visible())
        depths = {
            "ApproximateNumberOfMessages": str(seen),
            "ApproximateNumberOfMessagesNotVisible": str(len(self._cloud.messages) - seen),
            "ApproximateNumberOfMessagesDelayed": "0",
            "MessageRetentionPeriod": "604800",
        }
        return self._call("GetQueueAttributes", lambda: {"Attributes": depths})

    # KMS

    def generate_data_key(self, **request: Any) -> Any:
        """GenerateDataKey."""

        def effect() -> Any:
            name, key = os.urandom(64), os.urandom(32)
            self._cloud.keys[name] = (request["KeyId"], request["EncryptionContext"], key)
            return {"KeyId": request["KeyId"], "CiphertextBlob": name, "Plaintext": key}

        return self._call("GenerateDataKey", effect)

    def decrypt(self, **request: Any) -> Any:
        """Decrypt; with a Recipient, for the public key of an attestation document that verifies."""

        def effect() -> Any:
            if self._cloud.deny:
                raise _error("Decrypt", "AccessDeniedException", 400)
            arn, context, key = self._cloud.keys.get(request["CiphertextBlob"], ("", {}, b""))
            if (arn, context) != (request["KeyId"], request["EncryptionContext"]):
                raise _error("Decrypt", "InvalidCiphertextException", 400)
            if "Recipient" not in request:
                return {"KeyId": arn, "Plaintext": key}
            document = verify_document(request["Recipient"]["AttestationDocument"], [self._cloud.root])
            public = load_der_public_key(document.public_key or b"")
            assert isinstance(public, RSAPublicKey)
            return {"KeyId": arn, "CiphertextForRecipient": envelop(key, public)}

        return self._call("Decrypt", effect)


def _error(operation: str, code: str, status: int) -> ClientError:
    response = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)  # type: ignore[arg-type]
