"""What an image is made of: Debian packages and wheels, each pinned by its SHA-256 in `inputs.json`."""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sealbatch.image import ImageError

PINS: Final = Path(__file__).with_name("inputs.json")
FORMAT: Final = 1

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~%-]{0,199}")


class InputError(ImageError):
    """An input is missing or is another file than the pinned one; the text names it and says how to get it."""


@dataclass(frozen=True, slots=True)
class Input:
    """One pinned file."""

    kind: str
    """`debian` or `wheels`."""
    name: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """All pinned files, and the folder in which they lie."""

    folder: Path
    pins: tuple[Input, ...]

    def of(self, kind: str) -> Iterator[tuple[Input, Path]]:
        """The inputs of a kind, each verified as it is handed out.

        Raises:
            InputError: one is missing, or another file.
        """
        for pin in self.pins:
            if pin.kind == kind:
                yield pin, self.verified(pin)

    def verified(self, pin: Input) -> Path:
        """The file of an input.

        Raises:
            InputError: it is missing, or another file.
        """
        path = self.folder / pin.file
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; `sealbatch image fetch` brings it") from None
        if found != pin.sha256:
            raise InputError(f"{path}: its SHA-256 is {found} and not the pinned {pin.sha256}")
        return path

    def lies(self, pin: Input) -> bool:
        """Whether it lies in the folder as it is pinned."""
        try:
            self.verified(pin)
        except InputError:
            return False
        return True


def load_inputs(folder: Path, pins: Path = PINS) -> Inputs:
    """The pinned inputs, to lie in `folder`.

    Raises:
        InputError: the list of pins is malformed.
    """
    try:
        value = json.loads(pins.read_bytes())
        if value["format"] != FORMAT:
            raise InputError(f"{pins}: format is not {FORMAT}")
        found = [
            Input(kind, item["name"], item["version"], item["file"], item["sha256"])
            for kind in ("debian", "wheels")
            for item in value[kind]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{pins}: {type(error).__name__}: not a list of pinned inputs") from None
    for pin in found:
        if _FILE.fullmatch(pin.file) is None or _SHA256.fullmatch(pin.sha256) is None:
            raise InputError(f"{pins}: {pin.name}: its file or sha256 is malformed")
    return Inputs(folder, tuple(found))


def fetch(
    inputs: Inputs, index: str | None = None, told: Callable[[int, int], None] = lambda _done, _total: None
) -> None:
    """Bring what is missing: Debian packages by apt-get, wheels by pip; `index` is an index that offers torch for CPUs.

    `told` is told how many inputs lie there and are verified, and how many there are.

    Raises:
        InputError: one cannot be had, or is another file than the pinned one.
    """
    inputs.folder.mkdir(parents=True, exist_ok=True)
    for done, pin in enumerate(inputs.pins):
        told(done, len(inputs.pins))
        if inputs.lies(pin):
            continue
        (inputs.folder / pin.file).unlink(missing_ok=True)
        command = _apt(pin) if pin.kind == "debian" else _pip(pin, index)
        _run(pin, command, inputs.folder)
        inputs.verified(pin)
    told(len(inputs.pins), len(inputs.pins))


def _apt(pin: Input) -> list[str]:
    return ["apt-get", "download", "-o", "APT::Sandbox::User=root", f"{pin.name}:amd64={pin.version}"]


def _pip(pin: Input, index: str | None) -> list[str]:
    # torch alone comes from an index that is named for it, so that such an index serves nothing else.
    named = ["--index-url", index] if index and pin.name == "torch" else []
    tags = pin.file.removesuffix(".whl").split("-")[-3:]
    platforms = [option for tag in tags[2].split(".") for option in ("--platform", tag)]
    return [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--dest", "."),
        *("--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp", "--abi", tags[1]),
        *platforms,
        *named,
        f"{pin.name}=={pin.version}",
    ]


def _run(pin: Input, command: list[str], folder: Path) -> None:
    with tempfile.TemporaryFile() as log:
        try:
            code = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        except OSError as error:
            raise InputError(f"{pin.file}: {command[0]}: {error.strerror}") from None
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()
    if code.returncode:
        raise InputError(
            f"{pin.file}: {command[0]} did not bring it ({said[-1] if said else 'no reason given'}); "
            f"put a file of SHA-256 {pin.sha256} into {folder}"
        )
