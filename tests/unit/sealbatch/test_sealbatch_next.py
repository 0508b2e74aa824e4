"""What a verb says comes next."""

import errno
import sys
from pathlib import Path

import pytest

from results_consumer.errors import SinkCode, SinkError
from results_consumer.tally import FetchSummary
from sealbatch.exits import Stop
from sealbatch.explain import advice
from sealbatch.terminal.screen import Screen
from sealbatch.verbs import dev
from sealbatch.verbs.jobs import name_next, sent
from sealbatch.verbs.options import host_and_port, not_served


def summary(*codes: str, expired: int = 0) -> FetchSummary:
    """Ten records, of which one failed for each of `codes`."""
    return FetchSummary(
        job="a" * 16,
        records=10,
        succeeded=10 - len(codes) - expired,
        truncated=0,
        errored=len(codes),
        expired=expired,
        canceled=0,
        unattested=0,
        prompt_tokens=0,
        completion_tokens=0,
        error_codes=tuple((code, 1) for code in codes),
        model="",
        ignored=0,
        written=10,
        receipts=1,
        root=b"",
    )


@pytest.mark.parametrize(
    ("ended", "verb"),
    [
        (summary(), "purge"),
        (summary("enclave_lost"), "retry"),
        (summary(expired=1), "retry"),
        (summary("invalid_record", "duplicate_custom_id"), "purge"),
        (summary("invalid_record", "enclave_lost"), "retry"),
    ],
)
def test_a_retry_is_named_only_where_one_can_help(
    ended: FetchSummary, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines that were never questions are the same in the same file: retry then had nothing to do."""
    name_next(Screen(), ended, "sb1-ticket", "out.jsonl", "in.jsonl", None)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"next: sealbatch {verb} sb1-ticket")


@pytest.mark.parametrize(
    ("receipts", "words"),
    [("out.receipts", "out.jsonl --release"), ("kept/here", "out.jsonl --receipts kept/here --release")],
)
def test_receipts_that_lie_elsewhere_are_named_to_verify(
    receipts: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It looks beside the output by itself: what was said to come next ended with 2."""
    name_next(Screen(), summary(), "sb1-ticket", "out.jsonl", "in.jsonl", Path(receipts))
    assert capsys.readouterr().err.startswith(f"next: sealbatch verify {words} pcrs.json")


@pytest.mark.parametrize(
    "error", [SinkError(SinkCode.FULL, "out.jsonl"), KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")]
)
def test_what_ends_after_the_job_was_sent_goes_on_with_its_ticket(error: BaseException) -> None:
    """`run` on a full disk said to type the same again: that would have been another job, asked and paid for anew."""
    with pytest.raises(Stop) as stopped, sent("sb1-ticket"):
        raise error
    assert advice(stopped.value, "sealbatch run") == "sealbatch wait sb1-ticket"


@pytest.mark.parametrize("error", [SinkError(SinkCode.EXISTS, "out.jsonl"), BrokenPipeError()])
def test_what_no_waiting_mends_is_raised_as_it_is(error: Exception) -> None:
    """Its own end is the better one: `| head` has enough."""
    with pytest.raises(type(error)), sent("sb1-ticket"):
        raise error


@pytest.mark.parametrize("typed", ["127.0.0.1:9465", "[::1]:9465"])
def test_an_address_is_said_as_it_is_typed(typed: str) -> None:
    """`::1:9465` was said, which nobody can type."""
    said = not_served("--health", host_and_port(typed), OSError(98, "Address already in use"))
    assert str(said) == f"cannot serve on {typed}: address already in use"


def test_a_command_that_no_shell_finds_yet_is_named_with_what_makes_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo` types it by its path: what comes next could not be typed as it stood there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dev._activated() == ". .venv/bin/activate && "
    (tmp_path / "sealbatch").touch(0o755)
    assert dev._activated() == ""
