"""Every error has its exit code and words, and none has content."""

import errno
import re

import pytest
from typer.exceptions import TyperException

from aws_errors.service_error import ServiceError, ServiceKind
from producer import errors as producing
from producer.validate import ValidationReport
from results_consumer import errors as reading
from results_consumer.cover import Range
from sealbatch.cli import as_ours, make_command
from sealbatch.config import ConfigError
from sealbatch.exits import Exit, Stop
from sealbatch.explain import advice, explain
from sealbatch.fleet.nitro import NitroError
from sealbatch.image import ImageError
from sealbatch.tickets import NoSuchJobError
from wire.errors import TicketError
from wire.ticket import Ticket

TICKET = Ticket("a" * 16, bytes(16))
REPORT = ValidationReport(3, (), 2, 10, 5, 0, 0)


def failure(kind: str) -> ServiceError:
    """A failed call to AWS."""
    return ServiceError(ServiceKind(kind), "SQS", "SendMessageBatch", "https://queue")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Stop(Exit.USAGE, "so"), Exit.USAGE, "so"),
        (ConfigError("file: x"), Exit.CONFIGURATION, "file"),
        (TicketError("mistyped"), Exit.USAGE, "mistyped"),
        (NoSuchJobError("no job"), Exit.NO_SUCH_JOB, "no job"),
        (producing.InputInvalid(REPORT), Exit.INPUT_INVALID, "2 invalid lines.*nothing was sent"),
        (failure("credentials"), Exit.NO_PERMISSION, "expired"),
        (failure("clock"), Exit.CONFIGURATION, "set the clock"),
        (producing.KeyReused("a" * 16), Exit.USAGE, f"job {'a' * 16}.*choose another key.*nothing was sent"),
        (failure("denied"), Exit.NO_PERMISSION, "denied.*not allowed"),
        (failure("missing"), Exit.CONFIGURATION, "https://queue.*does not exist"),
        (failure("unavailable"), Exit.TEMPORARY, "try again"),
        (failure("invalid"), Exit.INTEGRITY, "must not be trusted"),
        (
            producing.SendIncomplete(TICKET, 3, 9, failure("unavailable")),
            Exit.TEMPORARY,
            f"3 of 9 chunks were sent.*the ticket is {TICKET}",
        ),
        (producing.SpoolError("/tmp", full=True), Exit.TEMPORARY, "no space left.*TMPDIR"),
        (
            reading.IntegrityError(reading.Check.SEAL, "a/b"),
            Exit.INTEGRITY,
            r"check 21 \(seal\) failed at a/b; nothing was written",
        ),
        (
            reading.JobNotFinished((Range(4, 4), Range(12, 1)), 5, 20),
            Exit.TEMPORARY,
            r"5 of 20 records have no answer yet \(records 4 to 7 and 1 more ranges\)",
        ),
        (reading.SinkError(reading.SinkCode.EXISTS, "out"), Exit.USAGE, "out exists"),
        (reading.SinkError(reading.SinkCode.FULL, "out", errno.ENOSPC), Exit.TEMPORARY, "no space"),
        (reading.SinkError(reading.SinkCode.DENIED, "out"), Exit.NO_PERMISSION, "permission"),
        (PermissionError(errno.EACCES, "Permission denied", "in"), Exit.NO_PERMISSION, "in: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.eif"), Exit.USAGE, "x.eif: No such file"),
        (OSError(errno.EIO, "Input/output error"), Exit.TEMPORARY, "Input/output error"),
        (OSError(errno.EEXIST, "File exists", "inputs"), Exit.USAGE, "inputs: File exists"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x.jsonl"), Exit.USAGE, "x.jsonl: File name too long"),
        (ImageError("x.eif: magic"), Exit.INPUT_INVALID, "x.eif: magic"),
        (NitroError("nitro-cli is not installed"), Exit.CONFIGURATION, "not installed"),
    ],
)
def test_each_error_has_its_code_and_words(error: Exception, code: Exit, words: str) -> None:
    """The table of the README, and a message that says what to do."""
    found, text = explain(error)
    assert found is code

    assert re.search(words, text), text


def test_an_unforeseen_error_tells_its_place_and_not_its_text() -> None:
    """A library's exception may quote a question."""
    code, text = explain(KeyError("Does my plan pay for insulin?"))
    assert code is Exit.BUG
    assert text == "this is a bug in sealbatch: KeyError"


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (Stop(Exit.USAGE, "x"), "sealbatch fetch --help"),
        (Stop(Exit.USAGE, "x", "sealbatch list"), "sealbatch list"),
        (ConfigError("no configuration file: x"), "sealbatch dev up"),
        (ConfigError("sealbatch.toml:3: x"), "sealbatch doctor"),
        (TicketError("mistyped"), "sealbatch fetch --help"),
        (NoSuchJobError("no job"), "sealbatch list"),
        (producing.InputInvalid(REPORT), "correct these lines"),
        (producing.SendIncomplete(TICKET, 3, 9, failure("unavailable")), f"sealbatch sweep {TICKET}"),
        (failure("denied"), "sealbatch doctor"),
        (failure("unavailable"), "type the same again"),
        (reading.IntegrityError(reading.Check.SEAL, "a/b"), "believe nothing"),
        (reading.JobNotFinished((Range(4, 4),), 5, 20), "sealbatch wait"),
        (reading.SinkError(reading.SinkCode.EXISTS, "out"), "--force"),
        (NitroError("nitro-cli is not installed"), "sealbatch doctor --role bridge"),
        (KeyError("Does my plan pay for insulin?"), "report"),
    ],
)
def test_each_error_says_what_to_do_next(error: Exception, step: str) -> None:
    """A command where there is one."""
    assert step in advice(error, "sealbatch fetch")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("run x", "missing option '--output' / '-o'"),
        ("run", "missing argument FILE"),
        ("rum", "no such command 'rum'. Did you mean 'run'?"),
        ("run x -o y --max-tokens 0", "--max-tokens: must be at least 1"),
        ("run x -o y --max-tokens many", "--max-tokens: must be a whole number"),
        ("run x -o y --temperature 7", "--temperature: must be at most 2"),
        ("run x -o y --temperature hot", "--temperature: must be a number"),
        ("run x -o y --format xml", "--format: xml is none of auto, jsonl, csv, parquet"),
        ("completion tcsh", "SHELL: tcsh is none of bash, zsh, fish"),
        ("doctor --role king", "--role: king is none of producer, reader, bridge"),
        ("doctor --enclave x", "--enclave: an enclave's address is vsock://CID:PORT"),
        ("sweep --all --every x", "--every: must be a number and a unit"),
        ("serve --listen 8321", "--listen: HOST:PORT, such as 127.0.0.1:8321"),
    ],
)
def test_wrong_usage_is_told_in_the_words_of_all_other_errors(typed: str, words: str) -> None:
    """Option, colon, why; typer and pydantic have words of their own."""
    with pytest.raises(TyperException) as error:
        make_command()(typed.split(), standalone_mode=False)
    assert as_ours(error.value.format_message()).startswith(words)
