"""`sealbatch sweep`: sends again what a job misses and no message can bring any more."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.face import Face, ends_well
from sealbatch.progress import Progress
from sealbatch.terminal import complete
from sealbatch.times import parse_span
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from sealbatch.sweeper import Swept
    from sealbatch.terminal.screen import Screen
    from wire.ticket import Ticket

EXAMPLES = """\
sealbatch sweep sb1-...
sealbatch sweep --all --dry-run
# under a service manager
sealbatch sweep --all --every 10m"""

COLUMNS = ("job", "chunks", "missing", "sent")

Look = Callable[["Ticket"], "Swept | None"]


@ends_well
def command(
    context: typer.Context,
    ticket: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TICKET]...", help="Jobs to look at.", autocompletion=complete.tickets),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Look at all jobs whose tickets this user holds.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Send even if messages may still be in the queue.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be sent.")] = False,
    span: Annotated[
        timedelta | None,
        typer.Option(
            "--every",
            metavar="SPAN",
            help="Again and again until SIGTERM, so often: 10m, 2h or 1d.",
            show_default="once",
            parser=o.parsed(parse_span),
        ),
    ] = None,
    as_json: o.JSON = False,
) -> None:
    """Send again what has no answer and no message.

    A chunk that is sent twice does no harm. A message is taken to be gone when the queue is empty, or when it was sent
    longer ago than the queue keeps messages. A `sealbatch worker` does this for the files of its schedules by itself.
    """
    from results_consumer.errors import IntegrityError
    from sealbatch.aws.clients import producer_clients, reader_s3
    from sealbatch.exits import Exit, Stop
    from sealbatch.sweeper import Sweeper
    from sealbatch.tickets import own_tickets
    from wire.ticket import Ticket

    face: Face = context.obj
    screen = face.screen(as_json=as_json, fleeting=True)
    if bool(ticket) == every:
        raise Stop(Exit.USAGE, "name tickets, or --all")
    if span is not None and force:
        raise Stop(Exit.USAGE, "--force sends whether or not a message is gone: once, and not again and again")
    book = own_tickets()
    config = face.config(screen)
    sweeper = Sweeper(reader_s3(config), config.reader(), producer_clients(config), config.producer())
    named = [book.find(text) for text in ticket or ()]

    def jobs() -> list[Ticket]:
        return [Ticket.parse(kept.ticket) for kept in book.all()] if every else named

    def look(one: Ticket) -> "Swept | None":
        try:
            return sweeper.sweep(one, force=force, dry_run=dry_run)
        except IntegrityError:
            if every:  # another stack's job, or one that was purged
                return None
            raise

    if span is None:
        found = _look_at_all(screen, jobs(), look)
        screen.rows(COLUMNS, [_row(swept) for swept in found])
        missing, sent = sum(one.missing for one in found), sum(one.sent for one in found)
        screen.say(
            f"{missing:,} chunks miss answers; {sent:,} of them were sent again" if missing else "no answer is missing"
        )
        screen.next_step("sealbatch list")
    else:
        keep_sweeping(screen, jobs, look, span.total_seconds())


def _look_at_all(screen: "Screen", jobs: "list[Ticket]", look: Look) -> "list[Swept]":
    found = []
    with screen.progress() as tell:
        for done, one in enumerate(jobs, 1):
            swept = look(one)
            if swept is not None:
                found.append(swept)
            tell(Progress("looking at jobs", done, len(jobs)))
    return found


def _row(swept: "Swept") -> dict[str, object]:
    return {"job": swept.job, "chunks": swept.chunks, "missing": swept.missing, "sent": swept.sent}


def keep_sweeping(screen: "Screen", jobs: "Callable[[], Iterable[Ticket]]", look: Look, seconds: float) -> None:
    """Sweep every so many seconds until SIGTERM or SIGINT; of a job that lacks nothing no more is asked.

    What AWS does not answer is said, and asked again the next time.
    """
    from aws_errors.service_error import ServiceError
    from results_consumer.errors import ReaderError
    from vsock_bridge.signals import Signals

    done = set[str]()
    with Signals() as signals:
        while True:
            for one in jobs():
                if one.job in done:
                    continue
                if signals.wait(0):
                    return
                try:
                    swept = look(one)
                except (ReaderError, ServiceError) as error:
                    screen.complain(f"{one.job}: {error}; looked at again in {seconds:.0f} s")
                    continue
                if swept is None or not swept.missing:
                    done.add(one.job)
                elif swept.sent:
                    screen.rows(COLUMNS, [_row(swept)])
            if signals.wait(seconds):
                return
