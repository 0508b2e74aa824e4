"""From a record to a prompt, or to the reason why there is none."""

from dataclasses import replace

import pytest
from question_factory import Keys, conversation, invalid, record
from scripted_engine import CONTEXT, ScriptedEngine

from enclave_worker.chunk import OpenChunk
from enclave_worker.prompts import Prompter, Question
from enclave_worker.template import Template
from wire.envelope import parse_questions
from wire.keys import sampling_seed, user_seed
from wire.payload import ErrorCode, Outcome, QuestionPayload, Record, Result

TEMPLATE = Template(user_turn="{content}", prompt_end="", stop=("\n\n",))


def chunk_of(*records: Record) -> OpenChunk:
    """An open chunk of these records."""
    keyset = Keys()
    sealed = parse_questions(keyset.seal(list(records)))
    payload = QuestionPayload.decode(sealed.open(keyset.question_key))
    return OpenChunk(sealed.header, sealed.digest, keyset.question_key, payload, records[0].number, len(records))


def prepare(asked: Record, template: Template = TEMPLATE) -> Question | Result:
    """What becomes of one record, with 10 tokens by default."""
    return Prompter(ScriptedEngine(), template, 10).prepare(chunk_of(asked), asked)


def prepared(asked: Record, template: Template = TEMPLATE) -> Question:
    """The question of a record that has one."""
    question = prepare(asked, template)
    assert isinstance(question, Question)
    return question


def test_a_question_goes_through_the_template() -> None:
    """The tokens are those of the rendered prompt, and of a whole conversation."""
    asked = conversation(0, ("system", "S"), ("user", "one"), ("assistant", "two"), ("user", "three"))
    template = Template(
        system="default", system_turn="<{content}>", user_turn="[{content}]", assistant_turn="({content})"
    )
    assert bytes(list(prepared(asked, template).tokens)) == b"<S>[one](two)[three]Answer:"


def test_a_line_that_was_invalid_keeps_its_problem() -> None:
    """It costs no tokens and gets its line of output."""
    result = prepare(invalid(3))
    assert isinstance(result, Result)
    assert (result.number, result.line, result.custom_id) == (3, 4, "case-3")
    assert (result.outcome, result.error) == (Outcome.ERRORED, ErrorCode.INVALID_JSON_LINE)


def test_the_longest_prompt_leaves_one_position_for_the_answer() -> None:
    """One token more is an outcome with numbers, and none of the question in it."""
    fits = prepared(record(0, "x" * (CONTEXT - 1), max_tokens=50))
    assert fits.params.max_tokens == 1
    result = prepare(record(0, "secret" + "x" * (CONTEXT - 6)))
    assert isinstance(result, Result)
    assert result.error is ErrorCode.CONTEXT_LENGTH_EXCEEDED
    assert result.prompt_tokens == CONTEXT
    assert result.detail == f"prompt has {CONTEXT} tokens, limit {CONTEXT - 1}"


def test_a_prompt_without_tokens_is_an_error_and_not_a_crash() -> None:
    """A template may render an empty message to nothing."""
    result = prepare(record(0, ""))
    assert isinstance(result, Result)
    assert result.error is ErrorCode.INVALID_RECORD


@pytest.mark.parametrize(("wanted", "given"), [(None, 10), (1, 1), (500, CONTEXT - 4), (65_536, CONTEXT - 4)])
def test_the_answers_limit_is_the_lines_the_default_or_what_the_context_has_left(
    wanted: int | None, given: int
) -> None:
    """Whichever is less."""
    assert prepared(record(0, "four", max_tokens=wanted)).params.max_tokens == given


def test_parameters_of_a_line_are_the_engines() -> None:
    """The template's stops come behind the line's own."""
    params = prepared(record(0, "q", temperature=0.7, top_p=0.9, seed=-5, stop=("a", "b"))).params
    assert (params.temperature, params.top_p, params.seed) == (0.7, 0.9, user_seed(-5))
    assert params.stop == ("a", "b", "\n\n")


def test_a_line_without_a_seed_has_one_of_its_own_that_repeats() -> None:
    """It comes from the question key and the record's number: a second run of a chunk is the same run."""
    records = [record(number, "same") for number in range(2)]
    chunk = chunk_of(*records)
    prompter = Prompter(ScriptedEngine(), TEMPLATE, 10)
    seeds = [
        question.params.seed for item in records if isinstance(question := prompter.prepare(chunk, item), Question)
    ]
    assert seeds == [sampling_seed(chunk.question_key, chunk.header.job, number) for number in range(2)]
    assert seeds[0] != seeds[1]
    other = replace(chunk, question_key=bytes(32))
    assert seeds[0] != prompter.prepare(other, records[0]).params.seed  # type: ignore[union-attr]
