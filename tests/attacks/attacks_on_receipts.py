"""What even the holder of an answer key, a colluding producer, cannot do: answer in the enclave's place."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hostile import Stage, Verdict, VictimJob
from receipt_factory import unsigned
from registry import attack

from devstack.nsm import SoftwareNsm
from devstack.root import DevelopmentRoot
from enclave_worker.identity import Identity
from enclave_worker.receipts import ReceiptSigner
from results_consumer.errors import Check
from wire import envelope, keys
from wire.commitments import question_root
from wire.envelope import SealedAnswers, parse_answers, parse_questions
from wire.manifest import decode_manifest
from wire.measurement import MODEL_PCR
from wire.payload import AnswerPayload
from wire.receipt import parse_receipt


@dataclass
class Forgery:
    """One record's answer forged with the true answer key, which its producer has."""

    stage: Stage
    job: VictimJob
    key: bytes
    true: SealedAnswers

    @classmethod
    def of(cls, stage: Stage) -> "Forgery":
        """A job that was answered truly, and the answer key as its maker knows it."""
        job = stage.answered(1)
        manifest = decode_manifest(stage.get(job.key("manifest")))
        keyset = manifest.keysets[0]
        context = keys.encryption_context("answer", job.tenant, job.ticket.job, keyset.image)
        from sealbatch.aws.clients import reader_kms

        reply = reader_kms(stage.config).decrypt(
            KeyId=keyset.answer_key_arn, CiphertextBlob=keyset.answer_wrapped, EncryptionContext=context
        )
        return cls(stage, job, reply["Plaintext"], parse_answers(stage.get(job.answers()[0])))

    def payload(self) -> AnswerPayload:
        """The true payload with another answer."""
        true = AnswerPayload.decode(self.true.open(self.key))
        return replace(true, results=(replace(true.results[0], text="You get nothing."),))

    def sealed(self) -> bytes:
        """The forged answer, sealed exactly as the enclave would."""
        return envelope.seal(self.true.header, self.key, self.payload().encode())

    def receipt(self, sealed: bytes, nsm: SoftwareNsm, **bent: Any) -> bytes:
        """A receipt for it, signed by a key that this NSM attests."""
        header, payload = self.true.header, self.payload()
        settings = parse_receipt(self.true.open_receipt(self.key)).receipt.settings
        signer = ReceiptSigner(nsm, Identity(header.image, "m", header.model, header.template, settings))
        attested = signer.attested()
        root = question_root(payload.salt, ())
        receipt = unsigned(sealed, payload.salt, payload.results, attested, settings=settings, question_root=root)
        return signer.sign(replace(receipt, **bent), attested.document)

    def refused(self, step: str, make: Callable[[bytes], bytes]) -> Verdict:
        """The forged answer with this receipt is refused at this step."""
        sealed = self.sealed()
        receipt = make(sealed)
        body = envelope.attach_receipt(sealed, self.key, receipt) if receipt else sealed
        self.stage.put(self.job.answers()[0], body)
        return self.stage.refused(self.job, Check.RECEIPT, step)


@attack("strip an answer's receipt")
def strip(stage: Stage) -> Verdict:
    """The object is cut behind the seal and its length mended."""
    job = stage.answered(1)
    data = stage.get(job.answers()[0])
    sealed = parse_answers(data)
    stage.put(job.answers()[0], data[: len(data) - len(sealed.receipt) - 4] + bytes(4))
    return stage.refused(job, Check.RECEIPT, "step 1 (present)")


@attack("move a receipt to another answer")
def move(stage: Stage) -> Verdict:
    """Of the same job, under the same answer key."""
    job = stage.answered()
    one, two = (stage.get(key) for key in job.answers())
    receipts = [parse_answers(data).receipt for data in (one, two)]
    stage.put(job.answers()[0], one.replace(receipts[0], receipts[1]))
    return stage.refused(job, Check.RECEIPT, "step 2 (seal)")


@attack("forge an answer without a receipt")
def forge_bare(stage: Stage) -> Verdict:
    """By the producer, who made the answer key."""
    return Forgery.of(stage).refused("step 1 (present)", lambda _: b"")


@attack("forge an answer with junk for a receipt")
def forge_junk(stage: Stage) -> Verdict:
    """Sealed as a receipt must be."""
    return Forgery.of(stage).refused("step 3 (form)", lambda _: os.urandom(600))


@attack("forge an answer with the true answer's receipt")
def forge_replayed(stage: Stage) -> Verdict:
    """Everything about it is true, but for what it was signed over."""
    forgery = Forgery.of(stage)
    return forgery.refused("step 18 (answers)", lambda _: forgery.true.open_receipt(forgery.key))


@attack("change a digest in a true receipt")
def forge_changed(stage: Stage) -> Verdict:
    """The digest of the answers, mended; the signature is over the old one."""
    forgery = Forgery.of(stage)

    def mend(sealed: bytes) -> bytes:
        receipt = forgery.true.open_receipt(forgery.key)
        return receipt.replace(parse_receipt(receipt).receipt.answers, envelope.body_digest(sealed))

    return forgery.refused("step 12 (signature)", mend)


def pcrs(stage: Stage, **changes: bytes) -> dict[int, bytes]:
    """The registers that the hypervisor sets for the stack's own image."""
    found = json.loads(stage.stack.release.read_text())["pcrs"]
    values = {int(index): bytes.fromhex(pcr) for index, pcr in found.items() if int(index) != MODEL_PCR}
    return values | {int(index): pcr for index, pcr in changes.items()}


@attack("sign a forged answer under a root of the parent's making")
def forge_root(stage: Stage) -> Verdict:
    """Its document says all that the true one says."""
    forgery = Forgery.of(stage)
    nsm = SoftwareNsm(DevelopmentRoot.create(), pcrs(stage))
    return forgery.refused("step 7 (chain)", lambda sealed: forgery.receipt(sealed, nsm))


@attack("sign a forged answer in a debug enclave")
def forge_debug(stage: Stage) -> Verdict:
    """The true hypervisor attests it, with a PCR0 of zeros."""
    forgery = Forgery.of(stage)
    nsm = SoftwareNsm(stage.root, pcrs(stage, **{"0": bytes(48)}))
    return forgery.refused("step 9 (not_debug)", lambda sealed: forgery.receipt(sealed, nsm))


@attack("sign a forged answer in an enclave of the parent's own")
def forge_image(stage: Stage) -> Verdict:
    """The true hypervisor attests it, with its own PCR0."""
    forgery = Forgery.of(stage)
    nsm = SoftwareNsm(stage.root, pcrs(stage, **{"0": bytes(47) + b"\1"}))
    return forgery.refused("step 14 (image)", lambda sealed: forgery.receipt(sealed, nsm))


@attack("claim another PCR0 than the document's")
def forge_pcrs(stage: Stage) -> Verdict:
    """The receipt says the true image, its document another one."""
    forgery = Forgery.of(stage)
    nsm = SoftwareNsm(stage.root, pcrs(stage, **{"0": bytes(47) + b"\1"}))
    true = pcrs(stage)
    said = tuple(true[index] for index in range(3))
    return forgery.refused("step 13 (measurements)", lambda sealed: forgery.receipt(sealed, nsm, pcrs=said))


@attack("sign with an attestation document of last week")
def forge_old(stage: Stage) -> Verdict:
    """A document from before the job, as of a key that leaked from an enclave that is gone."""
    forgery = Forgery.of(stage)
    nsm = SoftwareNsm(stage.root, pcrs(stage), lambda: datetime.now(UTC) - timedelta(hours=5))
    return forgery.refused("(certificate_time)", lambda sealed: forgery.receipt(sealed, nsm))


@attack("sign with a document that outlived its certificate")
def forge_expired(stage: Stage) -> Verdict:
    """The hypervisor's certificates end in thirty days; the document says a later time."""
    forgery = Forgery.of(stage)
    nsm = SoftwareNsm(stage.root, pcrs(stage), lambda: datetime.now(UTC) + timedelta(days=31))
    return forgery.refused("step 8 (certificate_time)", lambda sealed: forgery.receipt(sealed, nsm))


@attack("use a document that was made for KMS as one for a receipt key")
def forge_kms_document(stage: Stage) -> Verdict:
    """The enclave attests keys to KMS too; the parent sees those documents."""
    forgery = Forgery.of(stage)
    other = stage.submit(1)
    with stage.parent() as parent:
        parent.answer(other.works()[0])
        document = parent.unwraps[-1].document
    assert parse_questions(other.chunks()[0])

    class KmsDocument(SoftwareNsm):
        """Gives the enclave's document, whatever is asked."""

        def attest(self, **_: bytes | None) -> bytes:
            return document

    nsm = KmsDocument(stage.root, pcrs(stage))
    return forgery.refused("step 11 (key)", lambda sealed: forgery.receipt(sealed, nsm))
