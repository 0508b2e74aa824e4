"""Options and arguments that several verbs have."""

from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeVar

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.terminal import complete
from sealbatch.terminal import help as h
from wire.address import Address

Parsed = TypeVar("Parsed")


def parsed(parse: Callable[[str], Parsed]) -> Callable[[str | Parsed], Parsed]:
    """`parse` for an option: what its ValueError says, the user is told behind the option's name."""

    def convert(text: str | Parsed) -> Parsed:
        if not isinstance(text, str):
            return text  # the default
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return convert


address = parsed(Address.parse)


class HostPort(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@parsed
def host_and_port(text: str) -> HostPort:
    """HOST:PORT, as it is typed."""
    host, separator, port = text.rpartition(":")
    host = host.strip("[]")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("HOST:PORT, such as 127.0.0.1:8321 or [::1]:8321")
    return HostPort(host, int(port))


HEALTH = Annotated[
    HostPort | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Serve /healthz and /metrics (Prometheus) there.",
        show_default="nowhere",
        parser=host_and_port,
    ),
]


def not_served(option: str, at: HostPort, error: OSError) -> Stop:
    """What ends a program that cannot listen there."""
    why = (error.strerror or type(error).__name__).partition(" (")[0].lower()
    return Stop(Exit.TEMPORARY, f"cannot serve on {at}: {why}", f"name another address with {option}")


TICKET = Annotated[
    str,
    typer.Argument(
        metavar="TICKET",
        help="What submit printed, or the first 4 characters or more of the job's id.",
        autocompletion=complete.tickets,
    ),
]
OUTPUT = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="File for the answers: CSV or Parquet if its name ends so, else JSON lines; - for a pipe.",
        rich_help_panel=h.OUTPUT,
    ),
]
FORCE = Annotated[
    bool, typer.Option("--force", help="Overwrite OUT and its receipts if they exist.", rich_help_panel=h.OUTPUT)
]
TIMEOUT = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Wait so long at most, then exit with 124; the job goes on.",
        show_default="no limit",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="JSON lines on standard output, even on a terminal.")]
YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
