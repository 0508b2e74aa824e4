"""The results of a chunk: complete, in order, bound to their questions, and within the format's limits."""

from hypothesis import given
from hypothesis import strategies as st
from question_factory import ANSWER_ARN, IMAGE, SALT, Keys, invalid, record
from receipt_factory import SETTINGS, signer
from scripted_engine import ScriptedEngine

from enclave_worker.assembly import Assembly
from enclave_worker.chunk import OpenChunk
from enclave_worker.engine import Completion
from enclave_worker.identity import Identity
from enclave_worker.prompts import Prompter
from enclave_worker.template import Template
from wire.commitments import question_root, result_root
from wire.envelope import MAX_PAYLOAD, parse_answers, parse_questions
from wire.header import AnswerHeader
from wire.payload import MAX_ANSWER_CHARACTERS, AnswerPayload, ErrorCode, Outcome, QuestionPayload, Record
from wire.receipt import Totals, parse_receipt

MODEL = bytes([1]) * 32
TEMPLATE = bytes([2]) * 32
IDENTITY = Identity(IMAGE, "test/model", MODEL, TEMPLATE, SETTINGS)


class Bench:
    """An assembly of some records, and its end."""

    def __init__(self, *records: Record, first: int | None = None, count: int | None = None) -> None:
        self.keyset = Keys()
        self.sealed = parse_questions(self.keyset.seal(list(records)))
        payload = QuestionPayload.decode(self.sealed.open(self.keyset.question_key))
        start = records[0].number if first is None else first
        chunk = OpenChunk(
            self.sealed.header, self.sealed.digest, self.keyset.question_key, payload, start, count or len(records)
        )
        prompter = Prompter(ScriptedEngine(), Template(), 10)
        self.assembly = Assembly(chunk, [prompter.prepare(chunk, item) for item in chunk.records])

    def open(self) -> tuple[AnswerHeader, AnswerPayload]:
        """What the reader of the sealed answers finds."""
        return self.keyset.open(self.assembly.seal(IDENTITY, signer(IMAGE, MODEL, TEMPLATE)))


@given(st.permutations(range(6)))
def test_results_stand_in_the_order_of_the_records(order: list[int]) -> None:
    """In whatever order the engine finishes, and only the last completion completes the chunk."""
    bench = Bench(*(record(number, f"Question {number}?") for number in range(10, 16)))
    prompts = bench.assembly.prompts()
    for place, index in enumerate(order):
        assert not bench.assembly.complete
        last = bench.assembly.add(Completion(prompts[index].key, f"answer {index}", "stop", 2))
        assert last == (place == 5)
    assert bench.assembly.complete
    _, payload = bench.open()
    assert [(result.number, result.text) for result in payload.results] == [(10 + n, f"answer {n}") for n in range(6)]


def test_an_answer_is_bound_to_its_questions() -> None:
    """The header names all that the reader checks, and the payload returns the salt that came with the questions."""
    bench = Bench(record(3, "a?"), record(4, "b?"), record(5, "c?"), first=4, count=2)
    for prompt in bench.assembly.prompts():
        bench.assembly.add(Completion(prompt.key, "yes", "stop", 1))
    header, payload = bench.open()
    asked = bench.sealed.header
    assert (header.tenant, header.job, header.chunk) == (asked.tenant, asked.job, asked.chunk)
    assert (header.first, header.count, header.image) == (4, 2, IMAGE)
    assert (header.key_arn, header.wrapped_digest) == (ANSWER_ARN, bench.keyset.answer_digest)
    assert (header.question_digest, header.model, header.template) == (bench.sealed.digest, MODEL, TEMPLATE)
    assert (payload.model_name, payload.salt) == ("test/model", SALT)
    assert [(result.number, result.line, result.custom_id) for result in payload.results] == [
        (4, 5, "case-4"),
        (5, 6, "case-5"),
    ]


def test_a_chunk_without_a_question_to_generate_is_complete_at_once() -> None:
    """Lines that were invalid have their outcome already."""
    bench = Bench(invalid(0), invalid(1))
    assert bench.assembly.complete
    assert bench.assembly.prompts() == []
    assert {result.error for result in bench.open()[1].results} == {ErrorCode.INVALID_JSON_LINE}


def test_an_answer_cut_by_its_limit_is_truncated() -> None:
    """It is not passed off as a whole one."""
    bench = Bench(record(0, "a?"))
    bench.assembly.add(Completion(bench.assembly.prompts()[0].key, "half an ans", "length", 7))
    result = bench.open()[1].results[0]
    assert (result.outcome, result.finish_reason, result.completion_tokens) == (Outcome.TRUNCATED, "length", 7)
    assert result.prompt_tokens == len("Question: a?\nAnswer:")


def test_an_answer_beyond_the_format_is_an_error_and_not_a_failed_chunk() -> None:
    """Its neighbour keeps its answer; the detail has a number and none of the text."""
    bench = Bench(record(0, "a?"), record(1, "b?"))
    long, short = bench.assembly.prompts()
    bench.assembly.add(Completion(long.key, "x" * (MAX_ANSWER_CHARACTERS + 1), "stop", 9))
    bench.assembly.add(Completion(short.key, "fine", "stop", 1))
    first, second = bench.open()[1].results
    assert (first.error, first.text) == (ErrorCode.OUTPUT_TOO_LARGE, "")
    assert first.detail == f"answer has {MAX_ANSWER_CHARACTERS + 1} characters and does not fit its chunk"
    assert second.text == "fine"


def test_answers_that_do_not_fit_their_chunk_give_way_longest_first() -> None:
    """Nine answers of a million characters do not fit eight million bytes: as many as need be are given up, no more."""
    bench = Bench(*(record(number, "a?") for number in range(10)))
    for index, prompt in enumerate(bench.assembly.prompts()):
        size = MAX_ANSWER_CHARACTERS - index if index < 9 else 4
        bench.assembly.add(Completion(prompt.key, "x" * size, "stop", 1))
    results = bench.open()[1].results
    assert [result.error for result in results] == [ErrorCode.OUTPUT_TOO_LARGE] * 2 + [None] * 8
    assert sum(len(result.text) for result in results) <= MAX_PAYLOAD


def test_a_receipt_is_signed_over_what_is_sealed() -> None:
    """It counts outcomes and tokens as the payload does, and commits to questions and results."""
    bench = Bench(record(3, "a?"), record(4, "b?"), record(5, "c?"), first=4, count=2)
    for prompt, reason in zip(bench.assembly.prompts(), ("stop", "length"), strict=True):
        bench.assembly.add(Completion(prompt.key, "yes", reason, 3))  # type: ignore[arg-type]
    sealed = parse_answers(bench.assembly.seal(IDENTITY, signer(IMAGE, MODEL, TEMPLATE)))
    payload = AnswerPayload.decode(sealed.open(bench.keyset.answer_key))
    receipt = parse_receipt(sealed.open_receipt(bench.keyset.answer_key)).receipt
    assert (receipt.job, receipt.chunk, receipt.first, receipt.count) == (bench.keyset.job, 2, 4, 2)
    assert (receipt.questions, receipt.answers) == (bench.sealed.digest, sealed.body_digest)
    assert receipt.totals == Totals.of(payload.results)
    assert receipt.totals.outcomes == (1, 1, 0, 0, 0)
    assert receipt.result_root == result_root(SALT, payload.results)
    assert receipt.question_root == question_root(SALT, (record(4, "b?"), record(5, "c?")))
