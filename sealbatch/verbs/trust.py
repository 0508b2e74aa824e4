"""The options by which a reader says which images to believe; shared by fetch, run and verify."""

from pathlib import Path
from typing import Annotated

import typer

from producer.pins import Pin
from results_consumer.trust import MAX_RELEASE, Release, ReleaseError, parse_release
from sealbatch.exits import Exit
from sealbatch.face import Face
from sealbatch.faults import Stop
from wire.measurement import MODEL_PCR
from wire.release import PublicKey, SignatureRefused, read_public_key

PCR0 = Annotated[list[str] | None, typer.Option(metavar="HEX", help="Accept this image only; may be given again.")]
RELEASE = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="Accept this release only; may be given again.")
]
REQUIRE = Annotated[
    list[str] | None,
    typer.Option(
        "--require-pcr0",
        metavar="HEX|FILE",
        help="Seal only if the keys' policies admit no other image, or release, than this.",
    ),
]
RECEIPTS = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep what proves the answers there, for `sealbatch verify`.")
]


def releases(face: Face, pcr0: list[str] | None, files: list[Path] | None) -> tuple[Release, ...]:
    """What the options accept; nothing if neither is given.

    Raises:
        Stop: a value is no PCR0, or a file no release.
    """
    try:
        named = [Release.of_pcr0(text.lower()) for text in pcr0 or ()]
    except ReleaseError as error:
        raise Stop(Exit.USAGE, f"--pcr0: {error}") from None
    return (*named, *(_read(face, path) for path in files or ()))


def images(face: Face, pcr0: list[str] | None, files: list[Path] | None = None) -> tuple[str, ...]:
    """PCR0s that the options name, in their order.

    Raises:
        Stop: a value is no PCR0, or a file no release.
    """
    return tuple(release.pcrs[0].hex() for release in releases(face, pcr0, files))


def pins(face: Face, pcr0: list[str] | None, files: list[Path] | None = None) -> tuple[Pin, ...]:
    """The enclaves that the options name: PCR0 and, where a release states it, the model's register.

    Raises:
        Stop: a value is no PCR0, or a file no release.
    """
    return tuple(_pin(release) for release in releases(face, pcr0, files))


def required(face: Face, values: list[str] | None) -> tuple[Pin, ...]:
    """The enclaves that --require-pcr0 names, each by a PCR0 or a release file.

    Raises:
        Stop: a value is neither.
    """
    return tuple(_pin(_of_text(face, value)) for value in values or ())


def _of_text(face: Face, value: str) -> Release:
    try:
        return Release.of_pcr0(value.lower())
    except ReleaseError:
        path = Path(value)
        if not path.exists():
            raise Stop(
                Exit.USAGE, "--require-pcr0: neither 96 hexadecimal digits nor the name of a release file"
            ) from None
        return _read(face, path)


def _pin(release: Release) -> Pin:
    model = release.pcrs.get(MODEL_PCR)
    return Pin(release.pcrs[0].hex(), None if model is None else model.hex())


def _read(face: Face, path: Path) -> Release:
    key = _demanded_key(face)
    try:
        with path.open("rb") as file:
            return parse_release(file.read(MAX_RELEASE + 1), key)
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path}: {error.strerror}") from None
    except ReleaseError as error:
        raise Stop(Exit.USAGE if key is None else Exit.INTEGRITY, f"{path}: {error}") from None


def _demanded_key(face: Face) -> PublicKey | None:
    """The configured key by which releases must be signed; None if any will do."""
    named = face.release_key()
    if named is None:
        return None
    try:
        return read_public_key(named.read_bytes())
    except OSError as error:
        raise Stop(Exit.CONFIGURATION, f"release_key {named}: {error.strerror}") from None
    except SignatureRefused as error:
        raise Stop(Exit.CONFIGURATION, f"release_key {named}: {error}") from None
