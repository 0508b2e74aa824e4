"""Whom a reader believes that an enclave is one: roots of attestation, and the releases that are accepted."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from results_consumer.certificates import AWS_ROOT, UNREADABLE
from wire.errors import SealbatchError
from wire.measurement import MODEL_PCR, model_register
from wire.release import SIGNATURE, PublicKey, SignatureRefused, verify

FORMAT: Final = 1
MAX_RELEASE: Final = 64 * 1024
MAX_INPUTS: Final = 256
MAX_INPUT_NAME: Final = 256
DIGESTS: Final = ("model", "template", "settings")

_PCR: Final = re.compile(r"[0-9a-f]{96}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_INDEX: Final = re.compile(r"[0-9]|[12][0-9]|3[01]")


class ReleaseError(SealbatchError):
    """A release file is malformed; the text names the field."""


@dataclass(frozen=True, slots=True)
class Release:
    """One accepted image: registers by index (48 bytes; 0 is always there), and digests that it must state."""

    name: str
    pcrs: Mapping[int, bytes]
    digests: Mapping[str, bytes] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 in hexadecimal of what the image was made of, by name; said by its builder."""

    @classmethod
    def of_pcr0(cls, pcr0: str) -> "Release":
        """A release of which nothing but PCR0 is known.

        Raises:
            ReleaseError: it is not 96 lower-case hexadecimal digits.
        """
        return parse_release(json.dumps({"format": FORMAT, "name": pcr0[:16], "pcrs": {"0": pcr0}}).encode())


@dataclass(frozen=True, slots=True)
class Trust:
    """What a receipt is verified against.

    `releases` narrows the images that are accepted; empty, the one that the job's manifest demands is. `development`
    says that the root is one of a development stack, which proves a protocol and no hardware.
    """

    roots: tuple[x509.Certificate, ...] = (AWS_ROOT,)
    releases: tuple[Release, ...] = ()
    development: bool = False

    def digest(self) -> str:
        """The SHA-256, in hexadecimal, of all that is accepted."""
        accepted = [
            sorted((str(name), value.hex()) for name, value in (*release.pcrs.items(), *release.digests.items()))
            for release in self.releases
        ]
        roots = [root.fingerprint(SHA256()).hex() for root in self.roots]
        return hashlib.sha256(json.dumps([sorted(accepted), sorted(roots)]).encode()).hexdigest()


def parse_release(data: bytes, key: PublicKey | None = None) -> Release:
    """Read a release file: JSON of `format`, `name`, `pcrs` and, if stated, `model`, `template`, `settings`, `inputs`.

    With a `key`, it must be signed by its owner.

    Raises:
        ReleaseError: it is not exactly that, or not signed as demanded.
    """
    try:
        value: object = json.loads(data) if len(data) <= MAX_RELEASE else None
    except (ValueError, RecursionError):
        raise ReleaseError("not JSON") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ReleaseError(f"not an object of format {FORMAT}")
    if unknown := value.keys() - {"format", "name", "pcrs", "inputs", SIGNATURE, *DIGESTS}:
        raise ReleaseError(f"unknown field {min(map(str, unknown))[:32]!r}")
    if key is not None:
        try:
            verify(value, key)
        except SignatureRefused as error:
            raise ReleaseError(str(error)) from None
    name = value.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 128:
        raise ReleaseError("name: not a text of 1 to 128 characters")
    digests = {key: _hex(value[key], key, _DIGEST) for key in DIGESTS if key in value}
    pcrs = _pcrs(value.get("pcrs"))
    if "model" in digests and pcrs.get(MODEL_PCR, model_register(digests["model"])) != model_register(digests["model"]):
        raise ReleaseError(f"pcrs.{MODEL_PCR}: not the register of the model")
    return Release(name, pcrs, digests, _inputs(value.get("inputs", {})))


def load_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Root certificates in PEM, one or several.

    Raises:
        ReleaseError: it is none.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except UNREADABLE:
        raise ReleaseError("not a certificate in PEM") from None


def _pcrs(value: object) -> dict[int, bytes]:
    if not isinstance(value, dict) or "0" not in value:
        raise ReleaseError("pcrs: not an object that holds register 0")
    if any(_INDEX.fullmatch(str(index)) is None for index in value):
        raise ReleaseError("pcrs: an index is not 0 to 31")
    pcrs = {int(index): _hex(pcr, f"pcrs.{index}", _PCR) for index, pcr in value.items()}
    if not any(pcrs[0]):
        raise ReleaseError("pcrs.0: all zeros, which is an enclave in debug mode")
    return pcrs


def _inputs(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_INPUTS:
        raise ReleaseError(f"inputs: not an object of at most {MAX_INPUTS} digests")
    return {str(name)[:MAX_INPUT_NAME]: _hex(digest, "inputs", _DIGEST).hex() for name, digest in value.items()}


def _hex(value: object, name: str, shape: re.Pattern[str]) -> bytes:
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise ReleaseError(f"{name}: not the lower-case hexadecimal digits of a digest")
    return bytes.fromhex(value)
