"""The secrets that this machine knows, so that they can be looked for in what is to leave it."""

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sealbatch.config import Resources
from sealbatch.paths import state_folder
from sealbatch.tickets import TicketBook

WORD: Final = 12
"""Characters from which on a part of an address or an argument of a command is taken for a secret."""
LARGEST: Final = 4096
"""Bytes of the largest file that is taken for a secret."""
_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SEALBATCH_SERVE_TOKEN")
_SETTINGS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def secrets_here(resources: Resources | None, tickets: TicketBook, environ: Mapping[str, str]) -> Iterator[bytes]:
    """Credentials, tickets, names of files that were asked, our own secrets, and what schedules hold."""
    for kept in tickets.all():
        yield kept.ticket.encode()
        # Not the short ones: `a.csv` is no secret, and stands in many words.
        if len(kept.name) > len("questions.jsonl"):
            yield kept.name.encode()
    yield from (environ[name].encode() for name in _VARIABLES if name in environ)
    files = [Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")]
    files += [Path(environ.get("AWS_CONFIG_FILE") or Path.home() / ".aws" / "config")]
    secrets = list(_own_secrets(state_folder()))
    if resources is not None:
        files += [Path(name) for name in (resources.credentials_file,) if name]
        secrets += [Path(name) for name in (resources.secret_file,) if name]
        yield from _of_nights(resources.nightly, resources.schedules)
    for path in files:
        yield from _of_credentials(path)
    yield from (data.strip() for data in map(_bytes_of, secrets) if data)


def _own_secrets(folder: Path) -> Iterator[Path]:
    """What Sealbatch keeps for this user beside the tickets: the producer's secret, the token of an endpoint."""
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in found if path.is_file() and path.suffix != ".jsonl" and path.stat().st_size <= LARGEST)


def _of_credentials(path: Path) -> Iterator[bytes]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string((_bytes_of(path) or b"").decode("utf-8", "replace"))
    except configparser.Error:
        return
    for section in parser.sections():
        yield from (parser[section][name].encode() for name in _SETTINGS if name in parser[section])


def _of_nights(nightly: Mapping[str, Any], schedules: tuple[dict[str, Any], ...]) -> Iterator[bytes]:
    address = urlsplit(str(nightly.get("redis_url", "")))
    yield from (unquote(part).encode() for part in (address.password, address.username) if part)
    for schedule in schedules:
        told = schedule.get("tell", ())
        for whom in told if isinstance(told, list | tuple) else ():
            if isinstance(whom, dict):
                webhook = str(whom.get("webhook") or "")
                words = (webhook, *re.split(r"[/?&=]", webhook), *whom.get("command", ()))
                yield from (str(word).encode() for word in words if len(str(word)) >= WORD)


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def environment_names() -> list[str]:
    """Which variables steer Sealbatch and its calls of AWS: their names alone."""
    return sorted(name for name in os.environ if name.startswith(("SEALBATCH_", "AWS_", "CELERY_")))
