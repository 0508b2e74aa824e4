"""Reads an input of any form as a stream of records and problems, one for each line that is not blank."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from producer.csv_rows import read_csv
from producer.draft import Draft, broken
from producer.fields import read_custom_id
from producer.forms import InputForm
from producer.json_line import decode_object
from producer.lines import Line, LineSource, decode, read_lines
from producer.openai_line import read_openai
from producer.problem import BadLineError, Problem, invalid
from producer.seen_ids import SeenIds
from producer.short_line import read_short
from wire.payload import ErrorCode, Params, Record

_SSN: Final = re.compile(r"(?<![0-9])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9])")


@dataclass(slots=True)
class Notes:
    """What a user may want to know of an input that is valid all the same.

    `named_models` counts lines that name a model, which is not heeded; `ssn_like_ids` counts custom_ids that look
    like a US social security number. They are sealed with the question, yet stand in the output file.
    """

    named_models: int = 0
    ssn_like_ids: int = 0


def read_records(
    source: LineSource,
    form: InputForm,
    defaults: Params,
    *,
    keep_invalid: bool = False,
    notes: Notes | None = None,
    first_line: int = 1,
    first_number: int = 0,
) -> Iterator[Record | Problem]:
    """The questions in `source`, numbered from 0, and the problems of the other lines, in the order of the input.

    `defaults` holds for what a line does not say. With `keep_invalid` each problem that is not fatal is followed by a
    record without messages, so that the line gets its line of output. Memory does not grow with the input but for
    some 24 to 48 bytes for each line's custom_id. `notes` is counted up. A part of a file begins with its line
    `first_line` and record `first_number`.

    Raises:
        OSError: reading failed.
    """
    notes = Notes() if notes is None else notes
    seen = SeenIds()
    number = first_number
    problem = None
    for draft in _drafts(read_lines(source, first_line), form, defaults, notes):
        custom_id, problem = _claim(draft, seen, notes)
        if problem is not None:
            yield problem
        if problem is None:
            yield Record(number, draft.line, custom_id, draft.messages, draft.params)
            number += 1
        elif keep_invalid and not problem.fatal:
            yield Record(number, draft.line, custom_id, (), Params(), problem.code)
            number += 1
    if number == first_number and problem is None:
        yield Problem(1, ErrorCode.EMPTY_FILE, "there is no question in it", fatal=True)


def _claim(draft: Draft, seen: SeenIds, notes: Notes) -> tuple[str, Problem | None]:
    """The custom_id that the line gets, which no other has, and what is wrong with the line."""
    wanted, problem = draft.custom_id, draft.problem
    if wanted is not None:
        first = seen.add(wanted, draft.line)
        if not first:
            if _SSN.search(wanted) is not None:
                notes.ssn_like_ids += 1
            return wanted, problem
        problem = problem or Problem(
            draft.line, ErrorCode.DUPLICATE_CUSTOM_ID, f"the custom_id of line {first} stands here again", "custom_id"
        )
    custom_id = f"line-{draft.line}"
    copy = 1
    while seen.add(custom_id, draft.line):
        copy += 1
        custom_id = f"line-{draft.line}.{copy}"
    return custom_id, problem


def _drafts(lines: Iterator[Line], form: InputForm, defaults: Params, notes: Notes) -> Iterator[Draft]:
    first = next((line for line in lines if line.data.strip() or not line.whole), None)
    if first is None:
        return
    rest = chain([first], lines)
    if form.is_csv(first.data):
        yield from read_csv(rest, form, defaults)
    else:
        for line in rest:
            if line.data.strip() or not line.whole:
                yield _read_json(line, defaults, notes)


def _read_json(line: Line, defaults: Params, notes: Notes) -> Draft:
    custom_id = None
    try:
        fields = decode_object(decode(line))
        if "custom_id" in fields:
            custom_id = read_custom_id(fields["custom_id"])
        if "question" in fields:
            messages, params = read_short(fields, defaults)
        else:
            messages, params = read_openai(fields, defaults)
            notes.named_models += fields["body"].get("model") is not None
    except BadLineError as error:
        return broken(error.at(line.number), custom_id)
    if custom_id is None and "question" not in fields:
        return broken(invalid("is missing", "custom_id").at(line.number))
    return Draft(line.number, custom_id, messages, params)
