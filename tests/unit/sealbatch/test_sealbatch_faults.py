"""Every error has its exit code and words, and none has content."""

import errno
import re

import pytest

from producer import errors as producing
from producer.validate import ValidationReport
from results_consumer import errors as reading
from results_consumer.cover import Range
from sealbatch.config import ConfigError
from sealbatch.exits import Exit, Stop
from sealbatch.explain import advice, explain
from sealbatch.tickets import NoSuchJobError
from wire.errors import TicketError
from wire.ticket import Ticket

TICKET = Ticket("a" * 16, bytes(16))
REPORT = ValidationReport(3, (), 2, 10, 5, 0, 0)


def producer_failure(kind: str) -> producing.ServiceError:
    """A failed call of the producer."""
    return producing.ServiceError(producing.ServiceKind(kind), "sqs", "SendMessageBatch", "https://queue")


def reader_failure(kind: str) -> reading.ServiceError:
    """A failed call of the reader."""
    call = reading.Call("s3", "GetObject", "bucket b")
    return reading.ServiceError(reading.ServiceKind(kind), call, "Code")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Stop(Exit.USAGE, "so"), Exit.USAGE, "so"),
        (ConfigError("file: x"), Exit.CONFIGURATION, "file"),
        (TicketError("mistyped"), Exit.USAGE, "mistyped"),
        (NoSuchJobError("no job"), Exit.NO_SUCH_JOB, "no job"),
        (producing.InputInvalid(REPORT), Exit.INPUT_INVALID, "2 invalid lines.*nothing was sent"),
        (producer_failure("credentials"), Exit.NO_PERMISSION, "expired"),
        (producer_failure("clock"), Exit.CONFIGURATION, "set the clock"),
        (producing.KeyReused("a" * 16), Exit.USAGE, f"job {'a' * 16}.*choose another key.*nothing was sent"),
        (producer_failure("denied"), Exit.NO_PERMISSION, "denied"),
        (producer_failure("missing"), Exit.CONFIGURATION, "https://queue.*does not exist"),
        (producer_failure("unavailable"), Exit.TEMPORARY, "try again"),
        (producer_failure("invalid"), Exit.INTEGRITY, "must not be trusted"),
        (
            producing.SendIncomplete(TICKET, 3, 9, producer_failure("unavailable")),
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
        (reader_failure("credentials"), Exit.NO_PERMISSION, "renew"),
        (reader_failure("clock"), Exit.CONFIGURATION, "set the clock"),
        (reader_failure("denied"), Exit.NO_PERMISSION, "not allowed"),
        (reader_failure("missing"), Exit.CONFIGURATION, "bucket b"),
        (reader_failure("unavailable"), Exit.TEMPORARY, "try again"),
        (reading.SinkError(reading.SinkCode.EXISTS, "out"), Exit.USAGE, "out exists"),
        (reading.SinkError(reading.SinkCode.FULL, "out", errno.ENOSPC), Exit.TEMPORARY, "no space"),
        (reading.SinkError(reading.SinkCode.DENIED, "out"), Exit.NO_PERMISSION, "permission"),
        (PermissionError(errno.EACCES, "Permission denied", "in"), Exit.NO_PERMISSION, "in: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), Exit.TEMPORARY, "Input/output error"),
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
        (producing.SendIncomplete(TICKET, 3, 9, producer_failure("unavailable")), f"sealbatch sweep {TICKET}"),
        (producer_failure("denied"), "sealbatch doctor"),
        (reader_failure("unavailable"), "type the same again"),
        (reading.IntegrityError(reading.Check.SEAL, "a/b"), "believe nothing"),
        (reading.JobNotFinished((Range(4, 4),), 5, 20), "sealbatch wait"),
        (reading.SinkError(reading.SinkCode.EXISTS, "out"), "--force"),
        (KeyError("Does my plan pay for insulin?"), "report"),
    ],
)
def test_each_error_says_what_to_do_next(error: Exception, step: str) -> None:
    """A command where there is one."""
    assert step in advice(error, "sealbatch fetch")
