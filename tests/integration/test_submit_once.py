"""One idempotency key, one job: however often, from however many processes, and wherever an attempt died."""

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from producer_samples import JSONL, Aws, make_aws, many, moto_clients

from aws_errors.service_error import ServiceError
from producer.chunks import ChunkLimits
from producer.clients import Clients
from producer.errors import KeyReused, SendIncomplete
from producer.forms import InputForm
from producer.lookup import Idempotency
from producer.submission import Submission, SubmitOptions
from producer.submit import submit
from wire.ledger import parse_chunk_message
from wire.manifest import Parameters, Retry
from wire.payload import Params

SECRET = b"s" * 32
RETRY = {
    "parameters": Parameters(retry=Retry("a" * 16, bytes(16), ((0, 70),))),
    "retry_key": bytes(32),
    "skip_invalid": True,
}


@pytest.fixture(scope="module")
def clients(moto: str) -> Iterator[Clients]:
    """Those of all tests here."""
    with moto_clients(moto) as found:
        yield found


@pytest.fixture
def aws(clients: Clients) -> Aws:
    """Keys, bucket and queue of one test."""
    return make_aws(clients)


def once(
    aws: Aws,
    key: str = "night",
    *,
    clients: Clients | None = None,
    secret: bytes = SECRET,
    data: bytes | None = None,
    form: InputForm = JSONL,
    defaults: Params | None = None,
    typed: str = "",
    any_input: bool = False,
    **options: Any,
) -> Submission:
    """Submit 70 questions under a key."""
    made = SubmitOptions(idempotency=Idempotency(key, secret, typed, any_input), **options)
    source = io.BytesIO(many(70) if data is None else data)
    return submit(source, form, defaults or Params(), made, aws.settings, clients or aws.clients)


def manifests(aws: Aws) -> list[str]:
    """The jobs that exist."""
    return [key for key in sorted(aws.keys()) if key.endswith("/manifest")]


def links(aws: Aws) -> list[str]:
    """The names that stand for retries."""
    return [key for key in sorted(aws.keys()) if "/retries/" in key]


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


def test_of_a_retry_that_is_asked_for_twice_at_once_only_the_job_that_stays_is_linked(aws: Aws) -> None:
    """The other's link led to a job that was taken back: the first job could not be fetched any more."""
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: once(aws, **RETRY), range(4)))
    assert [key.rpartition("/")[2].partition(".")[0] for key in links(aws)] == [str(done[0].ticket)]


@pytest.mark.parametrize(("word", "after"), [("/lookup/", True), ("/retries/", False), ("/retries/", True)])
def test_a_retry_that_died_as_it_was_linked_is_linked_by_the_next(aws: Aws, word: str, *, after: bool) -> None:
    """Without its link its answers stand in for none that failed; a link to another job keeps the first from ending."""
    bent = Clients(aws.clients.kms, Dying(aws.clients.s3, "put_object", word, after=after), aws.clients.sqs)
    with pytest.raises(Dies):
        once(aws, clients=bent, **RETRY)
    final = once(aws, **RETRY)
    assert [key.rpartition("/")[2].partition(".")[0] for key in links(aws)] == [str(final.ticket)]
    assert {parse_chunk_message(body).job for body in aws.messages()} == {final.job}


def test_a_queue_that_was_gone_gets_every_message_from_the_next_attempt(aws: Aws) -> None:
    """What is not known to be sent is sent again; a chunk that comes twice is answered once."""
    with pytest.raises(SendIncomplete) as caught:
        once(aws, clients=Clients(aws.clients.kms, aws.clients.s3, Gone()))
    assert once(aws).ticket == caught.value.ticket
    assert {parse_chunk_message(body).chunk for body in aws.messages()} == {0, 1, 2}


OTHERS: dict[str, dict[str, Any]] = {
    "another input": {"data": many(71)},
    "a line more": {"data": many(70) + b"\n"},
    "other answers": {"defaults": Params(max_tokens=7)},
    "another seed": {"defaults": Params(temperature=1.0, seed=3)},
    "other chunks": {"limits": ChunkLimits(records=9)},
    "invalid lines kept": {"skip_invalid": True},
    "another name": {"parameters": Parameters("other")},
    "another form": {"form": InputForm("auto", "questions.jsonl")},
    "another window": {"typed": "8h"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_key_is_refused_for_anything_else(aws: Aws, other: dict[str, Any]) -> None:
    """Another input or another option under the key of a job: nothing is sealed or sent, and the job is named."""
    first = once(aws)
    keys, sent = aws.keys(), len(aws.messages())
    assert sent == first.chunks
    with pytest.raises(KeyReused, match=first.job):
        once(aws, **other)
    assert (aws.keys(), aws.messages()) == (keys, [])
    assert once(aws).ticket == first.ticket


def test_what_was_begun_under_a_key_is_not_finished_with_another_input(aws: Aws) -> None:
    """A submitter died before all was sent; who comes with another file sends none of the first one's messages."""
    bent = Clients(aws.clients.kms, Dying(aws.clients.s3, "put_object", "/lookup/", after=True), aws.clients.sqs)
    with pytest.raises(Dies):
        once(aws, clients=bent)
    with pytest.raises(KeyReused):
        once(aws, data=many(3))
    assert aws.messages() == []
    assert {parse_chunk_message(body).job for body in (once(aws), aws.messages())[1]} == {once(aws).job}


def test_who_loses_the_race_with_another_input_is_refused(aws: Aws) -> None:
    """Nobody finds anything at first; then one of two claims the key, and the other takes back what it uploaded."""
    both = Barrier(2)

    class Together:
        """S3 whose two users look at the key before either has claimed it."""

        def __getattr__(self, name: str) -> Any:
            def call(**request: Any) -> Any:
                if name == "put_object" and "/lookup/" in request["Key"] and ".sent" not in request["Key"]:
                    both.wait(30)
                return getattr(aws.clients.s3, name)(**request)

            return call

    bent = Clients(aws.clients.kms, Together(), aws.clients.sqs)  # type: ignore[arg-type]

    def attempt(count: int) -> Submission | KeyReused:
        try:
            return once(aws, clients=bent, data=many(count))
        except KeyReused as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(attempt, (40, 50)))
    [won] = [one for one in done if isinstance(one, Submission)]
    [lost] = [one for one in done if isinstance(one, KeyReused)]
    assert lost.job == won.job
    assert len(manifests(aws)) == 1
    assert {parse_chunk_message(body).job for body in aws.messages()} == {won.job}


def test_the_mark_of_what_was_submitted_tells_nothing(aws: Aws) -> None:
    """The same submission under two keys has two marks, and neither is a digest that a guess could be tested with."""
    once(aws, "one")
    once(aws, "two")
    bodies = [aws.body(key) for key in sorted(aws.keys()) if "/lookup/" in key and not key.endswith(".sent")]
    marks = {body[-64:-32] for body in bodies}
    assert len(marks) == 2
    assert hashlib.sha256(many(70)).digest() not in marks


def test_a_key_that_names_its_input_goes_on_whatever_the_options(aws: Aws) -> None:
    """A night whose schedule was edited in the middle goes on with what it began."""
    first = once(aws, any_input=True)
    assert once(aws, any_input=True, defaults=Params(max_tokens=7)).ticket == first.ticket


def test_a_ticket_that_the_host_put_there_is_not_believed(aws: Aws) -> None:
    """Another job's lookup, copied under this key's name, is refused."""
    once(aws, "one")
    [one] = [key for key in sorted(aws.keys()) if "/lookup/" in key and not key.endswith(".sent")]
    once(aws, "two")
    [two] = [key for key in sorted(aws.keys()) if "/lookup/" in key and not key.endswith(".sent") and key != one]
    aws.s3.put_object(Bucket=aws.settings.bucket, Key=two, Body=aws.body(one))
    with pytest.raises(ServiceError, match="LookupNotAuthentic"):
        once(aws, "two")
