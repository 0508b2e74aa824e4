"""`sealbatch purge`: removes a job for good."""

import sys
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.verbs.status import TICKET

EXAMPLES = """\
sealbatch purge --dry-run sb1-...
sealbatch purge --yes sb1-..."""


@ends_well
def command(
    context: typer.Context,
    ticket: TICKET,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be removed.")] = False,
) -> None:
    """Remove a job's questions, answers and keys for good.

    The manifest with the wrapped answer keys goes first: without it no copy of the answers can be opened, whoever kept
    one. A copy of sealed questions stays what it was, for the attested enclave alone. A tombstone is left, with the
    ticket and the time.
    """
    from sealbatch.meter import telling

    face: Face = context.obj
    screen = face.screen()
    job = face.client(screen).job(ticket)
    if dry_run:
        screen.data(f"{job.purge(dry_run=True):,} objects would be removed")
        screen.next_step(f"sealbatch purge {ticket}", "for good")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise Stop(Exit.USAGE, "this cannot be undone; --yes says that it is meant")
        typer.confirm(f"Remove job {job.id} for good?", abort=True, err=True)
    with screen.meter() as meter:
        removed = job.purge(progress=telling(meter))
    screen.say(f"{removed:,} objects of job {job.id} are removed; no copy of its answers can be opened now")
    screen.next_step("sealbatch list")
