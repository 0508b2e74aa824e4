"""What the verbs of `sealbatch enclave` have in common: options, and how an enclave is shown."""

from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.verbs import options as o
from wire.address import Address

if TYPE_CHECKING:
    from sealbatch.fleet.nitro import Enclave
    from wire.messages import Ready

DEFAULT_NAME = "sealbatch"
NAME = Annotated[str, typer.Option(metavar="NAME", help="The enclave's name for nitro-cli.")]
ADDRESS = Annotated[
    Address | None,
    typer.Option(metavar="ADDRESS", help="Where it listens.", show_default="vsock://CID:5005", parser=o.address),
]
COLUMNS = ("name", "state", "cid", "cpus", "memory_mib", "debug", "image", "ready")


def row(enclave: "Enclave", ready: "Ready | None") -> dict[str, object]:
    """An enclave, and what it said of itself if it answered."""
    return {
        "name": enclave.name,
        "id": enclave.identity,
        "state": enclave.state.lower(),
        "cid": enclave.cid,
        "cpus": enclave.cpus,
        "memory_mib": enclave.memory_mib,
        "debug": enclave.debug,
        "image": None if ready is None else ready.image[:16],
        "ready": ready is not None,
    }
