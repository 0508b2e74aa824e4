"""From a record to a prompt for the engine, or to the reason why there is none."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from enclave_worker.chunk import OpenChunk
from enclave_worker.engine import Engine, Poisonous, SamplingParams
from enclave_worker.template import Template
from wire.keys import sampling_seed, user_seed
from wire.payload import ErrorCode, Outcome, Record, Result


@dataclass(frozen=True, slots=True)
class Question:
    """A record that the engine can answer, as tokens."""

    record: Record
    tokens: Sequence[int]
    params: SamplingParams


class Prompter:
    """Renders and tokenizes records for one engine."""

    def __init__(self, engine: Engine, template: Template, default_max_tokens: int) -> None:
        self._engine = engine
        self._template = template
        self._default_max_tokens = default_max_tokens

    def prepare(self, chunk: OpenChunk, record: Record) -> Question | Result:
        """The question to generate for, or the result of a record that cannot be answered."""
        if record.problem is not None:
            return errored(record, record.problem)
        try:
            tokens = array("I", self._engine.tokenize(self._template.render(record.messages)))
        except Poisonous:
            return errored(record, ErrorCode.POISON_RECORD)
        if not tokens:
            return errored(record, ErrorCode.INVALID_RECORD, "prompt is empty")
        # One position at least is left for the answer.
        longest = self._engine.context_length - 1
        if len(tokens) > longest:
            detail = f"prompt has {len(tokens)} tokens, limit {longest}"
            return errored(record, ErrorCode.CONTEXT_LENGTH_EXCEEDED, detail, len(tokens))
        return Question(record, tokens, self._params(chunk, record, self._engine.context_length - len(tokens)))

    def _params(self, chunk: OpenChunk, record: Record, room: int) -> SamplingParams:
        params = record.params
        if params.seed is None:
            seed = sampling_seed(chunk.question_key, chunk.header.job, record.number)
        else:
            seed = user_seed(params.seed)
        return SamplingParams(
            max_tokens=min(params.max_tokens or self._default_max_tokens, room),
            temperature=params.temperature,
            top_p=params.top_p,
            seed=seed,
            stop=params.stop + self._template.stop,
            top_k=params.top_k,
            repetition_penalty=params.repetition_penalty,
        )


def errored(record: Record, error: ErrorCode, detail: str = "", prompt_tokens: int = 0) -> Result:
    """The result of a record that gets no answer."""
    return Result(
        number=record.number,
        line=record.line,
        custom_id=record.custom_id,
        outcome=Outcome.ERRORED,
        prompt_tokens=prompt_tokens,
        error=error,
        detail=detail,
    )
