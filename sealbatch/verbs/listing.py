"""`sealbatch list`: the jobs of this user, newest first."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer

from sealbatch.face import Face, ends_well
from sealbatch.tickets import Kept
from sealbatch.times import local_minute
from sealbatch.verbs import options as o

EXAMPLES = """\
sealbatch list
# the tickets of the last five jobs
sealbatch list -n 5 --json | jq -r .ticket"""


@ends_well
def command(
    context: typer.Context,
    most: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Show so many jobs at most.")] = 20,
    as_json: o.JSON = False,
) -> None:
    """List the jobs whose tickets you hold, and how far each is."""
    from results_consumer.errors import IntegrityError
    from sealbatch.tickets import own_tickets
    from sealbatch.verbs.status import COLUMNS, as_row

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    kept = own_tickets().all()[::-1][:most]
    if not kept:
        screen.say("no jobs yet")
        screen.next_step("sealbatch run questions.jsonl -o answers.jsonl")
        return
    client = face.client(screen)

    def row(item: Kept) -> dict[str, Any]:
        try:
            found = as_row(client.job(item.ticket).status())
        except IntegrityError as error:
            # Another stack's job, a job that was purged, or one that somebody tampered with: fetch tells which.
            found = {
                "job": item.job,
                "name": item.name,
                "state": "purged" if "purged" in str(error) else "not found",
                "created": local_minute(item.created),
            }
        return found | {"ticket": item.ticket}

    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(row, kept))
    screen.rows(COLUMNS, rows)
    screen.next_step(f"sealbatch status {rows[0]['job']}")
