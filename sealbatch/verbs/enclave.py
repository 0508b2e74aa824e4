"""`sealbatch enclave`: sizes, starts, looks at and ends the enclave of a parent; and the program inside of it."""

from pathlib import Path
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.terminal.help import make_group, verb
from sealbatch.verbs import enclave_feed, enclave_run, enclave_size
from sealbatch.verbs import enclave_options as e
from sealbatch.verbs import options as o
from sealbatch.verbs import trust as t

app = make_group(
    "The enclave of a parent: size, run, feed, describe, stop.",
    """\
sealbatch enclave size --eif sealbatch.eif --model bloom-560m
sealbatch enclave run --eif sealbatch.eif --release pcrs.json
sealbatch enclave describe""",
)

START = "sealbatch enclave run --eif FILE --release FILE"

verb(app, enclave_size.EXAMPLES, "size")(enclave_size.command)
verb(app, enclave_feed.EXAMPLES, "feed")(enclave_feed.command)
verb(app, enclave_run.EXAMPLES, "run")(enclave_run.command)


@verb(
    app,
    """\
sealbatch enclave describe
sealbatch enclave describe --release pcrs.json --json""",
)
@ends_well
def describe(
    context: typer.Context,
    release: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The release whose image they must attest.")
    ] = None,
    address: e.ADDRESS = None,
    as_json: o.JSON = False,
) -> None:
    """List the enclaves of this parent, and whether they are ready.

    The exit code is 75 if none is ready, and 9 if one attests another image than the release's or is in debug mode.
    """
    from sealbatch.fleet import nitro, watch

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    wanted = t.releases(face, None, None if release is None else [release])
    found = [(enclave, watch.greeting(watch.address_of(enclave, address))) for enclave in nitro.describe()]
    screen.rows(e.COLUMNS, [e.row(enclave, ready) for enclave, ready in found])
    for enclave, ready in found:
        if enclave.debug:
            raise Stop(Exit.INTEGRITY, f"{enclave.name} is in debug mode: end it")
        if ready is not None and wanted and ready.image != wanted[0].pcrs[0].hex():
            raise Stop(Exit.INTEGRITY, f"{enclave.name} is not the release's image: end it")
    serving = next((enclave for enclave, ready in found if ready is not None), None)
    if serving is None:
        raise Stop(Exit.TEMPORARY, "no enclave that this user may see is ready; root sees all", START)
    screen.next_step(f"sealbatch bridge --enclave {watch.address_of(serving, address)}")


@verb(app, "sealbatch enclave stop")
@ends_well
def stop(context: typer.Context, name: e.NAME = e.DEFAULT_NAME) -> None:
    """End an enclave. What it works on comes again from the queue."""
    from sealbatch.fleet import nitro

    face: Face = context.obj
    screen = face.screen()
    enclave = nitro.find(name)
    if enclave is None:
        screen.say(f"no enclave named {name} is there")
    else:
        nitro.terminate(enclave.identity)
        screen.say(f"{name} ended")
    screen.next_step(START)


@verb(
    app,
    """\
# as the image's own init starts it
sealbatch enclave worker""",
)
@ends_well
def worker() -> None:
    """Answer sealed questions: the program inside the image.

    Its settings are measured into the image; it takes none from outside.
    """
    need("enclave")
    from enclave_worker.__main__ import main

    raise typer.Exit(main())
