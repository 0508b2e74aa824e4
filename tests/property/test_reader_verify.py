"""Hostile bytes where answers, pages and manifest should be."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_factory import make_job, memory_aws

from results_consumer.errors import Check, IntegrityError
from results_consumer.fetch import fetch
from results_consumer.sink import StreamSink
from wire import ledger

CHANGES = st.tuples(st.integers(0, 2**20), st.integers(1, 255))


def fetch_nothing(aws: object, made: object) -> IntegrityError:
    """The integrity error of a fetch that writes no byte."""
    out = io.BytesIO()
    with pytest.raises(IntegrityError) as caught:
        fetch(aws.s3, aws.kms, aws.settings, made.ticket, StreamSink(out))  # type: ignore[attr-defined]
    assert out.getvalue() == b""
    return caught.value


@given(st.binary(max_size=200))
def test_garbage_for_answers_is_an_integrity_failure(garbage: bytes) -> None:
    """No bytes make another exception, or a line."""
    aws = memory_aws()
    made = make_job(aws, 2)
    made.put(made.name(0), garbage)
    error = fetch_nothing(aws, made)
    assert (error.check, error.where) == (Check.OBJECT_FORM, made.name(0))


@given(CHANGES)
def test_any_changed_byte_of_answers_is_an_integrity_failure(change: tuple[int, int]) -> None:
    """Header, nonce, ciphertext and lengths: nothing in the object is free to change."""
    aws = memory_aws()
    made = make_job(aws, 2)
    sealed = bytearray(made.seal(0))
    sealed[change[0] % len(sealed)] ^= change[1]
    made.put(made.name(0), bytes(sealed))
    assert fetch_nothing(aws, made).where == made.name(0)


@given(st.integers(0, 2**20))
def test_cut_answers_are_an_integrity_failure(size: int) -> None:
    """A truncated object gives nothing, not even its first records."""
    aws = memory_aws()
    made = make_job(aws, 2)
    sealed = made.seal(0)
    made.put(made.name(0), sealed[: size % len(sealed)])
    assert fetch_nothing(aws, made).check == Check.OBJECT_FORM


@given(CHANGES, st.booleans())
def test_any_changed_byte_of_manifest_or_page_is_an_integrity_failure(change: tuple[int, int], page: bool) -> None:
    """The ticket fixes every byte of the one, and the Merkle root every entry of the other."""
    aws = memory_aws()
    made = make_job(aws, 2, 1)
    made.answer_all()
    where = ledger.page_key("benefits", made.job, 0) if page else ledger.manifest_key("benefits", made.job)
    data = bytearray(made.get(where))
    data[change[0] % len(data)] ^= change[1]
    made.put(where, bytes(data))
    assert fetch_nothing(aws, made).step <= Check.MERKLE_ROOT
