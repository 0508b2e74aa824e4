"""`sealbatch bridge`: the program of the EC2 parent."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well

EXAMPLES = """\
sealbatch bridge --enclave vsock://16:5005
# with /healthz and /metrics
sealbatch bridge --enclave vsock://16:5005 --health 127.0.0.1:9464
# two enclaves
sealbatch bridge --enclave vsock://16:5005 --enclave vsock://17:5005"""


@ends_well
def command(
    context: typer.Context,
    enclave: Annotated[
        list[str],
        typer.Option(
            metavar="ADDRESS", help="vsock://CID:PORT, unix:///PATH or hvsock:///PATH:PORT; may be given again."
        ),
    ],
    visibility: Annotated[
        int, typer.Option(min=3, max=3600, metavar="SECONDS", help="Hide a message for so long at a time.")
    ] = 120,
    stall: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Give an enclave up after so long without progress.")
    ] = 300.0,
    grace: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Leave running chunks so long on SIGTERM.")
    ] = 30.0,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Serve /healthz and /metrics (Prometheus) there.", show_default="nowhere"
        ),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Touch this file when an enclave is connected.")
    ] = None,
) -> None:
    """Carry sealed chunks between queue, enclaves and bucket.

    Runs on the enclave's parent until SIGTERM. Then nothing more is received, running chunks get the grace, and all
    else goes back into the queue; it ends after the running poll of 10 s at most, and the grace; where AWS does not
    answer, calls under way are tried again for 20 s more. A second SIGTERM leaves out the grace.
    """
    import logging

    from sealbatch.clients import bridge_clients
    from vsock_bridge.main import run
    from wire.address import Address

    face: Face = context.obj
    try:
        addresses = [Address.parse(text) for text in enclave]
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--enclave: {error}") from None
    endpoint = _endpoint(health)
    # A service's log is what its operator reads, so it is on without --verbose.
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("sealbatch").setLevel(logging.INFO)
    config = face.config(face.screen())
    settings = replace(config.bridge(addresses), visibility=visibility, stall=stall, grace=grace)
    ready = (lambda: None) if ready_file is None else ready_file.touch
    raise typer.Exit(run(settings, bridge_clients(config), ready, endpoint))


def _endpoint(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise Stop(Exit.USAGE, "--health is HOST:PORT, such as 127.0.0.1:9464")
    return host, int(port)
