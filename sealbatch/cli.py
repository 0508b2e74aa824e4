"""The `sealbatch` command: its verbs, the options that all share, and the one place where errors end."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from sealbatch import __version__
from sealbatch.face import Face, as_typed
from sealbatch.verbs import (
    ask,
    bench,
    bridge,
    cancel,
    dev,
    dlq,
    doctor,
    enclave,
    fetch,
    image,
    listing,
    model,
    plan,
    policy,
    purge,
    retry,
    run,
    schedule,
    status,
    submit,
    sweep,
    top,
    validate,
    verify,
    wait,
    worker,
)

app = typer.Typer(
    name="sealbatch",
    help="Bulk answers from a language model to questions that nobody else may see.",
    epilog="Try it without an AWS account:  sealbatch dev demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sealbatch {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Configuration, if not ./sealbatch.toml.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Put a setting over the file's.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk and no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, in ids and counts.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options that stand before the verb."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # Libraries log requests, and requests hold what we carry.
    logging.getLogger("sealbatch").setLevel(logging.INFO if verbose else logging.CRITICAL)
    for library in ("boto3", "botocore", "urllib3", "s3transfer"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    context.obj = Face(config, tuple(assignments or ()), quiet=quiet)


for name, verb in (
    ("run", run),
    ("ask", ask),
    ("submit", submit),
    ("validate", validate),
    ("status", status),
    ("wait", wait),
    ("fetch", fetch),
    ("verify", verify),
    ("list", listing),
    ("cancel", cancel),
    ("retry", retry),
    ("top", top),
    ("sweep", sweep),
    ("purge", purge),
    ("doctor", doctor),
    ("plan", plan),
    ("bridge", bridge),
):
    app.command(name, epilog=as_typed(verb.EXAMPLES))(verb.command)
app.add_typer(enclave.app, name="enclave")
app.add_typer(dlq.app, name="dlq")
app.command("worker", epilog=as_typed(worker.WORKER_EXAMPLES))(worker.work)
app.command("beat", epilog=as_typed(worker.BEAT_EXAMPLES))(worker.beat)
app.add_typer(dev.app, name="dev")
app.add_typer(bench.app, name="bench")
app.add_typer(model.app, name="model")
app.add_typer(image.app, name="image")
app.add_typer(schedule.app, name="schedule")
app.add_typer(policy.app, name="policy")


def main() -> None:
    """Entry point."""
    app()
