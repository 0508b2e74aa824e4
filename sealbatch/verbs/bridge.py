"""`sealbatch bridge`: the program of the EC2 parent."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o
from wire.address import Address

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
        list[Address],
        typer.Option(
            metavar="ADDRESS",
            help="vsock://CID:PORT, unix:///PATH or hvsock:///PATH:PORT; may be given again.",
            parser=o.address,
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
    health: o.HEALTH = None,
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

    from sealbatch.aws.clients import bridge_clients
    from vsock_bridge.main import run

    face: Face = context.obj
    # A service's log is what its operator reads, so it is on without --verbose.
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("sealbatch").setLevel(logging.INFO)
    config = face.config(face.screen())
    settings = replace(config.bridge(enclave), visibility=visibility, stall=stall, grace=grace)
    ready = (lambda: None) if ready_file is None else ready_file.touch
    raise typer.Exit(run(settings, bridge_clients(config), ready, health))
