"""Reads lines of output back into what was signed about them."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from results_consumer.output import default_message
from wire.payload import ErrorCode, Outcome, Result

MAX_LINE: Final = 16 * 1024 * 1024
_ID: Final = re.compile(r"batch_req_([a-z2-7]{16})_([0-9]{1,13})")
_MODEL: Final = re.compile(r".*@sha256:([0-9a-f]{64})", re.DOTALL)


class LineError(Exception):
    """A line is not one that `fetch` wrote."""


@dataclass(frozen=True, slots=True)
class ReadLine:
    """One line of output: `result` as the enclave committed to it, if it is attested; `model` as digest, if stated.

    Only if it `states_receipt` does `receipt` None say that there is none.
    """

    job: str
    number: int
    outcome: Outcome
    code: str | None
    attested: bool
    receipt: str | None
    model: bytes | None
    result: Result | None
    states_receipt: bool = True


def read_line(data: bytes) -> ReadLine:
    """Read a line of JSON output.

    Raises:
        LineError: it is not one that `fetch` wrote.
    """
    try:
        value = json.loads(data) if len(data) <= MAX_LINE else None
        return _read(value)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise LineError from None


def _read(value: Any) -> ReadLine:
    found = _ID.fullmatch(value["id"])
    if found is None:
        raise LineError
    outcome, attested, error = Outcome(value["outcome"]), value["attested"], value["error"]
    code = None if error is None else str(error["code"])
    if type(attested) is not bool:
        raise LineError
    model = None
    if value["response"] is not None:
        stated = _MODEL.fullmatch(value["response"]["body"]["model"])
        model = None if stated is None else bytes.fromhex(stated[1])
    return ReadLine(
        job=found[1],
        number=int(found[2]),
        outcome=outcome,
        code=code,
        attested=attested,
        receipt=value["receipt"],
        model=model,
        result=_result(int(found[2]), outcome, value) if attested else None,
    )


def _result(number: int, outcome: Outcome, value: Any) -> Result:
    error = None if outcome is not Outcome.ERRORED else ErrorCode(value["error"]["code"])
    result = Result(
        number=number,
        line=_typed(value["line"], int),
        custom_id=_typed(value["custom_id"], str),
        outcome=outcome,
        error=error,
        detail=_detail(outcome, error, value["error"]),
    )
    if not result.answered:
        if value["response"] is not None:
            raise LineError
        return result
    body = value["response"]["body"]
    (choice,), usage = body["choices"], body["usage"]
    return Result(
        number=number,
        line=result.line,
        custom_id=result.custom_id,
        outcome=outcome,
        text=_typed(choice["message"]["content"], str),
        finish_reason=_typed(choice["finish_reason"], str),
        prompt_tokens=_typed(usage["prompt_tokens"], int),
        completion_tokens=_typed(usage["completion_tokens"], int),
    )


def _detail(outcome: Outcome, code: ErrorCode | None, error: Any) -> str:
    """The enclave's own detail; empty if the message is the one that stands for its absence."""
    if error is None:
        return ""
    message: str = _typed(error["message"], str)
    return "" if message == default_message(outcome, code) else message


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise LineError
    return value
