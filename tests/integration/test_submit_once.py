"""One idempotency key, one job: however often, from however many processes, and wherever an attempt died."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from producer_samples import JSONL, Aws, make_aws, many, moto_clients

from producer.clients import Clients
from producer.errors import SendIncomplete, ServiceError
from producer.lookup import Idempotency
from producer.submission import Submission, SubmitOptions
from producer.submit import submit
from wire.ledger import parse_chunk_message
from wire.payload import Params

SECRET = b"s" * 32


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """A moto server."""
    with moto_clients() as found:
        yield found


@pytest.fixture
def aws(clients: Clients) -> Aws:
    """Keys, bucket and queue of one test."""
    return make_aws(clients)


def once(aws: Aws, key: str = "night", *, clients: Clients | None = None, secret: bytes = SECRET) -> Submission:
    """Submit 70 questions under a key."""
    options = SubmitOptions(idempotency=Idempotency(key, secret))
    return submit(io.BytesIO(many(70)), JSONL, Params(), options, aws.settings, clients or aws.clients)


def manifests(aws: Aws) -> list[str]:
    """The jobs that exist."""
    return [key for key in sorted(aws.keys()) if key.endswith("/manifest")]


class Dies(Exception):  # noqa: N818 - the process ends here
    """Nothing after this is done."""


class Dying:
    """A client that dies right before or right after a call whose request holds `word`."""

    def __init__(self, client: Any, operation: str, word: str, *, after: bool) -> None:
        self._client, self._operation, self._word, self._after = client, operation, word, after

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            hit = name == self._operation and self._word in str(request.get("Key", ""))
            if hit and not self._after:
                raise Dies
            reply = getattr(self._client, name)(**request)
            if hit:
                raise Dies
            return reply

        return call


class Gone:
    """A queue that nobody reaches."""

    def send_message_batch(self, **_: Any) -> Any:
        """Never."""
        raise EndpointConnectionError(endpoint_url="http://queue")


def test_the_second_submit_finds_the_first(aws: Aws) -> None:
    """The same ticket, no new object, no new message."""
    first = once(aws)
    keys = aws.keys()
    assert len(aws.messages()) == first.chunks
    second = once(aws)
    assert (second.ticket, second.existed, second.records, second.chunks) == (first.ticket, True, 70, first.chunks)
    assert aws.keys() == keys
    assert aws.messages() == []


def test_another_key_or_another_secret_is_another_job(aws: Aws) -> None:
    """And the key does not stand in the bucket."""
    tickets = {once(aws).ticket, once(aws, "other").ticket, once(aws, secret=b"t" * 32).ticket}
    assert len(tickets) == 3
    assert not any("night" in key or "other" in key for key in sorted(aws.keys()))


def test_many_at_once_make_one_job(aws: Aws) -> None:
    """Those who lose the race take back what they uploaded."""
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: once(aws), range(4)))
    assert len({submission.ticket for submission in done}) == 1
    assert len(manifests(aws)) == 1
    assert {parse_chunk_message(body).job for body in aws.messages()} == {done[0].job}


@pytest.mark.parametrize(
    ("operation", "word", "after"),
    [
        ("put_object", "/questions/", True),
        ("put_object", "/manifest", True),
        ("put_object", "/lookup/", False),
        ("put_object", "/lookup/", True),
        ("put_object", ".sent", False),
        ("put_object", ".sent", True),
    ],
)
def test_a_submitter_that_dies_anywhere_leaves_one_job_to_the_next(
    aws: Aws, operation: str, word: str, *, after: bool
) -> None:
    """The next one finishes it: one job with messages, and every chunk of it in the queue."""
    bent = Clients(aws.clients.kms, Dying(aws.clients.s3, operation, word, after=after), aws.clients.sqs)
    with pytest.raises(Dies):
        once(aws, clients=bent)
    final = once(aws)
    sent = [parse_chunk_message(body) for body in aws.messages()]
    assert {message.job for message in sent} == {final.job}
    assert {message.chunk for message in sent} == set(range(final.chunks))
    assert once(aws).ticket == final.ticket


def test_a_queue_that_was_gone_gets_every_message_from_the_next_attempt(aws: Aws) -> None:
    """What is not known to be sent is sent again; a chunk that comes twice is answered once."""
    with pytest.raises(SendIncomplete) as caught:
        once(aws, clients=Clients(aws.clients.kms, aws.clients.s3, Gone()))
    assert once(aws).ticket == caught.value.ticket
    assert {parse_chunk_message(body).chunk for body in aws.messages()} == {0, 1, 2}


def test_a_ticket_that_the_host_put_there_is_not_believed(aws: Aws) -> None:
    """Another job's lookup, copied under this key's name, is refused."""
    once(aws, "one")
    [one] = [key for key in sorted(aws.keys()) if "/lookup/" in key and not key.endswith(".sent")]
    once(aws, "two")
    [two] = [key for key in sorted(aws.keys()) if "/lookup/" in key and not key.endswith(".sent") and key != one]
    aws.s3.put_object(Bucket=aws.settings.bucket, Key=two, Body=aws.body(one))
    with pytest.raises(ServiceError, match="LookupNotAuthentic"):
        once(aws, "two")
