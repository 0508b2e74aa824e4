"""`sealbatch image`: what an enclave image holds and what it is measured as, without Docker or nitro-cli."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit
from sealbatch.face import Face, as_typed, ends_well
from sealbatch.faults import Stop
from sealbatch.verbs import questions as q

if TYPE_CHECKING:
    from sealbatch.image.eif import Image

app = typer.Typer(help="Enclave images: what they hold and what they are measured as.", no_args_is_help=True)

FILE = Annotated[Path, typer.Argument(metavar="FILE.eif", help="An enclave image, ours or anybody's.")]
MEASURE_EXAMPLES = """Examples:
sealbatch image measure sealbatch.eif
sealbatch image measure sealbatch.eif --release 1.0 > pcrs.json
sealbatch policy lint --release pcrs.json"""


@app.callback()
def _group() -> None:
    """Enclave images."""


@app.command(epilog=as_typed(MEASURE_EXAMPLES))
@ends_well
def measure(
    context: typer.Context,
    file: FILE,
    release: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write a release file of that name, for --release.")
    ] = None,
    as_json: q.JSON = False,
) -> None:
    """Print PCR0, 1, 2 and, for a signed image, 8.

    They are what the hypervisor will report. Malformed files are refused with the field that is wrong and exit code 8.
    """
    face: Face = context.obj
    image = read(file)
    pcrs = {str(index): pcr.hex() for index, pcr in sorted(image.pcrs.items())}
    if release is None:
        rows = [{"register": f"PCR{index}", "value": value} for index, value in pcrs.items()]
        face.screen(as_json=as_json).rows(("register", "value"), rows)
        return
    if not 0 < len(release) <= 128:
        raise Stop(Exit.USAGE, "--release: a name of 1 to 128 characters")
    face.screen().data(json.dumps({"format": 1, "name": release, "pcrs": pcrs}, indent=2))


@app.command(epilog=as_typed("Example:\nsealbatch image inspect sealbatch.eif"))
@ends_well
def inspect(context: typer.Context, file: FILE, as_json: q.JSON = False) -> None:
    """List the sections with their places, sizes in bytes and SHA-384."""
    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    image = read(file)
    rows = [
        {"section": s.kind.name.lower(), "offset": s.offset, "bytes": s.size, "sha384": s.digest.hex()}
        for s in image.sections
    ]
    screen.rows(("section", "offset", "bytes", "sha384"), rows)
    screen.say(f"version {image.version}, {image.architecture}; defaults: {image.memory:,} bytes, {image.cpus} CPUs")


def read(path: Path) -> "Image":
    """A measured image.

    Raises:
        Stop: it is malformed, or cannot be read.
    """
    from sealbatch.image.eif import EifError, read_image

    try:
        with path.open("rb") as file:
            return read_image(file)
    except EifError as error:
        raise Stop(Exit.INPUT_INVALID, f"{path}: {error}") from None
    except OSError as error:
        raise Stop(Exit.USAGE, f"{path}: {error.strerror}") from None
