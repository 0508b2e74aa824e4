"""`sealbatch purge`: removes a job for good."""

from typing import Annotated

import typer

from sealbatch.face import Face, confirm, ends_well
from sealbatch.verbs import options as o

EXAMPLES = """\
sealbatch purge --dry-run sb1-...
sealbatch purge --yes sb1-..."""


@ends_well
def command(
    context: typer.Context,
    ticket: o.TICKET,
    yes: o.YES = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be removed.")] = False,
) -> None:
    """Remove a job's questions, answers and keys for good.

    The manifest with the wrapped answer keys goes first: without it no copy of the answers can be opened, whoever kept
    one. A copy of sealed questions stays what it was, for the attested enclave alone. A tombstone is left, with the
    ticket and the time.
    """
    face: Face = context.obj
    screen = face.screen()
    job = face.client(screen).job(ticket)
    if dry_run:
        screen.data(f"{job.purge(dry_run=True):,} objects would be removed")
        screen.next_step(f"sealbatch purge {ticket}", "for good")
        return
    if not yes:
        confirm(f"Remove job {job.id} for good?")
    with screen.progress() as tell:
        removed = job.purge(progress=tell)
    screen.say(f"{removed:,} objects of job {job.id} are removed; no copy of its answers can be opened now")
    screen.next_step("sealbatch list")
