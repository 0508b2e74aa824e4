"""Adding lines up."""

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.errors import Check, IntegrityError, SinkCode, SinkError
from results_consumer.keyring import AnswerKey
from results_consumer.output import LineOrigin, attested_line, unattested_line
from results_consumer.tally import Tally
from wire.manifest import Keyset
from wire.payload import ErrorCode, Outcome, Result

ORIGIN = LineOrigin("abcdefghijklmnop", 0, 0, "m@sha256:0")


def test_an_unattested_success_is_no_success() -> None:
    """Only attested answers make a job all succeeded."""
    tally = Tally()
    tally.add(attested_line(ORIGIN, Result(0, 1, "a", Outcome.SUCCEEDED, "x", "stop", 1, 1)))
    assert tally.summary("j").all_succeeded
    tally.add(unattested_line(ORIGIN, 1, Outcome.ERRORED, ErrorCode.ENCLAVE_LOST))
    summary = tally.summary("j")
    assert not summary.all_succeeded
    assert (summary.records, summary.unattested, summary.error_codes) == (2, 1, (("enclave_lost", 1),))


def test_codes_come_most_frequent_first() -> None:
    """What went wrong most is read first."""
    tally = Tally()
    for code in (ErrorCode.INVALID_RECORD, ErrorCode.ENCLAVE_LOST, ErrorCode.ENCLAVE_LOST):
        tally.add(unattested_line(ORIGIN, 0, Outcome.ERRORED, code))
    assert tally.summary("j").error_codes == (("enclave_lost", 2), ("invalid_record", 1))


def test_texts_of_errors_name_what_failed_and_where() -> None:
    """Each says enough to act on."""
    assert str(IntegrityError(Check.SEAL, "t/j/answers/x")) == "integrity check 21 (seal) failed at t/j/answers/x"
    service = str(ServiceError(ServiceKind.DENIED, "KMS", "Decrypt", "arn", code="AccessDeniedException"))
    assert service.startswith("KMS Decrypt on arn: ")
    assert service.endswith("(AccessDeniedException)")
    assert str(SinkError(SinkCode.FAILED, "out", 5)) == "out cannot be written (errno 5)"


def test_a_key_is_in_no_text() -> None:
    """The text of an answer key's object does not hold it."""
    key = AnswerKey(Keyset("i", "q", b"", "a", b""), bytes(32), b"\xaa" * 32)
    assert "xaa" not in repr(key)
