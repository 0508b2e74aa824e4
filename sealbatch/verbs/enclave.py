"""`sealbatch enclave`: sizes, starts, looks at and ends the enclave of a parent; and the program inside of it."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.fleet.allocator import ALLOCATOR
from sealbatch.help import make_group, verb
from sealbatch.verbs import enclave_feed, enclave_size
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t

if TYPE_CHECKING:
    from results_consumer.trust import Release
    from sealbatch.fleet.nitro import Enclave, Order
    from sealbatch.screen import Screen
    from wire.address import Address
    from wire.messages import Ready

app = make_group(
    "The enclave of a parent: size, run, feed, describe, stop.",
    """\
sealbatch enclave size --eif sealbatch.eif --model bloom-560m
sealbatch enclave run --eif sealbatch.eif --release pcrs.json
sealbatch enclave describe""",
)

RUN_EXAMPLES = """\
sealbatch enclave run --eif sealbatch.eif --release pcrs.json \\
    --model bloom-560m
# under systemd
sealbatch enclave run --eif sealbatch.eif --release pcrs.json --follow"""
DESCRIBE_EXAMPLES = """\
sealbatch enclave describe
sealbatch enclave describe --release pcrs.json --json"""

NAME = Annotated[str, typer.Option(metavar="NAME", help="The enclave's name for nitro-cli.")]
ADDRESS = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Where it listens.", show_default="vsock://CID:5005"),
]
DEFAULT_NAME = "sealbatch"
DOCTOR = "sealbatch doctor --role bridge"
MIN_CID = 4
COLUMNS = ("name", "state", "cid", "cpus", "memory_mib", "debug", "image", "ready")

verb(app, enclave_size.EXAMPLES, "size")(enclave_size.command)
verb(app, enclave_feed.EXAMPLES, "feed")(enclave_feed.command)


@verb(app, RUN_EXAMPLES)
@ends_well
def run(
    context: typer.Context,
    eif: Annotated[Path, typer.Option(metavar="FILE", help="The enclave image of a release.")],
    release: Annotated[Path, typer.Option(metavar="FILE", help="The release's pcrs.json: the image must be its own.")],
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Give it this model, if none lies in the image.")
    ] = None,
    name: NAME = DEFAULT_NAME,
    cid: Annotated[int, typer.Option(min=MIN_CID, max=2**32 - 2, metavar="N", help="Its vsock context ID.")] = 16,
    memory: Annotated[
        int | None,
        typer.Option(min=64, metavar="MIB", help="Memory of the enclave.", show_default="all that is set aside"),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPUs of the enclave.", show_default="all that are set aside")
    ] = None,
    allocator: Annotated[Path, typer.Option(metavar="FILE", help="The allocator's file.")] = ALLOCATOR,
    address: ADDRESS = None,
    model_address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where it waits for a model.", show_default="vsock://CID:5006"),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="It must be ready after so long.")] = 600.0,
    follow: Annotated[bool, typer.Option(help="Stay until it ends; SIGTERM ends it. For systemd.")] = False,
    debug: Annotated[bool, typer.Option(help="With a console for the host. KMS gives it no key.")] = False,
    as_json: q.JSON = False,
) -> None:
    """Start a release's image and wait until it has attested.

    The image is measured first and refused with exit code 9 unless it is the release's. An enclave that does not get
    ready is ended again.
    """
    from sealbatch.fleet import nitro

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    [wanted] = t.releases(face, None, [release])
    where = _address(address)
    if model is not None:
        enclave_feed.check_model(model, wanted)
    order = _order(eif, wanted, name, cid, memory, cpus, allocator, debug=debug)
    stopping = threading.Event()
    if follow:
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try:
        if nitro.find(name) is not None:
            raise Stop(Exit.USAGE, f"an enclave named {name} is there already", f"sealbatch enclave stop --name {name}")
        screen.say(f"starting {eif} with {order.cpus} CPUs and {order.memory_mib} MiB")
        started = nitro.run(order)
    except nitro.NitroError as error:
        raise Stop(Exit.CONFIGURATION, str(error), DOCTOR) from None
    if debug:
        screen.say("debug mode: its console is open to the host, its PCR0 is zeros, and KMS gives it no key")
        screen.rows(COLUMNS, [_row(started, None)])
        return
    if model is not None:
        _feed(screen, started, model, model_address, timeout, stopping)
    ready, serves_at = _await_ready(started, where, wanted, timeout, stopping)
    screen.rows(COLUMNS, [_row(started, ready)])
    screen.next_step(f"sealbatch bridge --enclave {serves_at}")
    if follow:
        _follow(started, stopping, screen)


def _order(
    eif: Path,
    release: "Release",
    name: str,
    cid: int,
    memory: int | None,
    cpus: int | None,
    allocator: Path,
    *,
    debug: bool,
) -> "Order":
    from sealbatch.fleet.allocator import AllocatorError, read_allocation
    from sealbatch.fleet.nitro import Order
    from sealbatch.verbs.image import read

    measured = read(eif).pcrs
    # Registers that the hypervisor makes of the image; the others come from elsewhere.
    wrong = [index for index in (0, 1, 2, 8) if index in release.pcrs and measured.get(index) != release.pcrs[index]]
    if wrong:
        raise Stop(
            Exit.INTEGRITY,
            f"{eif} is not the image of release {release.name}: PCR{wrong[0]} differs; nothing was started",
        )
    if memory is None or cpus is None:
        try:
            aside = read_allocation(allocator)
        except AllocatorError as error:
            raise Stop(Exit.CONFIGURATION, str(error), DOCTOR) from None
        memory, cpus = memory or aside.memory_mib, cpus or aside.cpus
    return Order(eif, name, memory, cpus, cid, debug)


def _feed(
    screen: "Screen", started: "Enclave", model: Path, named: str | None, timeout: float, stopping: threading.Event
) -> None:
    """Give a started enclave its model; one that does not take it is ended again."""
    from wire.address import Address
    from wire.model_feed import PORT

    try:
        enclave_feed.feed(screen, _address(named) or Address(None, started.cid, PORT), model, timeout, stopping)
    except (Stop, KeyboardInterrupt) as error:
        _end(started)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Stop(error.code, f"the enclave was ended again: {error}") from None


def _await_ready(
    started: "Enclave", where: "Address | None", release: "Release", timeout: float, stopping: threading.Event
) -> "tuple[Ready, Address]":
    from sealbatch.fleet import nitro, watch

    address = watch.address_of(started, where)
    try:
        return watch.await_ready(started, address, release.pcrs[0].hex(), timeout, stopping.wait), address
    except (watch.NotServingError, nitro.NitroError, KeyboardInterrupt) as error:
        _end(started)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Stop(Exit.TEMPORARY, f"the enclave was ended again: {error}") from None


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


@verb(app, DESCRIBE_EXAMPLES)
@ends_well
def describe(
    context: typer.Context,
    release: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The release whose image they must attest.")
    ] = None,
    address: ADDRESS = None,
    as_json: q.JSON = False,
) -> None:
    """List the enclaves of this parent, and whether they are ready.

    The exit code is 75 if none is ready, and 9 if one attests another image than the release's or is in debug mode.
    """
    from sealbatch.fleet import nitro, watch

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    images = t.images(face, None, None if release is None else [release])
    where = _address(address)
    try:
        found = nitro.describe()
    except nitro.NitroError as error:
        raise Stop(Exit.CONFIGURATION, str(error), DOCTOR) from None
    ready = [watch.greeting(watch.address_of(enclave, where)) for enclave in found]
    screen.rows(COLUMNS, [_row(enclave, said) for enclave, said in zip(found, ready, strict=True)])
    for enclave, said in zip(found, ready, strict=True):
        if enclave.debug:
            raise Stop(Exit.INTEGRITY, f"{enclave.name} is in debug mode: end it")
        if said is not None and images and said.image not in images:
            raise Stop(Exit.INTEGRITY, f"{enclave.name} is not the release's image: end it")
    if not any(ready):
        raise Stop(
            Exit.TEMPORARY,
            "no enclave that this user may see is ready; root sees all",
            "sealbatch enclave run --eif FILE --release FILE",
        )
    first = next(enclave for enclave, said in zip(found, ready, strict=True) if said is not None)
    screen.next_step(f"sealbatch bridge --enclave {watch.address_of(first, where)}")


@verb(app, "sealbatch enclave stop")
@ends_well
def stop(context: typer.Context, name: NAME = DEFAULT_NAME) -> None:
    """End an enclave. What it works on comes again from the queue."""
    from sealbatch.fleet import nitro

    face: Face = context.obj
    screen = face.screen()
    try:
        enclave = nitro.find(name)
        if enclave is None:
            screen.say(f"no enclave named {name} is there")
            return
        nitro.terminate(enclave.identity)
    except nitro.NitroError as error:
        raise Stop(Exit.CONFIGURATION, str(error), DOCTOR) from None
    screen.say(f"{name} ended")
    screen.next_step("sealbatch enclave run --eif FILE --release FILE")


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


def _address(text: str | None) -> "Address | None":
    from wire.address import Address

    try:
        return None if text is None else Address.parse(text)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--address: {error}") from None


def _row(enclave: "Enclave", ready: "Ready | None") -> dict[str, object]:
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
