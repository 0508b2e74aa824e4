"""`sealbatch doctor`: finds what is wrong around a job before the job does."""

from pathlib import Path
from typing import Annotated

import typer

from sealbatch.doctor import Role
from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.fleet.allocator import ALLOCATOR
from sealbatch.progress import Progress
from sealbatch.verbs import options as o
from sealbatch.verbs import trust as t
from wire.address import Address

EXAMPLES = """\
sealbatch doctor
# on the enclave's parent
sealbatch doctor --role bridge --eif sealbatch.eif
# does the running enclave attest this release?
sealbatch doctor --release pcrs.json --enclave vsock://16:5005
# only what must be mended
sealbatch doctor --json | jq 'select(.status == "error")'"""


@ends_well
def command(
    context: typer.Context,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            metavar="ROLE", help="Check as producer, reader or bridge; may be given again.", show_default="all three"
        ),
    ] = None,
    enclave: Annotated[
        list[Address] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Call this enclave, such as vsock://16:5005; may be given again.",
            parser=o.address,
        ),
    ] = None,
    release: t.RELEASE = None,
    eif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The image that the enclave's memory must hold.")
    ] = None,
    allocator: Annotated[Path, typer.Option(metavar="FILE", help="The allocator's file.")] = ALLOCATOR,
    as_json: o.JSON = False,
) -> None:
    """Check everything around a job, and say how to mend it.

    Changes nothing. The exit code is 0 if there is no error (warnings are none), 78 if there is one.
    """
    from sealbatch.doctor.examination import Examination
    from sealbatch.doctor.finding import Status

    face: Face = context.obj
    screen = face.screen(as_json=as_json, fleeting=True)
    roles = tuple(role or Role)
    pins = t.pins(face, None, release)
    config = face.config(screen)
    look = Examination(config, roles, pins, enclave or (), allocator, eif)
    findings = []
    with screen.progress() as tell:
        for finding in look.findings():
            findings.append(finding)
            tell(Progress("checking", len(findings), None, finding.check))
    rows = [finding.as_row() for finding in findings]
    screen.rows(("check", "status", "found", "mend"), rows)
    counts = {status: sum(f.status is status for f in findings) for status in Status}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if counts[Status.ERROR]:
        raise Stop(Exit.CONFIGURATION, said, "mend the errors from the top, and type the same again")
    screen.say(said)
    screen.next_step("sealbatch submit questions.jsonl" if Role.PRODUCER in roles else "sealbatch list")
