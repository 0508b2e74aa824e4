"""Reads lines of output back into what was signed about them."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from results_consumer.output import LineOrigin, attested_line, json_value, record_error, unattested_line
from wire.payload import ErrorCode, Outcome, Result

MAX_LINE: Final = 16 * 1024 * 1024
_ID: Final = re.compile(r"batch_req_([a-z2-7]{16})_([0-9]{1,13})")
_MODEL: Final = re.compile(r".*@sha256:([0-9a-f]{64})", re.DOTALL)


class LineError(Exception):
    """A line is not one that `fetch` wrote."""


@dataclass(frozen=True, slots=True)
class ReadLine:
    """One line of output: `result` as the enclave committed to it, if it is attested; `model` as digest, if stated.

    `chunk` and `created` are those of an answer's job, None if they are not stated.
    `agrees` says whether it is as `fetch` writes such a record: with an error beside an answer, say, it is not.
    Only if it `states_receipt` does `receipt` None say that there is none.
    """

    job: str
    number: int
    outcome: Outcome
    attested: bool
    receipt: str | None
    model: bytes | None
    result: Result | None
    agrees: bool
    chunk: int | None = None
    created: int | None = None
    states_receipt: bool = True


def read_line(data: bytes) -> ReadLine:
    """Read a line of JSON output.

    Raises:
        LineError: it is not one that `fetch` wrote.
    """
    try:
        return _read(_DECODER.decode(data.decode("utf-8-sig")) if len(data) <= MAX_LINE else None)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise LineError from None


def own_detail(outcome: Outcome, error: ErrorCode | None, message: str) -> str:
    """What the enclave itself said of an error, by the message that a line states; "" if it said nothing."""
    expected = record_error(outcome, error)
    return "" if expected is None or message == expected.message else message


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise LineError  # which of the two a program takes is its own affair
    return value


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique)


def _read(value: Any) -> ReadLine:
    found, outcome, attested = _ID.fullmatch(value["id"]), Outcome(value["outcome"]), value["attested"]
    if found is None or type(attested) is not bool:
        raise LineError
    number, response = int(found[2]), value["response"]
    error = ErrorCode(value["error"]["code"]) if outcome is Outcome.ERRORED else None
    body: Any = {"model": ""} if response is None else response["body"]
    model = _MODEL.fullmatch(body["model"])
    # A row of a Parquet file does not state them.
    request, created = (response or {}).get("request_id"), body.get("created")
    chunk = None if request is None else int(request.rpartition("-")[2])
    origin = LineOrigin(found[1], chunk or 0, created or 0, body["model"], value["receipt"])
    message = "" if value["error"] is None else _typed(value["error"]["message"], str)
    result = _result(number, outcome, error, message, value) if attested else None
    if result is None:
        line = unattested_line(origin, number, outcome, error)
        told = record_error(outcome, error, message)  # a text of ours, which another version may word otherwise
        line = replace(line, line=value["line"], custom_id=value["custom_id"], error=told)
    else:
        line = attested_line(origin, result)
    return ReadLine(
        job=origin.job,
        number=number,
        outcome=outcome,
        attested=attested,
        receipt=origin.receipt,
        model=None if model is None else bytes.fromhex(model[1]),
        result=result,
        agrees=_agrees(value, json_value(line)) and (response is None or model is not None),
        chunk=chunk,
        created=created,
    )


def _result(number: int, outcome: Outcome, error: ErrorCode | None, message: str, value: Any) -> Result:
    line, custom_id = _typed(value["line"], int), _typed(value["custom_id"], str)
    if value["response"] is None:
        detail = own_detail(outcome, error, message)
        return Result(number, line, custom_id, outcome, error=error, detail=detail)
    body = value["response"]["body"]
    (choice,), usage = body["choices"], body["usage"]
    return Result(
        number,
        line,
        custom_id,
        outcome,
        text=_typed(choice["message"]["content"], str),
        finish_reason=_typed(choice["finish_reason"], str),
        prompt_tokens=_typed(usage["prompt_tokens"], int),
        completion_tokens=_typed(usage["completion_tokens"], int),
        error=error,
    )


def _agrees(stated: Any, expected: Any) -> bool:
    """Whether all that is stated of what a line says is as expected; of a Parquet file's row less is stated."""
    if stated == expected:
        return True
    if isinstance(expected, dict) and isinstance(stated, dict):
        # A field that `fetch` does not write is nobody's word.
        return stated.keys() <= expected.keys() and all(_agrees(stated[name], expected[name]) for name in stated)
    if isinstance(expected, list) and isinstance(stated, list):
        return len(stated) == len(expected) and all(map(_agrees, stated, expected))
    return False


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise LineError
    return value
