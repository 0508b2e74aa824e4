"""What every verb is given: configuration when it asks for it, the screen, and one way to end."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need_for
from sealbatch.terminal.screen import Screen

if TYPE_CHECKING:
    from sealbatch.client import Client
    from sealbatch.config import Config

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Face:
    """The options that stand before the verb."""

    config_path: Path | None = None
    assignments: tuple[str, ...] = ()
    quiet: bool = False

    def screen(self, *, as_json: bool = False, fleeting: bool = False) -> Screen:
        """Standard output and error, as the options want them; `fleeting` as in `Screen`."""
        return Screen(quiet=self.quiet, as_json=as_json, fleeting=fleeting)

    def config(self, screen: Screen) -> "Config":
        """Read the configuration.

        Raises:
            ConfigError: it is missing or wrong.
        """
        from sealbatch.config import load_config

        config = load_config(self.config_path, self.assignments)
        if config.development:
            screen.say("using the development stack: for trying out, not for secrets")
        return config

    def client(self, screen: Screen) -> "Client":
        """What does the verb's work.

        Raises:
            ConfigError: the configuration is missing or wrong.
        """
        from sealbatch.client import Client

        return Client(self.config(screen))

    def release_key(self) -> Path | None:
        """The configured key that release files must be signed by.

        Raises:
            ConfigError: the configuration is wrong.
        """
        from sealbatch.config import load_config

        named = load_config(self.config_path, self.assignments).resources.release_key
        return None if named is None else Path(named)


def confirm(question: str) -> None:
    """Ask before what cannot be undone.

    Raises:
        Stop: nobody is there to be asked. Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise Stop(Exit.USAGE, "this cannot be undone; --yes says that it is meant")
    typer.confirm(question, abort=True, err=True)


def complain(text: str, then: str = "") -> None:
    """Say an error on standard error: what and where, and then what to do next."""
    screen = Screen()
    screen.complain(text)
    if then:
        screen.next_step(then)


def ends_well(body: Callable[P, None]) -> Callable[P, None]:
    """Give a verb's body its end: every error becomes one message and an exit code, and never a trace."""

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            body(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read our output has enough. Keep the interpreter from complaining when it flushes at exit.
            sys.stdout = None
            raise typer.Exit(Exit.OK) from None
        except Exception as error:  # noqa: BLE001 - the one place where errors end
            from sealbatch.explain import advice, explain

            code, text = explain(error)
            if text:
                complain(text, advice(error, getattr(kwargs.get("context"), "command_path", "")))
            raise typer.Exit(code) from None

    return run


def installed(verb: str, body: Callable[P, None]) -> Callable[P, None]:
    """A verb's body that first says which extra it lacks, if it lacks one, and then has begun nothing."""

    @ends_well
    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        need_for(verb)
        body(*args, **kwargs)

    return run
