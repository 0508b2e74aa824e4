"""`sealbatch support-bundle`: one archive for whoever helps, without secrets."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.progress import Progress
from sealbatch.times import parse_span
from sealbatch.verbs import options as o
from sealbatch.verbs.output import check_output
from wire.address import Address

EXAMPLES = """\
# on the machine that has the trouble
sealbatch support-bundle
# on the enclave's parent, with two days of its log
sealbatch support-bundle --since 2d --enclave vsock://16:5005
# of a bridge that serves its metrics elsewhere
sealbatch support-bundle -o case-17.tar.gz --health 10.0.0.5:9464"""

README = """A support bundle of Sealbatch. It is meant to hold no question, answer, key, credential, ticket or name
of a file, and {removed} stands where something was taken out. Whoever made it was asked to look before sending it.

"""


@ends_well
def command(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where it goes.", show_default="sealbatch-support-TIME.tar.gz"
        ),
    ] = None,
    health: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The --health address of a bridge.")
    ] = "127.0.0.1:9464",
    enclave: Annotated[
        list[Address] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Call this enclave, such as vsock://16:5005; may be given again.",
            parser=o.address,
        ),
    ] = None,
    since: Annotated[
        timedelta,
        typer.Option(
            metavar="SPAN",
            help="How far back log lines go: 90m, 24h or 2d.",
            show_default="24h",
            parser=o.parsed(parse_span),
        ),
    ] = timedelta(hours=24),
    as_json: o.JSON = False,
) -> None:
    """Collect what somebody needs who helps you, without secrets.

    Versions, the configuration without its secrets, what doctor finds, metrics, recent lines of our own logs, depths
    of the queues, ids and counts of jobs. Nothing is sent: look at the archive, then send it yourself.
    """
    from sealbatch.config import Config, ConfigError
    from sealbatch.support.archive import write
    from sealbatch.support.parts import Case, collect
    from sealbatch.support.redactor import REMOVED, Redactor
    from sealbatch.support.secrets_here import secrets_here
    from sealbatch.tickets import own_tickets

    face: Face = context.obj
    screen = face.screen(as_json=as_json, fleeting=True)
    config: Config | None = None
    trouble = ""
    try:
        config = face.config(screen)
    except ConfigError as error:  # it may be what is wrong
        trouble = str(error)
    name = f"sealbatch-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    path = output or Path(f"{name}.tar.gz")
    if path.exists():
        raise Stop(Exit.USAGE, f"{path} exists; name another with -o")
    check_output(str(path), force=False)
    redactor = Redactor(secrets_here(config.resources if config else None, own_tickets(), os.environ))
    case = Case(config, trouble, own_tickets().all(), health, enclave or (), datetime.now(UTC) - since)
    parts = list(case.parts())
    files, rows = {}, []
    with screen.progress() as tell:
        for number, part in enumerate(parts, 1):
            text, why = map(redactor.clean, collect(part))
            if not why:
                files[part.name] = text
            rows.append(
                {"file": part.name, "bytes": len(text.encode()) if not why else None, "about": why or part.about}
            )
            tell(Progress("collecting", number, len(parts), part.name))
    listed = "".join(f"{row['file']}: {row['about']}\n" for row in rows)
    write(path, name, {"README.txt": README.format(removed=REMOVED) + listed, **files})
    screen.rows(("file", "bytes", "about"), rows)
    screen.say(f"{path} was written and sent to nobody; look at it first, and send it only if you would show all of it")
    screen.next_step(f"tar -xzOf {path} | less")
