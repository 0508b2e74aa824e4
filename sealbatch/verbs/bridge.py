"""`sealbatch bridge`: the program of the EC2 parent."""

from pathlib import Path
from typing import Annotated

import typer

from sealbatch.exits import Exit
from sealbatch.face import Face, ends_well
from sealbatch.faults import Stop

EXAMPLES = """Examples:
sealbatch bridge --enclave vsock://16:5005
sealbatch bridge --enclave vsock://16:5005 --enclave vsock://17:5005"""


@ends_well
def command(
    context: typer.Context,
    enclave: Annotated[
        list[str], typer.Option(metavar="ADDRESS", help="vsock://CID:PORT or unix:///PATH; may be given again.")
    ],
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Touch this file when an enclave is connected.")
    ] = None,
) -> None:
    """Carry sealed chunks between queue, enclaves and bucket.

    Runs on the enclave's parent until SIGTERM.
    """
    import logging

    from sealbatch.clients import bridge_clients
    from vsock_bridge.main import run
    from wire.stream import Address

    face: Face = context.obj
    try:
        addresses = [Address.parse(text) for text in enclave]
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--enclave: {error}") from None
    # A service's log is what its operator reads, so it is on without --verbose.
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("sealbatch").setLevel(logging.INFO)
    config = face.config(face.screen())
    ready = (lambda: None) if ready_file is None else ready_file.touch
    raise typer.Exit(run(config.bridge(addresses), bridge_clients(config), ready))
