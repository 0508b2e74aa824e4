"""Secrets in files: the producer's, under which idempotency keys are hidden from the host, and the endpoint's token."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from producer.lookup import Idempotency
from results_consumer.sink import name_file
from sealbatch.config import Config, ConfigError
from sealbatch.errors import OptionError
from sealbatch.paths import state_folder
from sealbatch.private_file import flush_to_disk, private_part
from sealbatch.times import JobTimes

SIZE: Final = 32


def producer_secret(config: Config) -> bytes:
    """The secret in the configured file, or in this user's own, which is made when it is first needed.

    Raises:
        ConfigError: the configured file is missing or too short, or others may read it.
    """
    named = config.resources.secret_file
    path, secret = _kept(None if named is None else Path(named), "producer.secret", "the producer's secret")
    if len(secret) < SIZE:
        raise ConfigError(
            f"{path}: the producer's secret has fewer than {SIZE} bytes; head -c {SIZE} /dev/urandom makes one"
        )
    return secret


def endpoint_token(named: Path | None) -> tuple[Path, str]:
    """The token of `sealbatch serve` in the named file, or in this user's own, which is made when it is first needed.

    Raises:
        ConfigError: the named file is missing or holds no token, or others may read it.
    """
    path, data = _kept(named, "serve.token", "the token", lambda: secrets.token_urlsafe(SIZE).encode())
    try:
        return path, data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the token has characters that no HTTP header can carry") from None


def make_idempotency(config: Config, key: str | None, times: JobTimes) -> Idempotency | None:
    """The key with the secret that hides it, for a submission at these `times`; None without a key.

    Raises:
        ConfigError: there is no secret to be had. OptionError: the key is empty or too long.
    """
    if key is None:
        return None
    try:
        return Idempotency(key, producer_secret(config), typed=str(times))
    except ValueError as error:
        raise OptionError.of(error) from None


def _kept(
    named: Path | None, own: str, what: str, make: Callable[[], bytes] = lambda: secrets.token_bytes(SIZE)
) -> tuple[Path, bytes]:
    """A secret in a file that nobody else may read: the named one, or this user's `own`."""
    path = named or state_folder() / own
    if named is None and not path.exists():
        _write(path, make())
    try:
        data, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: {what} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError(f"{path}: others may read {what}; chmod 600 it")
    return path, data


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with private_part(path.parent) as (file, part):
        file.write(data)
        flush_to_disk(file)
        with suppress(FileExistsError):  # whoever is first has made it
            name_file(part, path, overwrite=False)
