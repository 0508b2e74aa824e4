"""The options by which a reader says which images to believe; shared by fetch, run and verify."""

from pathlib import Path
from typing import Annotated

import typer

from results_consumer.trust import MAX_RELEASE, Release, ReleaseError, parse_release
from sealbatch.exits import Exit
from sealbatch.faults import Stop

PCR0 = Annotated[list[str] | None, typer.Option(metavar="HEX", help="Accept this image only; may be given again.")]
RELEASE = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="Accept this release only; may be given again.")
]
REQUIRE = Annotated[
    list[str] | None,
    typer.Option(
        "--require-pcr0", metavar="HEX", help="Seal only if the keys' policies admit no other image than this."
    ),
]
RECEIPTS = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep what proves the answers there, for `sealbatch verify`.")
]


def releases(pcr0: list[str] | None, files: list[Path] | None) -> tuple[Release, ...]:
    """What the options accept; nothing if neither is given.

    Raises:
        Stop: a value is no PCR0, or a file no release.
    """
    try:
        named = [Release.of_pcr0(text.lower()) for text in pcr0 or ()]
    except ReleaseError as error:
        raise Stop(Exit.USAGE, f"--pcr0: {error}") from None
    return (*named, *(_read(path) for path in files or ()))


def images(pcr0: list[str] | None, files: list[Path] | None = None) -> tuple[str, ...]:
    """PCR0s that the options name, in their order.

    Raises:
        Stop: a value is no PCR0, or a file no release.
    """
    return tuple(release.pcrs[0].hex() for release in releases(pcr0, files))


def _read(path: Path) -> Release:
    try:
        with path.open("rb") as file:
            return parse_release(file.read(MAX_RELEASE + 1))
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path}: {error.strerror}") from None
    except ReleaseError as error:
        raise Stop(Exit.USAGE, f"{path}: {error}") from None
