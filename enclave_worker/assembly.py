"""Gathers the results of one chunk and seals them when the last one is in."""

import itertools
import threading
from dataclasses import replace
from typing import Final

from enclave_worker.chunk import OpenChunk
from enclave_worker.engine import Completion, Prompt
from enclave_worker.identity import Identity
from enclave_worker.prompts import Question, errored
from enclave_worker.receipts import Attested, ReceiptSigner
from wire.commitments import question_root, result_root
from wire.envelope import MAX_PAYLOAD, attach_receipt, body_digest, seal
from wire.header import AnswerHeader
from wire.keys import sharing_scope
from wire.payload import MAX_ANSWER_CHARACTERS, AnswerPayload, ErrorCode, Outcome, Result
from wire.receipt import Receipt, Totals

_keys: Final = itertools.count()
"""Names of sequences, unique in this process; the next of a count is drawn atomically."""


class Assembly:
    """The results of a chunk as they come, in any order and from any thread."""

    def __init__(self, chunk: OpenChunk, prepared: list[Question | Result]) -> None:
        self._chunk = chunk
        self._lock = threading.Lock()
        self._results = {item.number: item for item in prepared if isinstance(item, Result)}
        self._open = {next(_keys): item for item in prepared if isinstance(item, Question)}

    @property
    def complete(self) -> bool:
        """Whether every record has its result."""
        with self._lock:
            return not self._open

    def prompts(self) -> list[Prompt]:
        """The sequences that are still to be generated."""
        tenant, scope = self._chunk.header.tenant, sharing_scope(self._chunk.question_key)
        with self._lock:
            return [
                Prompt(key, question.tokens, question.params, tenant, scope) for key, question in self._open.items()
            ]

    def add(self, completion: Completion) -> bool:
        """Take one completion; True when it was the last."""
        with self._lock:
            question = self._open.pop(completion.key)
            result = _result(question, completion)
            self._results[result.number] = result
            return not self._open

    def seal(self, identity: Identity, signer: ReceiptSigner) -> bytes:
        """The sealed answers with their receipt, under the answer key that came with the questions and bound to them.

        Raises:
            AttestorError: there is no attestation document for the receipt.
        """
        asked, questions = self._chunk.header, self._chunk.payload
        results = tuple(self._results[record.number] for record in self._chunk.records)
        payload, encoded = _encode(AnswerPayload(identity.model_name, questions.salt, results))
        header = AnswerHeader(
            tenant=asked.tenant,
            job=asked.job,
            image=identity.image,
            chunk=asked.chunk,
            first=self._chunk.first,
            count=self._chunk.count,
            key_arn=questions.answer_key_arn,
            wrapped_digest=questions.answer_wrapped_digest,
            question_digest=self._chunk.digest,
            model=identity.model,
            template=identity.template,
        )
        sealed = seal(header, questions.answer_key, encoded)
        attested = signer.attested()
        receipt = self._receipt(identity, attested, body_digest(sealed), payload.results)
        return attach_receipt(sealed, questions.answer_key, signer.sign(receipt, attested.document))

    def _receipt(self, identity: Identity, attested: Attested, answers: bytes, results: tuple[Result, ...]) -> Receipt:
        chunk, salt = self._chunk, self._chunk.payload.salt
        return Receipt(
            tenant=chunk.header.tenant,
            job=chunk.header.job,
            chunk=chunk.header.chunk,
            first=chunk.first,
            count=chunk.count,
            questions=chunk.digest,
            answers=answers,
            question_root=question_root(salt, chunk.records),
            result_root=result_root(salt, results),
            totals=Totals.of(results),
            model=identity.model,
            template=identity.template,
            settings=identity.settings,
            pcrs=attested.pcrs,
            document=attested.digest,
            time_ms=attested.time_ms,
        )


def _result(question: Question, completion: Completion) -> Result:
    if completion.finish_reason == "poison":
        return errored(question.record, ErrorCode.POISON_RECORD, prompt_tokens=len(question.tokens))
    result = Result(
        number=question.record.number,
        line=question.record.line,
        custom_id=question.record.custom_id,
        outcome=Outcome.TRUNCATED if completion.finish_reason == "length" else Outcome.SUCCEEDED,
        text=completion.text,
        finish_reason=completion.finish_reason,
        prompt_tokens=len(question.tokens),
        completion_tokens=completion.completion_tokens,
    )
    return _too_large(result) if len(completion.text) > MAX_ANSWER_CHARACTERS else result


def _too_large(result: Result) -> Result:
    return replace(
        result,
        outcome=Outcome.ERRORED,
        text="",
        finish_reason="",
        error=ErrorCode.OUTPUT_TOO_LARGE,
        detail=f"answer has {len(result.text)} characters and does not fit its chunk",
    )


def _encode(payload: AnswerPayload) -> tuple[AnswerPayload, bytes]:
    """The payload within its limit, and its encoding; while it is above, the longest answers give way to errors."""
    while (excess := len(encoded := payload.encode()) - MAX_PAYLOAD) > 0:
        results = list(payload.results)
        sizes = [len(result.text.encode()) for result in results]
        for index in sorted(range(len(results)), key=sizes.__getitem__, reverse=True):
            if excess > 0:
                results[index] = _too_large(results[index])
                excess -= sizes[index]
        payload = replace(payload, results=tuple(results))
    return payload, encoded
