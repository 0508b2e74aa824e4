"""The producer's secret, under which idempotency keys are hidden from the host."""

import os
import secrets
from pathlib import Path
from typing import Final

from producer.lookup import Idempotency
from sealbatch.config import Config, ConfigError
from sealbatch.exits import Exit
from sealbatch.faults import Stop
from sealbatch.paths import state_folder
from sealbatch.times import JobTimes

SIZE: Final = 32


def producer_secret(config: Config) -> bytes:
    """The secret in the configured file, or in this user's own, which is made when it is first needed.

    Raises:
        ConfigError: the configured file is missing or too short, or others may read it.
    """
    named = config.resources.secret_file
    path = Path(named) if named is not None else state_folder() / "producer.secret"
    if named is None and not path.exists():
        _make(path)
    try:
        secret = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: the producer's secret cannot be read: {error.strerror}") from None
    if len(secret) < SIZE:
        raise ConfigError(
            f"{path}: the producer's secret has fewer than {SIZE} bytes; head -c {SIZE} /dev/urandom makes one"
        )
    if mode & 0o077:
        raise ConfigError(f"{path}: others may read the producer's secret; chmod 600 it")
    return secret


def make_idempotency(config: Config, key: str | None, times: JobTimes) -> Idempotency | None:
    """The key with the secret that hides it, for a submission at these `times`; None without a key.

    Raises:
        ConfigError: there is no secret to be had. Stop: the key is empty or too long.
    """
    if key is None:
        return None
    try:
        return Idempotency(key, producer_secret(config), typed=str(times))
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--{error}") from None


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(SIZE))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        path.hardlink_to(part)  # whoever is first has made it; a link never replaces
    except FileExistsError:
        pass
    finally:
        part.unlink()
