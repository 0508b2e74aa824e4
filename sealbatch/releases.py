"""Release files, as a reader accepts them."""

import os
from pathlib import Path

from results_consumer.trust import MAX_RELEASE, Release, ReleaseError, parse_release
from sealbatch.config import ConfigError
from sealbatch.errors import OptionError, ReleaseRefused
from wire.release import PublicKey, SignatureRefused, read_public_key


def read_release(path: str | os.PathLike[str], *, key: str | os.PathLike[str] | None = None) -> Release:
    """A release file, such as `sealbatch image release` writes; with a `key`, a public one in PEM, signed by its owner.

    `Release.of_pcr0` makes one of which nothing but PCR0 is known.

    Raises:
        OptionError: the file is missing, or no release. ConfigError: the key cannot be read.
        ReleaseRefused: there is a key, and the file is no release that its owner signed.
    """
    demanded = None if key is None else _read_key(Path(key))
    try:
        with Path(path).open("rb") as file:
            return parse_release(file.read(MAX_RELEASE + 1), demanded)
    except OSError as error:
        raise OptionError("release", f"{os.fspath(path)}: {error.strerror}") from None
    except ReleaseError as error:
        text = f"{os.fspath(path)}: {error}"
        raise OptionError("release", text) if demanded is None else ReleaseRefused(text) from None


def _read_key(path: Path) -> PublicKey:
    try:
        return read_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"release_key {path}: {error.strerror}") from None
    except SignatureRefused as error:
        raise ConfigError(f"release_key {path}: {error}") from None
