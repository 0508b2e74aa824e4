"""`sealbatch sweep`: sends again what a job misses and no message can bring any more."""

from typing import Annotated

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import questions as q

EXAMPLES = """Examples:
sealbatch sweep sb1-...
sealbatch sweep --all --dry-run"""


@ends_well
def command(
    context: typer.Context,
    ticket: Annotated[list[str] | None, typer.Argument(metavar="[TICKET]...", help="Jobs to look at.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Look at all jobs whose tickets this user holds.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Send even if messages may still be in the queue.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be sent.")] = False,
    as_json: q.JSON = False,
) -> None:
    """Send again what has no answer and no message.

    A chunk that is sent twice does no harm. A message is taken to be gone when the queue is empty, or when it was sent
    longer ago than the queue keeps messages.
    """
    from results_consumer.errors import IntegrityError
    from sealbatch.clients import producer_clients, reader_s3
    from sealbatch.exits import Exit
    from sealbatch.faults import Stop
    from sealbatch.sweeper import Sweeper, Swept
    from wire.ticket import Ticket

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    if bool(ticket) == every:
        raise Stop(Exit.USAGE, "name tickets, or --all")
    book = face.tickets()
    found = [Ticket.parse(kept.ticket) for kept in book.all()] if every else [book.find(text) for text in ticket or ()]
    config = face.config(screen)
    sweeper = Sweeper(reader_s3(config), config.reader(), producer_clients(config), config.producer())

    def look(one: Ticket) -> Swept | None:
        try:
            return sweeper.sweep(one, force=force, dry_run=dry_run)
        except IntegrityError:
            if every:  # another stack's job, or one that was purged
                return None
            raise

    rows = [
        {"job": swept.job, "chunks": swept.chunks, "missing": swept.missing, "sent": swept.sent}
        for swept in map(look, found)
        if swept is not None
    ]
    screen.rows(("job", "chunks", "missing", "sent"), rows)
