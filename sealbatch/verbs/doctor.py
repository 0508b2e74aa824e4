"""`sealbatch doctor`: finds what is wrong around a job before the job does."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch import complete
from sealbatch.exits import Exit
from sealbatch.face import Face, ends_well
from sealbatch.faults import Stop
from sealbatch.fleet.allocator import ALLOCATOR
from sealbatch.verbs import questions as q
from sealbatch.verbs import trust as t

if TYPE_CHECKING:
    from producer.pins import Pin
    from sealbatch.config import Config
    from sealbatch.doctor.finding import Finding
    from wire.address import Address

EXAMPLES = """\
sealbatch doctor
# on the enclave's parent
sealbatch doctor --role bridge --eif sealbatch.eif
# does the running enclave attest this release?
sealbatch doctor --release pcrs.json --enclave vsock://16:5005
# only what must be mended
sealbatch doctor --json | jq 'select(.status == "error")'"""

ROLES = ("producer", "reader", "bridge")
NEEDED = ("tenant", "bucket", "queue_url", "question_key", "answer_key", "image")


@ends_well
def command(
    context: typer.Context,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE",
            help="Check as producer, reader or bridge; may be given again.",
            show_default="all three",
            autocompletion=complete.one_of("producer", "reader", "bridge"),
        ),
    ] = None,
    enclave: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Call this enclave, such as vsock://16:5005; may be given again."),
    ] = None,
    release: t.RELEASE = None,
    eif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The image that the enclave's memory must hold.")
    ] = None,
    allocator: Annotated[Path, typer.Option(metavar="FILE", help="The allocator's file.")] = ALLOCATOR,
    as_json: q.JSON = False,
) -> None:
    """Check everything around a job, and say how to mend it.

    Changes nothing. The exit code is 0 if there is no error (warnings are none), 78 if there is one.
    """
    from producer.pins import Pin
    from sealbatch.doctor.finding import Status
    from wire.address import Address

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    roles = tuple(role or ROLES)
    if unknown := [name for name in roles if name not in ROLES]:
        raise Stop(Exit.USAGE, f"--role is one of {', '.join(ROLES)}, not {unknown[0]}")
    try:
        addresses = [Address.parse(text) for text in enclave or ()]
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--enclave: {error}") from None
    pins = t.pins(face, None, release)
    config = face.config(screen)
    wanted = pins or ((Pin(config.resources.image),) if config.resources.image else ())
    images = [pin.image for pin in wanted]
    findings = [*_aws(config, roles, wanted), *_host(config, addresses, images, allocator, eif)]
    findings += _image(config, [pin.image for pin in pins], eif)
    rows = [{"check": f.check, "status": str(f.status), "found": f.found, "mend": f.mend} for f in findings]
    screen.rows(("check", "status", "found", "mend"), rows)
    counts = {status: sum(f.status is status for f in findings) for status in Status}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if counts[Status.ERROR]:
        raise Stop(Exit.CONFIGURATION, said)
    screen.say(said)


def _aws(config: "Config", roles: Sequence[str], pins: "Sequence[Pin]") -> "Iterator[Finding]":
    from sealbatch.clients import Connector
    from sealbatch.config import ConfigError
    from sealbatch.doctor import aws
    from sealbatch.doctor.finding import Finding, Status

    if lacking := list(aws.required(config, NEEDED)):
        yield from lacking
        return
    yield from aws.check_region(config)
    for role in roles:
        try:
            connector = Connector(config, getattr(config.resources.profiles, role))
            found = list(aws.check_credentials(role, connector.client("sts")))
        except ConfigError as error:
            yield Finding(
                f"credentials {role}", Status.ERROR, str(error), f"correct profiles.{role}, or leave out the role"
            )
            continue
        # The clock is one, whoever looks at it.
        yield from (one for one in found if one.check != "clock" or role == roles[0])
        if found[0].status is not Status.OK:
            continue
        if role == "producer":
            yield from aws.check_keys(config, connector.client("kms"), pins)
        if role == "bridge":
            yield from aws.check_queues(config, connector.client("sqs"))
            yield from aws.check_bucket(config, connector.client("s3"))


def _host(
    config: "Config", addresses: "Sequence[Address]", images: Sequence[str], allocator: Path, eif: Path | None
) -> "Iterator[Finding]":
    from sealbatch.doctor import host

    if config.resources.nightly or config.resources.schedules:
        yield from _redis(config)
    for address in addresses:
        yield from host.check_enclave(address, images)
    yield from host.check_allocator(allocator, eif)
    yield from host.check_versions()


def _image(config: "Config", released: Sequence[str], eif: Path | None) -> "Iterator[Finding]":
    from sealbatch.doctor import host

    yield from host.check_image(config.resources.image, released, eif)


def _redis(config: "Config") -> "Iterator[Finding]":
    from sealbatch.doctor import host
    from sealbatch.nightly.schedule import NightlySettings

    yield from host.check_redis(str(config.resources.nightly.get("redis_url", NightlySettings().redis_url)))
