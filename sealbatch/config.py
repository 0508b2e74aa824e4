"""Configuration: the command line, then `SEALBATCH_*`, then one file, then nothing is left to guess.

The file is the first of: `--config`, `SEALBATCH_CONFIG`, `./sealbatch.toml`, the user's own, and that of a running
development stack.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cryptography.x509 import Certificate
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producer.settings import ProducerSettings
from results_consumer.settings import ReaderSettings
from results_consumer.trust import Release, ReleaseError, Trust, load_roots
from sealbatch.paths import PREFIX, config_file
from vsock_bridge.settings import BridgeSettings
from wire.address import Address
from wire.errors import SealbatchError
from wire.names import IMAGE, KEY_ARN, TENANT

NO_FILE: Final = "no configuration file"


class ConfigError(SealbatchError):
    """The configuration is missing, unreadable, or lacks what the verb needs; the text says where."""


class _Strict(BaseModel):
    # Errors name the field; they must not quote what stands in it.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Profiles(_Strict):
    """AWS profiles by role; None leaves the choice to AWS's own variables."""

    producer: str | None = None
    """For whatever seals, sends or removes: `submit`, `run`, `retry`, `sweep`, `cancel`, `purge`, `policy lint`."""
    reader: str | None = None
    """For whatever looks or opens: `status`, `wait`, `fetch`, `list`, and a schedule's delivery."""
    bridge: str | None = None
    """For `bridge`, `dlq` and `top`."""


_KeyArn = Annotated[str, Field(pattern=f"^{KEY_ARN.pattern}$")]


class Resources(_Strict):
    """The contents of a configuration file. A verb demands what it needs of it."""

    tenant: Annotated[str, Field(pattern=f"^{TENANT.pattern}$")] | None = None
    """Whose questions these are; KMS compares it with the caller's own tag."""
    region: str | None = None
    """AWS Region of everything below."""
    bucket: str | None = None
    """S3 bucket of sealed questions and answers."""
    queue_url: str | None = None
    """SQS queue of the chunks that wait."""
    dead_letter_url: str | None = None
    """Where messages go that nobody can read; without it they stay in the queue until SQS moves them."""
    question_key: _KeyArn | None = None
    """KMS key of the questions: producers seal under it, and the attested enclave alone opens."""
    answer_key: _KeyArn | None = None
    """KMS key of the answers: readers open under it, and the host has no right on it."""
    image: Annotated[str, Field(pattern=f"^{IMAGE.pattern}$")] | None = None
    """PCR0 of the enclave image that may open what is sealed now."""
    endpoint_url: str | None = None
    """A stand-in for AWS; absent in production."""
    credentials_file: str | None = None
    """An AWS credentials file in the place of the user's own; what renews in it is read again."""
    secret_file: str | None = None
    """The producer's secret, under which idempotency keys are hidden; the same on every machine that seals."""
    nightly: dict[str, Any] = {}
    schedules: tuple[dict[str, Any], ...] = ()
    """Both are read by `sealbatch.nightly.plan`, so that a fault in a schedule stops no other verb."""
    release_key: str | None = None
    """A public key in PEM; where it is set, release files that it did not sign are refused."""
    attestation_root: str | None = None
    """A certificate in PEM to believe attestation under instead of Amazon's; absent in production."""
    profiles: Profiles = Profiles()
    """AWS profiles by role."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is configured, and where it was read; `development` if it is a development stack's."""

    resources: Resources
    source: str
    development: bool = False

    def producer(self) -> ProducerSettings:
        """Settings of one who seals."""
        names = ("tenant", "bucket", "queue_url", "question_key", "answer_key", "image")
        try:
            return ProducerSettings(**self._require(names))
        except ValueError as error:
            raise ConfigError(f"{self.source}: {error}") from None

    def reader(self, releases: tuple[Release, ...] = ()) -> ReaderSettings:
        """Settings of one who opens, and accepts these `releases` alone if there are any."""
        trust = Trust(releases=releases)
        if self.resources.attestation_root is not None:
            trust = Trust(self._roots(self.resources.attestation_root), releases, development=True)
        return ReaderSettings(**self._require(("tenant", "bucket", "question_key", "answer_key")), trust=trust)

    def bridge(self, enclaves: Sequence[Address]) -> BridgeSettings:
        """Settings of a bridge to `enclaves`."""
        required = self._require(("queue_url", "bucket", "question_key"))
        return BridgeSettings(**required, enclaves=tuple(enclaves), dead_letters=self.resources.dead_letter_url)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those settings of `names` that are not set."""
        return [name for name in names if getattr(self.resources, name) is None]

    def _roots(self, path: str) -> tuple[Certificate, ...]:
        try:
            return load_roots(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"{self.source}: attestation_root {path}: {error.strerror}") from None
        except ReleaseError as error:
            raise ConfigError(f"{self.source}: attestation_root {path}: {error}") from None

    def _require(self, names: Sequence[str]) -> dict[str, Any]:
        if missing := self.missing(names):
            listed = ", ".join(missing)
            given = f"as {PREFIX}{missing[0].upper()}, or with --set {missing[0]}=..."
            if self.source != NO_FILE:
                raise ConfigError(f"{self.source}: {listed} missing; set it there, {given}")
            raise ConfigError(
                f"{NO_FILE}: {listed} missing; put your operator's sealbatch.toml here, or give each {given}\n"
                "to try it out, `sealbatch dev up` starts a stack that brings one"
            )
        return {name: getattr(self.resources, name) for name in names}


def load_config(path: Path | None, assignments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """Find the file, read it, and put environment and command line over it.

    Raises:
        ConfigError: a named file is missing, or something in it or over it is wrong.
    """
    found, development = config_file(path, environ)
    values: dict[str, Any] = {} if found is None else _read(found)
    source = NO_FILE if found is None else str(found)
    fields = set(Resources.model_fields) - {"profiles", "nightly", "schedules"}
    for name in fields:
        if (value := environ.get(PREFIX + name.upper())) is not None:
            values[name] = value
            development = False
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator or name not in fields:
            raise ConfigError(f"--set takes NAME=VALUE, NAME being one of {', '.join(sorted(fields))}")
        values[name] = value
        development = False
    try:
        return Config(Resources.model_validate(values), source, development)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{source}{_line_of(found, first['loc'])}: {where}: {_plain(first['type'])}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def _line_of(path: Path | None, where: tuple[int | str, ...]) -> str:
    """`:LINE` of a key in the file, as well as a search for its name can tell."""
    if path is None or not where:
        return ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.partition("=")[0].strip() == str(where[-1]):
            return f":{number}"
    return ""


def _plain(kind: str) -> str:
    match kind:
        case "extra_forbidden":
            return "no such setting"
        case "string_pattern_mismatch":
            return "does not look as it must (tenant: a-z 0-9 -; keys: full KMS key ARNs; image: 96 hex digits)"
        case _:
            return "has a wrong type"
