"""The options that say how questions are asked, and what becomes of the job."""

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealbatch.terminal import help as h

if TYPE_CHECKING:
    from sealbatch.intake import Intake

MAX_TOKENS = 65_536
"""`wire.payload.MAX_TOKENS`, said here so that a help or a completion loads no cryptography; a test compares them."""

_answers = partial(typer.Option, rich_help_panel=h.ANSWERS)
_job = partial(typer.Option, rich_help_panel=h.JOB)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a question is answered; each field is one of `Intake`."""

    max_tokens: Annotated[
        int | None,
        _answers(
            metavar="N", min=1, max=MAX_TOKENS, help="Longest answer in tokens.", show_default="the enclave's, 128"
        ),
    ] = None
    temperature: Annotated[float, _answers(metavar="T", min=0, max=2, help="0 always takes the likeliest token.")] = 0.0
    seed: Annotated[
        int | None,
        _answers(
            metavar="N",
            help="Seed of the sampling: the same one gives the same answer.",
            show_default="from the question's key",
        ),
    ] = None

    def intake(self, **more: Any) -> "Intake":
        """What was given, and `more`, as the API takes it."""
        from sealbatch.intake import Intake

        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return Intake(**{name: value for name, value in given.items() if value is not None}, **more)


@dataclass(frozen=True, slots=True)
class Asking(Sampling):
    """How many are answered."""

    stop: Annotated[
        list[str] | None, _answers(metavar="TEXT", help="End an answer before this text; may be given again.")
    ] = None
    chunk_size: Annotated[
        int | None, _job(metavar="N", min=1, max=4096, help="Records that are sealed together.", show_default="32")
    ] = None
    deadline: Annotated[
        str | None,
        _job(
            metavar="TIME",
            help="What has no answer by then is expired: 2026-11-26T05:00 (local) or 2026-11-26T05:00Z.",
            show_default="none",
        ),
    ] = None
    completion_window: Annotated[
        str | None,
        _job(
            metavar="SPAN",
            help="The deadline as a span from the beginning: 90m, 24h or 2d.",
            show_default="none",
        ),
    ] = None
    not_before: Annotated[
        str | None, _job(metavar="TIME", help="Nothing is answered before then.", show_default="now")
    ] = None


@dataclass(frozen=True, slots=True)
class Submitting(Asking):
    """How a file of them is submitted."""

    name: Annotated[str, _job(metavar="TEXT", show_default=False, help="A name for the job. The host can read it.")] = (
        ""
    )
    idempotency_key: Annotated[
        str | None, _job(metavar="KEY", help="One job under this key, however often it is typed.")
    ] = None
    skip_invalid: Annotated[
        bool,
        typer.Option(
            "--skip-invalid",
            help="Seal the valid lines; an invalid one gets an error for an answer.",
            rich_help_panel=h.INPUT,
        ),
    ] = False
