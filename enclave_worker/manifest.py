"""A model folder's manifest: the SHA-256 and size of every file in it. The enclave loads what matches and no more.

Large files have their BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs) beside it, and that is what loading checks:
SHA-256 reads 0.3 to 1.4 GB a second, as the CPU has instructions for it or not, and a start would wait for it.
The SHA-256 is there for whoever checks a published checkpoint with `sha256sum`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from blake3 import blake3

NAME: Final = "manifest.json"
FORMAT: Final = 1
MAX_MANIFEST: Final = 256 * 1024
MAX_FILES: Final = 256
MAX_FILE: Final = 2**40
MAX_NAME: Final = 128

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class ModelError(Exception):
    """A model folder is not what its manifest says, or not a model that the enclave loads; names file and reason."""


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Which model a verified folder holds; `digest` is the SHA-256 of the manifest itself."""

    name: str
    revision: str
    digest: bytes


class Hash(Protocol):
    """A hash under way."""

    def update(self, data: bytes, /) -> object:
        """Take more."""
        ...

    def hexdigest(self) -> str:
        """Of all that was taken."""
        ...


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What the manifest says about one file; digests in hexadecimal. `blake3` is None where the file is not large."""

    sha256: str
    size: int
    blake3: str | None = None

    @property
    def expected(self) -> str:
        """The digest that is checked: BLAKE3 where there is one."""
        return self.blake3 or self.sha256

    def hasher(self) -> Hash:
        """A fresh hash of that kind."""
        return blake3() if self.blake3 else hashlib.sha256()

    def describes(self, path: Path) -> bool:
        """Whether the file at `path` has this content, by BLAKE3 where there is one.

        Raises:
            ModelError: it cannot be read.
        """
        return (blake3_of if self.blake3 else sha256_of)(path) == self.expected


def load_manifest(folder: Path, reads: Callable[[str], bool] = lambda _: True) -> ModelManifest:
    """Read the manifest of `folder` and verify every file against it.

    Files that the caller will not read, as `reads` says by name, need only be there and have the right size.

    Raises:
        ModelError: the manifest is missing or malformed, a file differs or is missing, or something else is there.
    """
    manifest, entries = parse_manifest(read_file(folder / NAME, MAX_MANIFEST))
    found = list_files(folder)
    for name in sorted(found - entries.keys()):
        raise ModelError(f"{name}: not in the manifest")
    for name, entry in sorted(entries.items()):
        if name not in found:
            raise ModelError(f"{name}: in the manifest and not in the folder")
        path = folder / name
        with file_errors(name):
            size = path.stat().st_size
        if size != entry.size or (reads(name) and not entry.describes(path)):
            raise ModelError(f"{name}: size or digest is not the manifest's")
    return manifest


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """What the system says of a file of the model becomes a `ModelError` that names it."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{name}: {error.strerror}") from None


def read_file(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes.

    Raises:
        ModelError: it is longer, or cannot be read.
    """
    with file_errors(path.name), path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ModelError(f"{path.name}: longer than {limit} bytes")
    return data


def parse_manifest(data: bytes) -> tuple[ModelManifest, dict[str, FileEntry]]:
    """Which model a manifest's bytes describe, and its files by name.

    Raises:
        ModelError: it is malformed.
    """
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError(f"{NAME}: not JSON") from None
    if not isinstance(value, dict) or value.keys() != {"format", "name", "revision", "files"}:
        raise ModelError(f"{NAME}: its fields are not format, name, revision and files")
    files = value["files"]
    if value["format"] != FORMAT or not isinstance(files, dict) or len(files) > MAX_FILES:
        raise ModelError(f"{NAME}: unknown format, or files is no object of at most {MAX_FILES}")
    for field in ("name", "revision"):
        if not isinstance(value[field], str) or not 0 < len(value[field]) <= MAX_NAME:
            raise ModelError(f"{NAME}: {field} is not a text of 1 to {MAX_NAME} characters")
    manifest = ModelManifest(value["name"], value["revision"], hashlib.sha256(data).digest())
    return manifest, {name: _parse_entry(name, entry) for name, entry in files.items()}


def _parse_entry(name: str, entry: object) -> FileEntry:
    if _FILE_NAME.fullmatch(name) is None or name == NAME:
        raise ModelError(f"{NAME}: names a file that a model folder cannot hold")
    if not isinstance(entry, dict) or entry.keys() - {"blake3"} != {"sha256", "size"}:
        raise ModelError(f"{NAME}: the fields of {name} are not sha256 and size")
    for field in entry.keys() - {"size"}:
        if not isinstance(entry[field], str) or _DIGEST.fullmatch(entry[field]) is None:
            raise ModelError(f"{NAME}: {field} of {name} is not 64 lower-case hexadecimal digits")
    size = entry["size"]
    if type(size) is not int or not 0 <= size <= MAX_FILE:
        raise ModelError(f"{NAME}: size of {name} is not a number of bytes")
    return FileEntry(entry["sha256"], size, entry.get("blake3"))


def list_files(folder: Path) -> set[str]:
    """The names of all files but the manifest.

    Raises:
        ModelError: something there is not a plain file, or has a name that a manifest cannot hold.
    """
    names = set()
    with file_errors(str(folder)):
        paths = list(folder.iterdir())
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise ModelError(f"{path.name}: not a plain file")
        if _FILE_NAME.fullmatch(path.name) is None:
            raise ModelError(f"{path.name!r}: not a name for a model's file")
        names.add(path.name)
    return names - {NAME}


def sha256_of(path: Path) -> str:
    """In hexadecimal.

    Raises:
        ModelError: it cannot be read.
    """
    with file_errors(path.name), path.open("rb") as file:
        # It reads into one small buffer: with a new one for each block, page faults cost twice the hash.
        return hashlib.file_digest(file, "sha256").hexdigest()


def blake3_of(path: Path) -> str:
    """In hexadecimal.

    Raises:
        ModelError: it cannot be read.
    """
    with file_errors(path.name):
        return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
