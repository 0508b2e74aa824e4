"""`sealbatch enclave feed`: gives an enclave that has booted without a model the one that it waits for."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.progress import Progress
from sealbatch.verbs import options as o
from wire.address import Address
from wire.model_feed import PORT

if TYPE_CHECKING:
    from results_consumer.trust import Release
    from sealbatch.terminal.screen import Screen

EXAMPLES = """\
sealbatch enclave feed bloom-560m
sealbatch enclave feed bloom-560m --enclave vsock://17:5006"""

MB = 1_000_000
DEFAULT = Address(None, 16, PORT)
MODEL = Annotated[Path, typer.Argument(metavar="DIR", help="A model's folder, as `sealbatch model fetch` makes it.")]
ENCLAVE = Annotated[
    Address,
    typer.Option(metavar="ADDRESS", help="Where the enclave waits for its model.", parser=o.address),
]
TIMEOUT = Annotated[float, typer.Option(min=1, metavar="SECONDS", help="It must have its model after so long.")]


@ends_well
def command(
    context: typer.Context,
    model: MODEL,
    enclave: ENCLAVE = DEFAULT,
    timeout: TIMEOUT = 600.0,
) -> None:
    """Give a started enclave its model.

    The enclave measures the model's manifest into PCR16 and takes no file that
    is not the manifest's. A lost connection goes on where it was.
    """
    face: Face = context.obj
    screen = face.screen()
    feed(screen, enclave, model, timeout)
    screen.next_step("sealbatch enclave describe")


def check_model(model: Path, release: "Release") -> None:
    """The model is there, and the release's, if that names one: another would be measured, and KMS give it no key.

    Raises:
        Stop: it is another. OSError: its manifest cannot be read.
    """
    from hashlib import sha256

    from wire.measurement import MODEL_PCR, model_register

    register = model_register(sha256((model / "manifest.json").read_bytes()).digest())
    if register != release.pcrs.get(MODEL_PCR, register):
        raise Stop(Exit.INTEGRITY, f"{model} is not the model of release {release.name}; nothing was started")


def feed(
    screen: "Screen", address: "Address", model: Path, timeout: float, stopping: threading.Event | None = None
) -> None:
    """Give the enclave its model, and say so; once `stopping` is set it is given up.

    Raises:
        Stop: it refuses the model, did not get it in time, or we are to give up. OSError: there is no such model.
    """
    from vsock_bridge.model_feed import FeedError, FeedRefused, feed_model

    ended = stopping or threading.Event()
    # A model that is not there is nothing to wait for.
    (model / "manifest.json").open("rb").close()
    sent, size = 0, sum(file.stat().st_size for file in model.glob("*"))

    def pause(seconds: float) -> None:
        if ended.wait(seconds):
            raise FeedError("we were told to end before it had its model")

    with screen.progress() as tell:

        def progress(total: int) -> None:
            nonlocal sent
            sent = total
            # What was sent twice, over a connection that was lost, counts once.
            tell(Progress("giving the model, MB", -(-min(total, size) // MB), -(-size // MB)))
            pause(0)

        try:
            feed_model(address, model, timeout, progress, pause)
        except FeedRefused as error:
            raise Stop(Exit.INTEGRITY, str(error)) from None
        except FeedError as error:
            raise Stop(Exit.TEMPORARY, str(error)) from None
    screen.say(f"{model}: {sent:,} bytes given to the enclave, which verified them")
