"""Every check of manifest, pages and keys has somebody who breaks it: nothing is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_faults import counted, instead, s3_error
from job_factory import IMAGE, TENANT, Aws, MadeJob, make_job, rebuilt
from reader_checks import FOREIGN_ARN, refused

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.chunks import MAX_CHUNKS
from results_consumer.errors import Check, IntegrityError
from results_consumer.job import open_job
from wire import ledger
from wire.manifest import PAGE_ENTRIES, ChunkEntry, Keyset, encode_page


def manifest_key(made: MadeJob) -> str:
    """Where the manifest lies."""
    return ledger.manifest_key(TENANT, made.job)


# The manifest and its pages, checks 1 to 8 and 10


def test_a_missing_manifest_is_a_loss_and_no_unknown_job(aws: Aws, tmp_path: Path) -> None:
    """The ticket proves that there was one."""
    made = make_job(aws, 2)
    made.answer_all()
    made.remove(manifest_key(made))
    refused(made, tmp_path, Check.MANIFEST_PRESENT, manifest_key(made))


def test_a_manifest_replaced_by_another_of_the_same_job_is_refused(aws: Aws, tmp_path: Path) -> None:
    """Even one that the same producer made, with a right HMAC: the ticket is of the first."""
    made = make_job(aws, 2)
    made.answer_all()
    old = made.ticket
    rebuilt(made, created_ms=1)
    assert made.ticket != old
    with pytest.raises(IntegrityError) as caught:
        open_job(aws.s3, aws.settings, old)
    assert caught.value.check == Check.MANIFEST_DIGEST


def test_the_manifest_of_another_job_copied_over_is_refused(aws: Aws, tmp_path: Path) -> None:
    """A whole other job under this one's names is not this one."""
    made, other = make_job(aws, 2), make_job(aws, 2)
    made.answer_all()
    made.put(manifest_key(made), other.encoded)
    refused(made, tmp_path, Check.MANIFEST_DIGEST)


def test_a_ticket_of_something_that_is_no_manifest_is_refused(aws: Aws, tmp_path: Path) -> None:
    """A ticket's digest alone makes nothing a manifest."""
    made = make_job(aws, 2)
    made.encoded = b"SBMF" + bytes(100)
    made.put(manifest_key(made), made.encoded)
    refused(made, tmp_path, Check.MANIFEST_FORM)


@pytest.mark.parametrize("field", ["tenant", "question_key", "answer_key"])
def test_a_manifest_of_another_configuration_is_refused(aws: Aws, tmp_path: Path, field: str) -> None:
    """A ticket from elsewhere cannot make a reader use other keys than its own."""
    made = make_job(aws, 2)
    made.answer_all()
    value = "pensions" if field == "tenant" else aws.settings.question_key.replace("key/", "key/9")
    settings = replace(aws.settings, **{field: value})
    if field == "tenant":
        made.put(f"pensions/{made.job}/manifest", made.encoded)
    made.aws = replace(aws, settings=settings)
    refused(made, tmp_path, Check.CONFIGURATION)


def test_a_manifest_of_another_job_id_is_refused(aws: Aws, tmp_path: Path) -> None:
    """A ticket that names one job and digests another's manifest is nobody's."""
    made, other = make_job(aws, 2), make_job(aws, 2)
    made.encoded = other.encoded
    made.put(manifest_key(made), other.encoded)
    refused(made, tmp_path, Check.CONFIGURATION)


def test_a_missing_page_is_a_loss(aws: Aws, tmp_path: Path) -> None:
    """Without its page a chunk is gone, and the error names the page."""
    made = make_job(aws, 2)
    made.answer_all()
    made.remove(ledger.page_key(TENANT, made.job, 0))
    refused(made, tmp_path, Check.PAGE_PRESENT, ledger.page_key(TENANT, made.job, 0))


def test_a_page_that_is_none_is_refused(aws: Aws, tmp_path: Path) -> None:
    """Foreign bytes at the page's key."""
    made = make_job(aws, 2)
    made.put(ledger.page_key(TENANT, made.job, 0), b"page")
    refused(made, tmp_path, Check.PAGE_FORM)


def test_a_changed_digest_in_a_page_breaks_the_merkle_root(aws: Aws, tmp_path: Path) -> None:
    """A page that would accept the answers to other questions."""
    made = make_job(aws, 2, 2)
    made.answer_all()
    entries = (made.entries[0], replace(made.entries[1], digest=bytes(32)))
    made.put(ledger.page_key(TENANT, made.job, 0), encode_page(entries))
    refused(made, tmp_path, Check.MERKLE_ROOT)


PAGES = {
    "a chunk left out": lambda two: two[:1],
    "a chunk too many": lambda two: (*two, ChunkEntry(2, 4, 1, 0, bytes(32))),
    "chunks swapped": lambda two: two[::-1],
    "a gap": lambda two: (two[0], replace(two[1], first=3, count=1)),
    "an overlap": lambda two: (two[0], replace(two[1], first=1, count=3)),
    "records too many": lambda two: (two[0], replace(two[1], count=3)),
    "a keyset that is none": lambda two: (two[0], replace(two[1], keyset=1)),
}


@pytest.mark.parametrize("bend", PAGES.values(), ids=PAGES)
def test_a_page_must_cover_the_records_exactly(aws: Aws, tmp_path: Path, bend: Callable[[Any], Any]) -> None:
    """Gaps, overlaps and wrong counts are refused before the root is looked at."""
    made = make_job(aws, 2, 2)
    made.answer_all()
    made.put(ledger.page_key(TENANT, made.job, 0), encode_page(bend(tuple(made.entries))))
    refused(made, tmp_path, Check.CHUNK_COVER)


def test_even_a_right_root_does_not_make_a_gap_right(aws: Aws, tmp_path: Path) -> None:
    """A hostile producer cannot ticket a job of which records are missing."""
    made = make_job(aws, 2, 2)
    made.entries[1] = replace(made.entries[1], first=3)
    made.put_manifest()
    refused(made, tmp_path, Check.CHUNK_COVER)


def test_a_job_of_many_pages_is_read_and_its_pages_cannot_be_swapped(aws: Aws, tmp_path: Path) -> None:
    """4097 chunks take two pages; each in the other's place is refused."""
    made = make_job(aws, *[1] * (PAGE_ENTRIES + 1))
    job = open_job(aws.s3, aws.settings, made.ticket)
    assert [job.chunks.entry(n) for n in (0, PAGE_ENTRIES)] == [made.entries[0], made.entries[-1]]
    first, second = (ledger.page_key(TENANT, made.job, page) for page in (0, 1))
    old = made.get(first)
    made.put(first, made.get(second))
    made.put(second, old)
    refused(made, tmp_path, Check.CHUNK_COVER, first)


def test_a_manifest_that_the_answer_key_did_not_sign_is_refused(aws: Aws, tmp_path: Path) -> None:
    """A right ticket of a manifest with a wrong HMAC: whoever made it did not hold the answer key."""
    made = make_job(aws, 2)
    made.answer_all()
    made.encoded = made.encoded[:-1] + bytes([made.encoded[-1] ^ 1])
    made.put(manifest_key(made), made.encoded)
    refused(made, tmp_path, Check.MANIFEST_HMAC)


def test_a_job_of_more_chunks_than_can_be_listed_in_order_is_refused(aws: Aws, tmp_path: Path) -> None:
    """Beyond eight digits of chunk number the bucket's order is no longer that of chunks."""
    made = make_job(aws, 2)
    chunks = MAX_CHUNKS + 1
    rebuilt(made, chunks=chunks, pages=-(-chunks // PAGE_ENTRIES))
    refused(made, tmp_path, Check.MANIFEST_FORM)


def test_records_beyond_the_manifests_count_are_refused_at_their_page(aws: Aws, tmp_path: Path) -> None:
    """At the first entry that goes too far, and not after all pages were read."""
    made = make_job(aws, 2, 2)
    made.put(ledger.page_key(TENANT, made.job, 0), encode_page((replace(made.entries[0], count=5), made.entries[1])))
    refused(made, tmp_path, Check.CHUNK_COVER, ledger.page_key(TENANT, made.job, 0))


# The answer key, check 9


WRAPPED: dict[str, Callable[[Keyset, Keyset], Keyset]] = {
    "of another job": lambda _, other: other,
    "of another image": lambda own, _: replace(own, image=IMAGE[::-1]),
    "for the questions": lambda own, _: replace(own, answer_wrapped=own.question_wrapped),
}


@pytest.mark.parametrize("bend", WRAPPED.values(), ids=WRAPPED)
def test_a_wrapped_key_is_bound_to_its_job_image_and_purpose(
    aws: Aws, tmp_path: Path, bend: Callable[[Keyset, Keyset], Keyset]
) -> None:
    """KMS binds all three into the key: in a manifest that claims something else it does not decrypt."""
    made, other = make_job(aws, 2), make_job(aws, 2)
    made.keysets = [bend(made.keysets[0], other.keysets[0])]
    made.put_manifest()
    made.answer_all()
    refused(made, tmp_path, Check.ANSWER_KEY)


@pytest.mark.parametrize("reply", [{"KeyId": FOREIGN_ARN}, {"Plaintext": b"short"}, {"Plaintext": None}])
def test_a_reply_of_kms_under_another_key_or_without_one_is_refused(
    aws: Aws, tmp_path: Path, reply: dict[str, Any]
) -> None:
    """KeyId is compared, and a data key has 32 bytes."""
    made = make_job(aws, 2)
    made.answer_all()

    class Kms:
        def decrypt(self, **request: Any) -> dict[str, Any]:
            answer: dict[str, Any] = aws.kms.decrypt(**request)
            return answer | reply

    made.aws = replace(aws, kms=Kms())
    refused(made, tmp_path, Check.ANSWER_KEY)


def test_a_denied_object_is_no_missing_object(aws: Aws, tmp_path: Path) -> None:
    """S3's refusal is told as such and never taken for an absence."""
    made = make_job(aws, 2)
    with instead(aws.s3, "GetObject", s3_error("AccessDenied"), 403), pytest.raises(ServiceError) as caught:
        open_job(aws.s3, aws.settings, made.ticket)
    assert caught.value.kind == ServiceKind.DENIED


def test_opening_a_job_asks_for_its_manifest_and_pages_only(aws: Aws) -> None:
    """Two reads for a job of one page."""
    made = make_job(aws, 2)
    with counted(aws.s3, "GetObject") as reads:
        open_job(aws.s3, aws.settings, made.ticket)
    assert len(reads) == 2
