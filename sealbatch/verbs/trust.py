"""The options by which a reader says which images to believe; shared by fetch, run and verify."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face
from sealbatch.terminal import help as h

if TYPE_CHECKING:
    from producer.pins import Pin
    from results_consumer.trust import Release

_trust = partial(typer.Option, rich_help_panel=h.TRUST)

PCR0 = Annotated[
    list[str] | None, _trust(metavar="HEX", help="Believe this image only (96 digits); may be given again.")
]
RELEASE = Annotated[
    list[Path] | None,
    _trust(metavar="FILE", help="Believe this release only, by its pcrs.json; may be given again."),
]
REQUIRE = Annotated[
    list[str] | None,
    _trust(
        "--require-pcr0",
        metavar="HEX|FILE",
        help="Seal only if the keys' policies admit no other image, or release, than this; may be given again.",
    ),
]
RECEIPTS = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Keep there what proves the answers, for `sealbatch verify`.", rich_help_panel=h.OUTPUT
    ),
]


def releases(face: Face, pcr0: list[str] | None, files: list[Path] | None) -> "tuple[Release, ...]":
    """What the options accept; nothing if neither is given.

    Raises:
        Stop, OptionError, ReleaseRefused: a value is no PCR0, or a file no release.
    """
    from results_consumer.trust import Release, ReleaseError

    try:
        named = [Release.of_pcr0(text.lower()) for text in pcr0 or ()]
    except ReleaseError as error:
        raise Stop(Exit.USAGE, f"--pcr0: {error}") from None
    return (*named, *(_read(face, path) for path in files or ()))


def pins(face: Face, pcr0: list[str] | None, files: list[Path] | None) -> "tuple[Pin, ...]":
    """The enclaves that the options name: PCR0 and, where a release states it, the model's register.

    Raises:
        Stop, OptionError, ReleaseRefused: a value is no PCR0, or a file no release.
    """
    from sealbatch.intake import pin_of

    return tuple(pin_of(release) for release in releases(face, pcr0, files))


def required(face: Face, values: list[str] | None) -> "tuple[Release, ...]":
    """The releases that --require-pcr0 names, each by a PCR0 or a release file.

    Raises:
        Stop: a value is neither.
    """
    return tuple(_of_text(face, value) for value in values or ())


def _of_text(face: Face, value: str) -> "Release":
    from results_consumer.trust import Release, ReleaseError

    try:
        return Release.of_pcr0(value.lower())
    except ReleaseError:
        path = Path(value)
        if not path.exists():
            raise Stop(
                Exit.USAGE, "--require-pcr0: neither 96 hexadecimal digits nor the name of a release file"
            ) from None
        return _read(face, path)


def _read(face: Face, path: Path) -> "Release":
    from sealbatch.releases import read_release

    return read_release(path, key=face.release_key())
