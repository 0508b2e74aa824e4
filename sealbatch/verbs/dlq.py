"""`sealbatch dlq`: what lies in the dead-letter queue, and the way back. Nothing of it is opened."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, confirm, ends_well
from sealbatch.progress import Progress
from sealbatch.terminal.help import make_group, verb
from sealbatch.times import local_minute
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from vsock_bridge.dead_letters import DeadLetter, DeadLetters

app = make_group(
    "The dead-letter queue: what could not be answered or read.",
    """\
sealbatch dlq ls
# after what made them fail is mended
sealbatch dlq redrive --reason too_many_receives""",
)

MOST = 1000
LIMIT = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Look at so many messages at most.")]
DRY = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done.")]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which messages."""

    reason: Annotated[
        Literal["too_many_receives", "undecodable"] | None,
        typer.Option(metavar="REASON", help="Only too_many_receives, or only undecodable ones.", show_default="both"),
    ] = None
    job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Only chunks of this job, by the beginning of its id.")
    ] = None
    limit: LIMIT = MOST

    def of(self, letters: "DeadLetters") -> "Iterator[DeadLetter]":
        """Those among what lies there."""
        for letter in letters.look(self.limit):
            of_job = self.job is None or (letter.chunk is not None and letter.chunk.job.startswith(self.job))
            if of_job and self.reason in {None, letter.reason}:
                yield letter

    @property
    def typed(self) -> str:
        """The options as they were typed, for what is to be typed next."""
        words = {"reason": self.reason, "job": self.job, "limit": None if self.limit == MOST else self.limit}
        return "".join(f" --{name} {value}" for name, value in words.items() if value is not None)


@verb(
    app,
    """\
sealbatch dlq ls
# how many of each job
sealbatch dlq ls --json | jq -r .job | sort | uniq -c""",
    "ls",
)
@ends_well
def show_all(
    context: typer.Context,
    *,
    chosen: Chosen,
    as_json: o.JSON = False,
) -> None:
    """List what lies there, by reason."""
    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    letters = _open(face)
    rows = [_row(letter) for letter in chosen.of(letters)]
    screen.rows(("id", "reason", "job", "chunk", "bytes", "sent"), rows)
    if rows:
        screen.next_step(f"sealbatch dlq redrive{chosen.typed} --dry-run")
    else:
        screen.say("nothing lies there")
        screen.next_step("sealbatch list")


@verb(app, "sealbatch dlq show 5f0c", "show")
@ends_well
def show_one(
    context: typer.Context,
    message: Annotated[str, typer.Argument(metavar="ID", help="The beginning of a message's id.")],
    limit: LIMIT = MOST,
) -> None:
    """Show all that is known of one message."""
    import json

    face: Face = context.obj
    letters = _open(face)
    with closing(letters.look(limit)) as all_letters:
        found = next((letter for letter in all_letters if letter.message_id.startswith(message)), None)
    if found is None:
        raise Stop(Exit.NO_SUCH_JOB, "no message there has an id that begins so", "sealbatch dlq ls")
    chunk = found.chunk
    more = {} if chunk is None else {"first": chunk.first, "count": chunk.count, "digest": chunk.digest.hex()}
    screen = face.screen()
    screen.data(json.dumps(_row(found) | {"why": found.why, "sha256": found.sha256} | more))
    remedy = "drop --reason undecodable" if chunk is None else f"redrive --job {chunk.job}"
    screen.next_step(f"sealbatch dlq {remedy}")


@verb(
    app,
    """\
sealbatch dlq redrive --dry-run
sealbatch dlq redrive --job 4fd0""",
)
@ends_well
def redrive(
    context: typer.Context,
    *,
    chosen: Chosen,
    dry_run: DRY = False,
) -> None:
    """Send chunks to the queue again that they came from.

    Do this after what made them fail is mended. What is none of ours cannot be sent and stays.
    """
    face: Face = context.obj
    screen = face.screen()
    letters = _open(face)
    sent = stay = 0
    with screen.progress() as tell:
        for letter in chosen.of(letters):
            if letter.chunk is None:
                stay += 1
                continue
            sent += 1
            if not dry_run:
                letters.redrive(letter)
                tell(Progress("sending again", sent, None))
    screen.data(f"{sent:,} chunks {'would be' if dry_run else 'were'} sent again")
    if stay:
        screen.say(f"{stay:,} messages are none of ours and stay")
    screen.next_step(f"sealbatch dlq redrive{chosen.typed}" if dry_run and sent else "sealbatch dlq ls")


@verb(
    app,
    """\
sealbatch dlq drop --reason undecodable --dry-run
sealbatch dlq drop --reason undecodable --yes""",
)
@ends_well
def drop(
    context: typer.Context,
    *,
    chosen: Chosen,
    dry_run: DRY = False,
    yes: o.YES = False,
) -> None:
    """Remove messages for good.

    A chunk's questions stay in the bucket: sweep sends them again, as long as the job is not canceled or purged.
    """
    face: Face = context.obj
    if not dry_run and not yes:
        confirm("Remove these messages for good?")
    screen = face.screen()
    letters = _open(face)
    dropped = 0
    with screen.progress() as tell:
        for letter in chosen.of(letters):
            dropped += 1
            if not dry_run:
                letters.drop(letter)
                tell(Progress("removing messages", dropped, None))
    screen.data(f"{dropped:,} messages {'would be' if dry_run else 'were'} removed")
    again = f"sealbatch dlq drop{chosen.typed} --yes" if dropped else "sealbatch dlq ls"
    screen.next_step(again if dry_run else "sealbatch sweep --all --dry-run")


def _open(face: Face) -> "DeadLetters":
    need("bridge")
    from sealbatch.aws.clients import Connector
    from sealbatch.config import ConfigError
    from vsock_bridge.dead_letters import DeadLetters

    config = face.config(face.screen())
    queue, dead = config.resources.queue_url, config.resources.dead_letter_url
    if queue is None or dead is None:
        raise ConfigError(f"{config.source}: queue_url and dead_letter_url are needed")
    return DeadLetters(Connector(config, config.resources.profiles.bridge).client("sqs"), dead, queue)


def _row(letter: "DeadLetter") -> dict[str, Any]:
    return {
        "id": letter.message_id,
        "reason": letter.reason,
        "job": letter.chunk and letter.chunk.job,
        "chunk": letter.chunk and letter.chunk.chunk,
        "bytes": letter.size,
        "sent": local_minute(letter.sent_ms / 1000),
    }
