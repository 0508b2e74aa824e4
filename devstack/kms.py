"""KMS as enclaves need it, in front of moto's: it verifies attestation documents and enforces key policies.

moto ignores `Recipient` and returns the plaintext, and it ignores policies. Here a call is decided as in AWS: who
calls, with what encryption context, under which attested measurements; and whoever asks for an enclave gets CMS for the
enclave's key, never a `Plaintext` beside it. Only calls that the policy allows are answered, with moto's own keys.
"""

import base64
import binascii
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from moto.core.exceptions import JsonRESTError
from moto.kms.models import Key, KmsBackend, kms_backends
from moto.kms.utils import _deserialize_ciphertext_blob

from devstack.caller import caller_of, region_of
from devstack.cms import envelop
from devstack.conditions import PolicyError
from devstack.policy import Call, Caller, Decision, parse_policy
from results_consumer.attestation import AttestationDocument, AttestationError, verify_document
from results_consumer.certificates import UNREADABLE

COUNTS_PATH: Final = "/_sealbatch/kms-calls"
MAX_BODY: Final = 512 * 1024
ATTESTABLE: Final = frozenset({"Decrypt", "GenerateDataKey"})
GUARDED: Final = ATTESTABLE | {"CreateGrant", "Encrypt", "GenerateDataKeyWithoutPlaintext", "ReEncrypt"}
"""Operations that a key policy decides here; the others administer keys and go to moto as they are."""

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class KmsError(Exception):
    """An error of KMS's API: `kind` is its type, the text its message."""

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Request:
    operation: str
    caller: Caller
    backend: KmsBackend
    fields: Mapping[str, Any]

    def context(self) -> dict[str, str]:
        """The encryption context."""
        return dict(self.fields.get("EncryptionContext") or {})

    def blob(self) -> bytes:
        """CiphertextBlob."""
        return _base64(self.fields, "CiphertextBlob")


class RecipientKms:
    """A WSGI application around moto's; documents are verified under `root` and must be valid now."""

    def __init__(self, application: Application, root: x509.Certificate) -> None:
        self._application = application
        self._root = root
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a guarded call of KMS; hand everything else on."""
        if environ.get("PATH_INFO") == COUNTS_PATH:
            with self._lock:
                return _reply(start_response, 200, dict(self._counts))
        operation = str(environ.get("HTTP_X_AMZ_TARGET", "")).removeprefix("TrentService.")
        region = region_of(environ)
        if not str(environ.get("HTTP_X_AMZ_TARGET", "")).startswith("TrentService.") or region is None:
            return self._application(environ, start_response)
        with self._lock:
            self._counts[operation] += 1
        if operation not in GUARDED:
            return self._application(environ, start_response)
        try:
            backend = kms_backends[caller_of(environ).account][region]
            request = _Request(operation, caller_of(environ), backend, _body(environ))
            return _reply(start_response, 200, self._serve(request))
        except KmsError as error:
            return _reply(start_response, 400, {"__type": error.kind, "message": str(error)})
        except JsonRESTError as error:
            # moto's own refusals, such as a wrong encryption context.
            return _reply(start_response, 400, {"__type": error.error_type, "message": ""})

    def _serve(self, request: _Request) -> dict[str, Any]:
        """Decide and answer one guarded call."""
        key = _key_of(request)
        document = self._document(request)
        _authorize(request, key, document)
        if key.key_state != "Enabled":
            raise KmsError("DisabledException", f"{key.arn} is disabled.")
        match request.operation:
            case "Decrypt":
                plaintext, arn = request.backend.decrypt(request.blob(), request.context(), None)
                reply = {"KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
            case "GenerateDataKey":
                spec, size = request.fields.get("KeySpec"), request.fields.get("NumberOfBytes")
                if (spec != "AES_256") == (size is None):
                    raise KmsError("ValidationException", "KeySpec AES_256 or NumberOfBytes is needed.")
                plaintext, blob, arn = request.backend.generate_data_key(key.id, request.context(), size, spec)
                reply = {"KeyId": arn, "CiphertextBlob": base64.b64encode(blob).decode()}
            case _:
                raise KmsError("UnsupportedOperationException", "Nothing of Sealbatch may call this.")
        if document is None:
            return reply | {"Plaintext": base64.b64encode(plaintext).decode()}
        return reply | {"CiphertextForRecipient": base64.b64encode(envelop(plaintext, _recipient(document))).decode()}

    def _document(self, request: _Request) -> AttestationDocument | None:
        recipient = request.fields.get("Recipient")
        if recipient is None or request.operation not in ATTESTABLE:
            return None
        if recipient.get("KeyEncryptionAlgorithm") != "RSAES_OAEP_SHA_256":
            raise KmsError("ValidationException", "KeyEncryptionAlgorithm must be RSAES_OAEP_SHA_256.")
        try:
            return verify_document(_base64(recipient, "AttestationDocument"), [self._root], datetime.now(UTC))
        except AttestationError:
            raise KmsError("ValidationException", "The attestation document is not valid.") from None


def _key_of(request: _Request) -> Key:
    """The key that a call is about: the one it names, and for Decrypt the one that its ciphertext is under."""
    named = _named_key(request)
    if request.operation != "Decrypt":
        if named is None:
            raise KmsError("ValidationException", "KeyId is needed.")
        return named
    try:
        key = request.backend.keys[_deserialize_ciphertext_blob(request.blob()).key_id]
    except Exception:  # noqa: BLE001 - moto raises whatever slicing raises
        raise KmsError("InvalidCiphertextException") from None
    if named is not None and named is not key:
        # Its policy would be asked, and another key would decrypt.
        raise KmsError("IncorrectKeyException", "The key ID in the request does not identify a CMK that can decrypt.")
    return key


def _named_key(request: _Request) -> Key | None:
    name = request.fields.get("KeyId") or request.fields.get("DestinationKeyId")
    if name is None:
        return None
    try:
        return request.backend.keys[request.backend.any_id_to_key_id(str(name))]
    except KeyError:
        raise KmsError("NotFoundException", f"Key {name} does not exist.") from None


def _authorize(request: _Request, key: Key, document: AttestationDocument | None) -> None:
    """The key policy must allow the call.

    Raises:
        KmsError: AccessDeniedException, in AWS's words.
    """
    policy = key.policy if isinstance(key.policy, str) else json.dumps(key.policy)
    action = f"kms:{request.operation}"
    call = Call(action, key.arn, request.caller, request.context(), None if document is None else document.pcrs)
    try:
        decision = parse_policy(policy).evaluate(call)
    except PolicyError as error:
        raise KmsError("KMSInvalidStateException", f"the stand-in cannot evaluate the key policy: {error}") from None
    if decision is Decision.ALLOW:
        return
    explicit = decision is Decision.EXPLICIT_DENY
    why = "with an explicit deny in a" if explicit else "because no resource-based policy allows the action:"
    who = f"User: {request.caller.shown} is not authorized to perform: {action} on resource: {key.arn}"
    raise KmsError("AccessDeniedException", f"{who} {why} key policy")


def _recipient(document: AttestationDocument) -> rsa.RSAPublicKey:
    try:
        key = load_der_public_key(document.public_key or b"")
    except UNREADABLE:
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise KmsError("ValidationException", "The attestation document holds no RSA public key.")
    return key


def _body(environ: Environ) -> Mapping[str, Any]:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < size <= MAX_BODY:
        raise KmsError("ValidationException", "The request has no body, or one too long.")
    try:
        fields = json.loads(environ["wsgi.input"].read(size))
    except ValueError:
        raise KmsError("SerializationException") from None
    if not isinstance(fields, dict):
        raise KmsError("SerializationException")
    return fields


def _base64(fields: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(str(fields.get(name, "")), validate=True)
    except binascii.Error:
        raise KmsError("SerializationException") from None


def _reply(start_response: Callable[..., Any], status: int, fields: Mapping[str, Any]) -> list[bytes]:
    body = json.dumps(fields).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", str(uuid.uuid4())),
    ]
    start_response("200 OK" if status == 200 else "400 Bad Request", headers)
    return [body]
