"""Every check of answer objects has somebody who breaks it: nothing is written, and the object is named."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from job_factory import IMAGE, TENANT, Aws, make_job
from reader_checks import FOREIGN_ARN, refused

from results_consumer.errors import Check
from wire import keys, ledger
from wire.messages import MAX_SEALED
from wire.payload import Outcome, Result

# Answers, checks 11 to 22


@dataclass(frozen=True)
class Bent:
    """Answers with one thing wrong, sealed truly under the job's own answer key, and the check that finds it."""

    check: Check
    changes: dict[str, Any]


BENT = [
    Bent(Check.TENANT, {"tenant": "pensions"}),
    Bent(Check.JOB, {"job": "abcdefghijklmnop"}),
    Bent(Check.IMAGE, {"image": IMAGE[::-1]}),
    Bent(Check.KEY_ARN, {"key_arn": FOREIGN_ARN}),
    Bent(Check.WRAPPED_DIGEST, {"wrapped_digest": bytes(32)}),
    Bent(Check.QUESTION_DIGEST, {"question_digest": bytes(32)}),
    Bent(Check.SEAL, {"key": bytes(32)}),
    Bent(Check.PAYLOAD_FORM, {"plaintext": b"no payload"}),
    Bent(Check.RECORD_NUMBERS, {"results": ()}),
    Bent(Check.RECORD_NUMBERS, {"results": (Result(0, 1, "a", Outcome.SUCCEEDED),)}),
    Bent(Check.RECORD_NUMBERS, {"results": tuple(Result(n, 1, "a", Outcome.CANCELED) for n in (1, 0))}),
    Bent(Check.RECORD_NUMBERS, {"results": tuple(Result(n, 1, "a", Outcome.CANCELED) for n in (0, 1, 2))}),
]


@pytest.mark.parametrize("bent", BENT, ids=[f"{bent.check.name.lower()}-{n}" for n, bent in enumerate(BENT)])
def test_answers_with_one_thing_wrong_are_refused_by_its_check(aws: Aws, tmp_path: Path, bent: Bent) -> None:
    """Each header field, the key and the payload are compared, each by a check of its own."""
    made = make_job(aws, 2, 2)
    made.answer(1)
    made.answer(0, **bent.changes)
    refused(made, tmp_path, bent.check, made.name(0))


def test_a_flipped_bit_of_the_ciphertext_is_refused(aws: Aws, tmp_path: Path) -> None:
    """The last byte of the tag: the seal does not open."""
    made = make_job(aws, 2)
    sealed = bytearray(made.seal(0, receipt={"none": True}))
    sealed[-5] ^= 1  # before the four bytes of the receipt's length
    made.put(made.name(0), bytes(sealed))
    refused(made, tmp_path, Check.SEAL, made.name(0))


def test_a_wrong_commitment_is_refused(aws: Aws, tmp_path: Path) -> None:
    """The header's commitment is that of another key, everything else is right."""
    made = make_job(aws, 2)
    sealed = made.seal(0)
    binding: list[Any] = [2, TENANT, made.job, 0, 0, 2]
    right, wrong = (keys.commitment(key, binding) for key in (made.answer_keys[0], bytes(32)))
    assert sealed.count(right) == 1
    made.put(made.name(0), sealed.replace(right, wrong))
    refused(made, tmp_path, Check.SEAL, made.name(0))


def test_answers_of_another_job_copied_over_are_refused(aws: Aws, tmp_path: Path) -> None:
    """True answers to somebody else's questions at this job's key."""
    made, other = make_job(aws, 2), make_job(aws, 2)
    made.put(made.name(0), other.seal(0))
    refused(made, tmp_path, Check.JOB, made.name(0))


def test_answers_of_an_older_job_of_the_same_questions_are_refused(aws: Aws, tmp_path: Path) -> None:
    """A replay: the same records, sealed in a job before; even its job id rewritten does not help."""
    made, older = make_job(aws, 2), make_job(aws, 2)
    replayed = older.seal(0).replace(older.job.encode(), made.job.encode())
    made.put(made.name(0), replayed)
    refused(made, tmp_path, Check.WRAPPED_DIGEST, made.name(0))


def test_two_answers_swapped_are_refused(aws: Aws, tmp_path: Path) -> None:
    """Each chunk's answers lie at the other's key."""
    made = make_job(aws, 2, 2)
    made.put(made.name(0), made.seal(1))
    made.put(made.name(1), made.seal(0))
    refused(made, tmp_path, Check.CHUNK, made.name(0))


def test_two_halves_of_a_chunk_swapped_are_refused(aws: Aws, tmp_path: Path) -> None:
    """Within a chunk it is the range that tells them apart."""
    made = make_job(aws, 4)
    made.put(made.name(0, 0, 2), made.seal(0, 2, 2))
    made.put(made.name(0, 2, 2), made.seal(0, 0, 2))
    refused(made, tmp_path, Check.RANGE, made.name(0, 0, 2))


def test_a_huge_object_is_refused_without_reading_it(aws: Aws, tmp_path: Path) -> None:
    """One byte over the limit is enough to know."""
    made = make_job(aws, 2)
    made.put(made.name(0), made.seal(0).ljust(MAX_SEALED + 1, b"\0"))
    refused(made, tmp_path, Check.OBJECT_FORM, made.name(0))


def test_an_object_that_is_listed_and_not_there_is_refused(aws: Aws, tmp_path: Path) -> None:
    """Gone between listing and reading; a name alone answers nothing."""
    made = make_job(aws, 2)
    made.answer_all()
    real = aws.s3.get_object

    class S3:
        list_objects_v2 = staticmethod(aws.s3.list_objects_v2)

        def get_object(self, **request: Any) -> Any:
            if "/answers/" in request["Key"]:
                aws.s3.delete_object(**request)
            return real(**request)

    made.aws = replace(aws, s3=S3())
    refused(made, tmp_path, Check.OBJECT_PRESENT, made.name(0))


def test_no_candidate_is_true_and_the_first_one_is_named(aws: Aws, tmp_path: Path) -> None:
    """Foreign objects at the plain key and beside it: the error is that of the plain key."""
    made, other = make_job(aws, 2), make_job(aws, 2)
    made.put(made.name(0), other.seal(0))
    made.put(ledger.alternative(made.name(0), b"x"), b"x")
    refused(made, tmp_path, Check.JOB, made.name(0))


def test_a_failure_beside_a_foreign_object_does_not_excuse_it(aws: Aws, tmp_path: Path) -> None:
    """Who can write the one can write the other: tampering stays visible."""
    made = make_job(aws, 2)
    made.put(made.name(0), b"foreign")
    made.fail(0, 0, 2)
    refused(made, tmp_path, Check.OBJECT_FORM, made.name(0))


def test_a_late_chunk_that_fails_takes_back_all_before_it(aws: Aws, tmp_path: Path) -> None:
    """Forty chunks are true and the last one is not: no file, and none of its temporary kind."""
    made = make_job(aws, *[2] * 41)
    made.answer_all()
    made.put(made.name(40), made.seal(39))
    refused(made, tmp_path, Check.CHUNK, made.name(40))


# Model and template, checks 25 and 26


@pytest.mark.parametrize(("field", "check"), [("model", Check.MODEL), ("template", Check.TEMPLATE)])
def test_one_model_and_one_template_answer_a_job(aws: Aws, tmp_path: Path, field: str, check: Check) -> None:
    """A chunk of another model, truly sealed, is refused."""
    made = make_job(aws, 2, 2)
    made.answer(0)
    made.answer(1, **{field: bytes(32)})
    refused(made, tmp_path, check, made.name(1))
