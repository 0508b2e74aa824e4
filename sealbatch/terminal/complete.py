"""What a shell may offer for the word that is being typed: quick, from this user's own files, and never from AWS."""

import os
import re
import tomllib

import typer

from sealbatch.paths import config_file
from sealbatch.times import local_minute

MOST = 50
"""Tickets that are offered, the newest."""
_EVALUATED = re.compile(r"[^\w .,+-]")
"""What may mean something to a shell. zsh evaluates what it is offered, and a job's name is that of somebody's file."""


def tickets(incomplete: str) -> list[tuple[str, str]]:
    """This user's tickets, the newest first, each with the job's name and day."""
    from sealbatch.tickets import own_tickets

    kept = own_tickets().all()[::-1]
    fitting = [one for one in kept if one.ticket.startswith(incomplete)]
    return [
        (one.ticket, f"{local_minute(one.created)[:10]} {_EVALUATED.sub('_', one.name)}".strip())
        for one in fitting[:MOST]
    ]


def schedules(ctx: typer.Context, incomplete: str) -> list[str]:
    """The schedules' names, as far as the configuration can be read."""
    named = ctx.find_root().params.get("config")
    try:
        path, _ = config_file(named, os.environ)
        found = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
        names = [str(one["name"]) for one in found.get("schedules", ())]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [name for name in names if name.startswith(incomplete) and not _EVALUATED.search(name)]
