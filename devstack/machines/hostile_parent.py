"""A parent that wants a key out of KMS: it has an enclave attest, and takes the document to KMS itself.

The enclave attests for a chunk that names its own image. What is in the chunk does not matter: it is not opened.
"""

import os
from typing import Any, Final

import cbor2
from botocore.exceptions import ClientError

from devstack.provision import TENANT
from sealbatch.aws.clients import Connector
from sealbatch.config import Config
from wire import messages
from wire.address import Address
from wire.envelope import seal
from wire.errors import MessageError
from wire.header import QuestionHeader
from wire.keys import encryption_context
from wire.messages import Ready, Unwrap, UnwrapCode, UnwrapRefused, Work
from wire.stream import connect
from wire.ticket import new_job_id

PATIENCE: Final = 120.0


def document_of(address: Address, key_arn: str) -> bytes:
    """An attestation document that the enclave made for KMS.

    Raises:
        StreamError: nobody is there, or it takes too long. MessageError: it does not attest.
    """
    with connect(address, PATIENCE) as stream:
        ready = messages.decode(stream.receive(PATIENCE) or b"")
        if not isinstance(ready, Ready):
            raise MessageError("an enclave says first that it is ready")
        header = QuestionHeader(
            tenant=TENANT,
            job=new_job_id(),
            image=ready.image,
            chunk=0,
            first=0,
            count=1,
            key_arn=key_arn,
            wrapped=os.urandom(64),
        )
        sealed = seal(header, os.urandom(32), b"nothing")
        stream.send(messages.encode(Work(1, 0, 1, sealed)))
        while body := stream.receive(PATIENCE):
            if isinstance(message := messages.decode(body), Unwrap):
                stream.send(messages.encode(UnwrapRefused(message.request, UnwrapCode.UNAVAILABLE)))
                return message.document
    raise MessageError("the enclave hung up before it attested")


def registers(document: bytes) -> dict[int, bytes]:
    """The registers that a document states; whoever relies on them verifies it first."""
    found: dict[int, bytes] = cbor2.loads(cbor2.loads(document)[2])["pcrs"]
    return found


def ask_kms(config: Config, image: str, document: bytes) -> str:
    """What KMS gives for a document and a question key that is meant for `image` (PCR0): `key`, or its error's code."""
    key, profiles = config.resources.question_key, config.resources.profiles
    context = encryption_context("question", TENANT, new_job_id(), image)
    producer: Any = Connector(config, profiles.producer).client("kms")
    wrapped = producer.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)["CiphertextBlob"]
    bridge: Any = Connector(config, profiles.bridge).client("kms")
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}
    try:
        reply = bridge.decrypt(KeyId=key, CiphertextBlob=wrapped, EncryptionContext=context, Recipient=recipient)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "key" if reply["CiphertextForRecipient"] and not reply.get("Plaintext") else "no key"
