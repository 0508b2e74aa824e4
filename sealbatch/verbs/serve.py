"""`sealbatch serve`: a local endpoint that speaks OpenAI's files and batches."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o

TOKEN: str = "SEALBATCH_SERVE_TOKEN"  # noqa: S105 - the variable's name
MIN_TOKEN = 16
LISTEN = o.HostPort("127.0.0.1", 8321)

EXAMPLES = """\
# then: OpenAI(base_url="http://127.0.0.1:8321/v1", api_key=TOKEN)
sealbatch serve
# with a token of your own
sealbatch serve --token-file ~/serve.token
# for other machines, under a certificate
sealbatch serve --listen 10.0.0.7:8321 --expose --name batch.example \\
  --certificate tls.pem --key tls.key"""


@ends_well
def command(
    context: typer.Context,
    listen: Annotated[
        o.HostPort,
        typer.Option(
            metavar="HOST:PORT",
            help="Take connections there; port 0 takes a free one.",
            show_default=str(LISTEN),
            parser=o.host_and_port,
        ),
    ] = LISTEN,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"The token that clients give as API key; else {TOKEN}, else one is made and kept.",
            show_default="this user's own",
        ),
    ] = None,
    expose: Annotated[
        bool, typer.Option("--expose", help="Also take connections from other machines, if --listen is for them.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Go by this name too; may be given again.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain in PEM, for TLS.", show_default="no TLS")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate, in PEM.")] = None,
) -> None:
    """Serve OpenAI's /v1/files and /v1/batches on this machine.

    Programs that use OpenAI's clients ask through it by another base_url. An uploaded file is sealed as it arrives and
    kept until the server ends; batches are jobs and outlive it; what is read was verified before. Runs until SIGTERM.
    """
    from sealbatch.serve.server import Endpoint, is_loopback, serve

    face: Face = context.obj
    screen, host = face.screen(), listen.host
    if not is_loopback(host) and not expose:
        raise Stop(Exit.USAGE, f"--listen: {host} can be reached from other machines; --expose says that it is meant")
    if (certificate is None) != (key is None):
        raise Stop(Exit.USAGE, "--certificate and --key belong together")
    if not is_loopback(host) and certificate is None:
        screen.say("WARNING: without --certificate, questions and answers cross the network in the clear")
    client = face.client(screen)
    token, where, typed = _token(token_file)
    endpoint = Endpoint(*listen, token, tuple(name or ()), certificate, key)

    def ready(url: str) -> None:
        screen.data(url)
        screen.say(f"serving; the API key is {where}")
        screen.next_step(f"export OPENAI_BASE_URL={url} OPENAI_API_KEY={typed}")

    try:
        serve(client, endpoint, ready)
    except OSError as error:
        raise o.not_served("--listen", listen, error) from None


def _token(path: Path | None) -> tuple[str, str, str]:
    """The token, where it is in words, and how a shell reads it."""
    from sealbatch.secret import endpoint_token

    if path is None and (named := os.environ.get(TOKEN)) is not None:
        token, where, typed = named.strip(), f"in {TOKEN}", f"${TOKEN}"
    else:
        found, token = endpoint_token(path)
        where, typed = f"in {found}", f"$(cat {shlex.quote(str(found))})"
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise Stop(Exit.CONFIGURATION, f"the token {where} must have {MIN_TOKEN} printable characters or more")
    return token, where, typed
