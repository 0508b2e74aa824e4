"""The KMS stand-in over HTTP decides as AWS does: who calls, for what, under which measurements."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from asn1crypto import cms
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.nsm import SoftwareNsm
from devstack.provision import provisioned
from devstack.root import DevelopmentRoot
from enclave_worker.cms import open_recipient
from enclave_worker.measured import measure_model
from sealbatch.aws.clients import Connector
from sealbatch.config import load_config
from wire.keys import encryption_context
from wire.measurement import model_register

PCR0 = bytes(range(48))
IMAGE = PCR0.hex()
MODEL = hashlib.sha256(b"the manifest of a model").digest()
JOB = "abcdefghijklmnop"
QUESTION = encryption_context("question", "benefits", JOB, IMAGE)
ANSWER = encryption_context("answer", "benefits", JOB, IMAGE)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Cloud:
    """A stand-in with one tenant's resources, and KMS clients of each role."""

    folder: Path
    endpoint: str
    question_key: str
    answer_key: str
    bucket: str
    queue_url: str
    kms: dict[str, Any]
    root: DevelopmentRoot

    def document(self, pcr0: bytes = PCR0, public_key: bytes | None = PUBLIC, model: bytes | None = MODEL) -> bytes:
        """An attestation document of an enclave with that image, and a model whose manifest has that digest."""
        nsm = SoftwareNsm(self.root, {0: pcr0})
        if model is not None:
            measure_model(nsm, model)
        return nsm.attest(public_key=public_key, user_data=None, nonce=None)

    def wrapped(self, *, answer: bool = False) -> bytes:
        """A question key, or an answer key, as the producer gets it."""
        key, context = (self.answer_key, ANSWER) if answer else (self.question_key, QUESTION)
        reply = self.kms["producer"].generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
        blob: bytes = reply["CiphertextBlob"]
        return blob

    def decrypt(self, role: str, document: bytes | None, **changes: Any) -> dict[str, Any]:
        """Decrypt a question key as `role`, with what is changed."""
        request: dict[str, Any] = {"KeyId": self.question_key, "EncryptionContext": QUESTION}
        if document is not None:
            request["Recipient"] = {
                "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                "AttestationDocument": document,
            }
        request |= changes
        reply: dict[str, Any] = self.kms[role].decrypt(**({"CiphertextBlob": self.wrapped()} | request))
        return reply


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The process, provisioned from deploy/template.yaml."""
    folder = tmp_path_factory.mktemp("cloud")
    with provisioned(folder, image=IMAGE, model=model_register(MODEL).hex()) as aws:
        config = load_config(folder / "sealbatch.toml", (), {})
        found = config.resources
        kms = {role: Connector(config, f"sealbatch-{role}").client("kms") for role in ("producer", "reader", "bridge")}
        named = [found.question_key, found.answer_key, found.bucket, found.queue_url]
        question_key, answer_key, bucket, queue_url = (str(name) for name in named)
        root = DevelopmentRoot.load(folder)
        yield Cloud(folder, aws.endpoint(), question_key, answer_key, bucket, queue_url, kms, root)


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    """AWS's error code."""
    return str(caught.value.response["Error"]["Code"])


def test_the_attested_image_gets_the_key_for_itself_alone(cloud: Cloud) -> None:
    """CMS for the enclave's key, 493 bytes as AWS makes it, and no plaintext beside it."""
    made = cloud.kms["producer"].generate_data_key(
        KeyId=cloud.question_key, KeySpec="AES_256", EncryptionContext=QUESTION
    )
    reply = cloud.decrypt("bridge", cloud.document(), CiphertextBlob=made["CiphertextBlob"])
    assert "Plaintext" not in reply
    assert reply["KeyId"] == cloud.question_key
    sealed = reply["CiphertextForRecipient"]
    assert len(sealed) == 493
    assert open_recipient(KEY, sealed) == made["Plaintext"]
    info = cms.ContentInfo.load(sealed, strict=True)
    assert info["content_type"].native == "enveloped_data"
    assert len(info["content"]["recipient_infos"]) == 1


def test_an_image_that_the_policy_does_not_name_is_denied(cloud: Cloud) -> None:
    """AccessDenied, as in AWS."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", cloud.document(pcr0=b"\1" * 48))
    assert code(caught) == "AccessDeniedException"


@pytest.mark.parametrize("model", [None, hashlib.sha256(b"the manifest of another model").digest()])
def test_an_image_with_another_model_is_denied(cloud: Cloud, model: bytes | None) -> None:
    """The right image with a model that the policy does not name, or with none that it measured."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", cloud.document(model=model))
    assert code(caught) == "AccessDeniedException"


def test_a_call_without_a_document_is_denied(cloud: Cloud) -> None:
    """The parent's own credentials open nothing."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", None)
    assert code(caught) == "AccessDeniedException"


def test_a_document_under_another_root_is_refused(cloud: Cloud) -> None:
    """It is well made, and signed by nobody of account."""
    foreign = SoftwareNsm(DevelopmentRoot.create(), {0: PCR0})
    document = foreign.attest(public_key=PUBLIC, user_data=None, nonce=None)
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", document)
    assert code(caught) == "ValidationException"


@pytest.mark.parametrize("document", [b"garbage", b"\xd2\x84", bytes(20_000)])
def test_garbage_for_a_document_is_refused(cloud: Cloud, document: bytes) -> None:
    """It never counts as no document at all."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", document)
    assert code(caught) == "ValidationException"


def test_a_document_without_a_key_gets_none(cloud: Cloud) -> None:
    """There is nobody to encrypt for."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", cloud.document(public_key=None))
    assert code(caught) == "ValidationException"


@pytest.mark.parametrize("role", ["producer", "reader"])
def test_no_other_role_opens_questions(cloud: Cloud, role: str) -> None:
    """Not even with the enclave's document."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt(role, cloud.document())
    assert code(caught) == "AccessDeniedException"


@pytest.mark.parametrize("role", ["producer", "bridge"])
def test_no_other_role_opens_answers(cloud: Cloud, role: str) -> None:
    """The parent has no right at all on the answers key, attested or not."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt(
            role,
            cloud.document(),
            KeyId=cloud.answer_key,
            CiphertextBlob=cloud.wrapped(answer=True),
            EncryptionContext=ANSWER,
        )
    assert code(caught) == "AccessDeniedException"


def test_the_reader_opens_answers_of_its_tenant(cloud: Cloud) -> None:
    """With the right context, and with no other."""
    blob = cloud.wrapped(answer=True)
    reply = cloud.kms["reader"].decrypt(KeyId=cloud.answer_key, CiphertextBlob=blob, EncryptionContext=ANSWER)
    assert len(reply["Plaintext"]) == 32
    other = ANSWER | {"sealbatch:job": "bbbbbbbbbbbbbbbb"}
    with pytest.raises(ClientError) as caught:
        cloud.kms["reader"].decrypt(KeyId=cloud.answer_key, CiphertextBlob=blob, EncryptionContext=other)
    assert code(caught) == "InvalidCiphertextException"


@pytest.mark.parametrize(
    "context",
    [QUESTION | {"sealbatch:tenant": "other"}, QUESTION | {"sealbatch:purpose": "answer"}, {}],
)
def test_a_producer_makes_keys_for_its_tenant_and_purpose_alone(cloud: Cloud, context: dict[str, str]) -> None:
    """The tenant is the caller's own tag."""
    with pytest.raises(ClientError) as caught:
        cloud.kms["producer"].generate_data_key(KeyId=cloud.question_key, KeySpec="AES_256", EncryptionContext=context)
    assert code(caught) == "AccessDeniedException"


def test_a_key_for_another_image_is_not_opened_by_this_one(cloud: Cloud) -> None:
    """The image in the context and the attested one must be the same: an old release cannot be brought back."""
    context = QUESTION | {"sealbatch:image": "0" * 96}
    reply = cloud.kms["producer"].generate_data_key(
        KeyId=cloud.question_key, KeySpec="AES_256", EncryptionContext=context
    )
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", cloud.document(), CiphertextBlob=reply["CiphertextBlob"], EncryptionContext=context)
    assert code(caught) == "AccessDeniedException"


def test_the_key_that_is_named_is_the_key_that_decrypts(cloud: Cloud) -> None:
    """A ciphertext of the answers key does not pass as one of the questions key."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", cloud.document(), CiphertextBlob=cloud.wrapped(answer=True), EncryptionContext=ANSWER)
    assert code(caught) == "IncorrectKeyException"


@pytest.mark.parametrize("blob", [b"x", bytes(200)])
def test_a_ciphertext_that_is_none_is_invalid(cloud: Cloud, blob: bytes) -> None:
    """Not an internal error of the stand-in."""
    with pytest.raises(ClientError) as caught:
        cloud.decrypt("bridge", cloud.document(), CiphertextBlob=blob)
    assert code(caught) == "InvalidCiphertextException"


@pytest.mark.parametrize("role", ["producer", "reader", "bridge"])
def test_there_is_no_way_around_the_policy(cloud: Cloud, role: str) -> None:
    """ReEncrypt and grants are denied to everybody."""
    with pytest.raises(ClientError) as caught:
        cloud.kms[role].re_encrypt(
            CiphertextBlob=cloud.wrapped(), SourceEncryptionContext=QUESTION, DestinationKeyId=cloud.answer_key
        )
    assert code(caught) == "AccessDeniedException"
    with pytest.raises(ClientError) as caught:
        cloud.kms[role].create_grant(
            KeyId=cloud.question_key, GranteePrincipal="arn:aws:iam::123456789012:role/x", Operations=["Decrypt"]
        )
    assert code(caught) == "AccessDeniedException"


def test_calls_are_counted_by_operation(cloud: Cloud) -> None:
    """What tests of cost go by."""

    def counts() -> dict[str, int]:
        with urllib.request.urlopen(f"{cloud.endpoint}/_sealbatch/kms-calls", timeout=10) as reply:  # noqa: S310 - ours
            found: dict[str, int] = json.load(reply)
        return found

    before = counts()
    cloud.wrapped()
    assert counts()["GenerateDataKey"] == before["GenerateDataKey"] + 1


def test_what_we_rely_on_of_the_stand_in_is_so(cloud: Cloud) -> None:
    """S3's conditional writes answer 412; a received message is invisible, and visible again at 0."""
    session = boto3.session.Session("root", "root", region_name="eu-central-1")
    options = Config(retries={"total_max_attempts": 1})
    s3 = session.client("s3", endpoint_url=cloud.endpoint, config=options)
    s3.put_object(Bucket=cloud.bucket, Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=cloud.bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    sqs = session.client("sqs", endpoint_url=cloud.endpoint, config=options)
    sqs.send_message(QueueUrl=cloud.queue_url, MessageBody="m")
    message = sqs.receive_message(QueueUrl=cloud.queue_url, VisibilityTimeout=60)["Messages"][0]
    assert not sqs.receive_message(QueueUrl=cloud.queue_url, WaitTimeSeconds=0).get("Messages")
    sqs.change_message_visibility(QueueUrl=cloud.queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert sqs.receive_message(QueueUrl=cloud.queue_url, WaitTimeSeconds=0)["Messages"]
    redrive = sqs.get_queue_attributes(QueueUrl=cloud.queue_url, AttributeNames=["RedrivePolicy"])["Attributes"]
    assert json.loads(redrive["RedrivePolicy"])["maxReceiveCount"] == 20
