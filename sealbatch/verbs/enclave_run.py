"""`sealbatch enclave run`: starts a release's image, and waits until it has attested."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.fleet.allocator import ALLOCATOR
from sealbatch.progress import Progress
from sealbatch.verbs import enclave_feed
from sealbatch.verbs import enclave_options as e
from sealbatch.verbs import options as o
from sealbatch.verbs import trust as t
from wire.address import Address
from wire.model_feed import PORT

if TYPE_CHECKING:
    from results_consumer.trust import Release
    from sealbatch.fleet.nitro import Enclave
    from sealbatch.terminal.screen import Screen
    from wire.messages import Ready

EXAMPLES = """\
sealbatch enclave run --eif sealbatch.eif --release pcrs.json \\
    --model bloom-560m
# under systemd
sealbatch enclave run --eif sealbatch.eif --release pcrs.json --follow"""

MIN_CID = 4
OF_IMAGE = (0, 1, 2, 8)
"""Registers that the hypervisor makes of the image; the others come from elsewhere."""


@ends_well
def command(
    context: typer.Context,
    *,
    eif: Annotated[Path, typer.Option(metavar="FILE", help="The enclave image of a release.")],
    release: Annotated[Path, typer.Option(metavar="FILE", help="The release's pcrs.json: the image must be its own.")],
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Give it this model, if none lies in the image.")
    ] = None,
    name: e.NAME = e.DEFAULT_NAME,
    cid: Annotated[int, typer.Option(min=MIN_CID, max=2**32 - 2, metavar="N", help="Its vsock context ID.")] = 16,
    memory: Annotated[
        int | None,
        typer.Option(min=64, metavar="MIB", help="Memory of the enclave.", show_default="all that is set aside"),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPUs of the enclave.", show_default="all that are set aside")
    ] = None,
    allocator: Annotated[Path, typer.Option(metavar="FILE", help="The allocator's file.")] = ALLOCATOR,
    address: e.ADDRESS = None,
    model_address: Annotated[
        Address | None,
        typer.Option(
            metavar="ADDRESS", help="Where it waits for a model.", show_default="vsock://CID:5006", parser=o.address
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="It must be ready after so long.")] = 600.0,
    follow: Annotated[bool, typer.Option(help="Stay until it ends; SIGTERM ends it. For systemd.")] = False,
    debug: Annotated[bool, typer.Option(help="With a console for the host. KMS gives it no key.")] = False,
    as_json: o.JSON = False,
) -> None:
    """Start a release's image and wait until it has attested.

    The image is measured first and refused with exit code 9 unless it is the release's. An enclave that does not get
    ready is ended again.
    """
    from sealbatch.fleet import nitro, watch

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    [wanted] = t.releases(face, None, [release])
    _check_image(eif, wanted)
    if model is not None:
        enclave_feed.check_model(model, wanted)
    order = nitro.Order(eif, name, *_reserved(memory, cpus, allocator), cid, debug)
    stopping = threading.Event()
    if follow:
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    if nitro.find(name) is not None:
        raise Stop(Exit.USAGE, f"an enclave named {name} is there already", f"sealbatch enclave stop --name {name}")
    screen.say(f"starting {eif} with {order.cpus} CPUs and {order.memory_mib} MiB")
    started = nitro.run(order)
    if debug:
        screen.say("debug mode: its console is open to the host, its PCR0 is zeros, and KMS gives it no key")
        screen.rows(e.COLUMNS, [e.row(started, None)])
        return
    serves_at = watch.address_of(started, address)
    with _ended_unless_ready(started):
        if model is not None:
            enclave_feed.feed(screen, model_address or Address(None, started.cid, PORT), model, timeout, stopping)
        ready = _await_ready(screen, started, serves_at, wanted, timeout, stopping)
    screen.rows(e.COLUMNS, [e.row(started, ready)])
    screen.next_step(f"sealbatch bridge --enclave {serves_at}")
    if follow:
        _follow(started, stopping, screen)


def _check_image(eif: Path, release: "Release") -> None:
    from sealbatch.image.eif import image_at

    measured = image_at(eif).pcrs
    wrong = [index for index in OF_IMAGE if index in release.pcrs and measured.get(index) != release.pcrs[index]]
    if wrong:
        raise Stop(
            Exit.INTEGRITY,
            f"{eif} is not the image of release {release.name}: PCR{wrong[0]} differs; nothing was started",
        )


def _reserved(memory: int | None, cpus: int | None, allocator: Path) -> tuple[int, int]:
    """MiB and CPUs: as asked for, or all that the allocator sets aside."""
    from sealbatch.fleet.allocator import read_allocation

    if memory is not None and cpus is not None:
        return memory, cpus
    aside = read_allocation(allocator)
    return memory or aside.memory_mib, cpus or aside.cpus


def _await_ready(
    screen: "Screen",
    started: "Enclave",
    address: Address,
    release: "Release",
    timeout: float,
    stopping: threading.Event,
) -> "Ready":
    from sealbatch.fleet import watch

    waited = 0.0
    with screen.progress() as tell:

        def wait(seconds: float) -> bool:
            nonlocal waited
            waited += seconds
            tell(Progress("waiting until it has attested, s", round(waited), round(timeout)))
            return stopping.wait(seconds)

        return watch.await_ready(started, address, release.pcrs[0].hex(), timeout, wait)


@contextmanager
def _ended_unless_ready(started: "Enclave") -> Iterator[None]:
    """Whatever goes wrong inside ends the enclave."""
    from sealbatch.fleet import nitro, watch

    try:
        yield
    except (Stop, watch.NotServingError, nitro.NitroError) as error:
        _end(started)
        code = error.code if isinstance(error, Stop) else Exit.TEMPORARY
        raise Stop(code, f"the enclave was ended again: {error}") from None
    except BaseException:
        _end(started)
        raise


def _follow(started: "Enclave", stopping: threading.Event, screen: "Screen") -> None:
    from sealbatch.fleet import nitro, watch

    watch.notify("READY=1")
    try:
        ended = watch.follow(started, stopping.wait)
    except nitro.NitroError as error:
        raise Stop(Exit.CONFIGURATION, f"{started.identity} may still run: {error}") from None
    if ended:
        raise Stop(Exit.TEMPORARY, f"the enclave {started.name} ended")
    watch.notify("STOPPING=1")
    _end(started)
    screen.say(f"{started.name} ended")


def _end(enclave: "Enclave") -> None:
    from sealbatch.fleet import nitro

    try:
        if nitro.find(enclave.name) is not None:
            nitro.terminate(enclave.identity)
    except nitro.NitroError as error:
        raise Stop(Exit.CONFIGURATION, f"{enclave.identity} may still run: {error}") from None
