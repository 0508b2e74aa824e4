"""What the reader accepts, and the table of what it does not: code, line, field, and words without content."""

import io
import json

import pytest
from producer_samples import CSV, JSONL, openai, read, short

from producer.forms import InputForm
from producer.lines import MAX_LINE
from producer.problem import Problem
from producer.questions import Notes, read_records
from results_consumer.output_reader import LineError
from results_consumer.row_reader import read_rows
from wire.payload import MAX_QUESTION_BYTES, ErrorCode, Message, Params, Record

USER = (Message("user", "How many days?"),)


def body(**fields: object) -> bytes:
    """An OpenAI line whose body is exactly `fields`."""
    return json.dumps({"custom_id": "case-1", "body": fields}).encode()


def messages(*turns: object) -> bytes:
    """An OpenAI line with exactly these messages."""
    return body(messages=list(turns))


def csv_of(*rows: str) -> bytes:
    """CSV text with CRLF, as RFC 4180 has it."""
    return "".join(f"{row}\r\n" for row in rows).encode()


GOOD_TURN = {"role": "user", "content": "How many days?"}
LINES: dict[str, tuple[bytes, ErrorCode, str | None, str]] = {
    "not JSON": (b"{oops MARKER}", ErrorCode.INVALID_JSON_LINE, None, "character 2: a name in double quotes"),
    "JSON cut off": (b'{"custom_id":"MARKER', ErrorCode.INVALID_JSON_LINE, None, "a text does not end"),
    "two objects": (short("a").strip() * 2, ErrorCode.INVALID_JSON_LINE, None, "more behind the object"),
    "a list": (b'["MARKER"]', ErrorCode.INVALID_JSON_LINE, None, "not a JSON object"),
    "a bare text": (b'"MARKER"', ErrorCode.INVALID_JSON_LINE, None, "not a JSON object"),
    "a key twice": (b'{"question":"MARKER","question":"b"}', ErrorCode.INVALID_JSON_LINE, None, "one name twice"),
    "NaN": (b'{"question":"MARKER","seed":NaN}', ErrorCode.INVALID_JSON_LINE, None, "NaN"),
    "a number without end": (b'{"seed":' + b"1" * 5000 + b"}", ErrorCode.INVALID_JSON_LINE, None, "too many digits"),
    "nested without end": (b"[" * 500_000, ErrorCode.INVALID_JSON_LINE, None, "nested too deeply"),
    "raw control character": (b'{"question":"MARKER\x01"}', ErrorCode.INVALID_JSON_LINE, None, "a control character"),
    "not UTF-8": (b'{"question":"MARKER \xe9"}', ErrorCode.INVALID_ENCODING, None, "byte 21 of the line"),
    "UTF-16": ("MARKER".encode("utf-16"), ErrorCode.INVALID_ENCODING, None, "begins like UTF-16"),
    "escaped control character": (
        short("a", "MARKER\x07"),
        ErrorCode.INVALID_RECORD,
        "question",
        "(U+0007) at character 7",
    ),
    "NUL": (short("a", "MARKER\x00"), ErrorCode.INVALID_RECORD, "question", "(U+0000) at character 7"),
    "C1 control character": (short("a", "MARKER\x85"), ErrorCode.INVALID_RECORD, "question", "(U+0085)"),
    "lone surrogate": (b'{"question":"MARKER\\ud800"}', ErrorCode.INVALID_RECORD, "question", "half a surrogate pair"),
    "empty question": (short("a", ""), ErrorCode.INVALID_RECORD, "question", "is empty"),
    "blank question": (short("a", " \n\t"), ErrorCode.INVALID_RECORD, "question", "is empty"),
    "question is a number": (b'{"question":4711}', ErrorCode.INVALID_RECORD, "question", "must be text"),
    "question is null": (b'{"question":null}', ErrorCode.INVALID_RECORD, "question", "must be text"),
    "context is a list": (short("a", context=["MARKER"]), ErrorCode.INVALID_RECORD, "context", "must be text"),
    "question too large": (
        short("a", "é" * 65_537),
        ErrorCode.QUESTION_TOO_LARGE,
        "question",
        "131074 bytes of text, at most 131072",
    ),
    "2 MB question": (short("a", "MARKER" * 350_000), ErrorCode.LINE_TOO_LONG, None, "longer than 1048576 bytes"),
    "unknown field": (short("a", MARKER=1), ErrorCode.INVALID_RECORD, None, "field 3 has an unknown name"),
    "id with a space": (short("MARKER 1"), ErrorCode.INVALID_RECORD, "custom_id", "1 to 64 of A-Z a-z 0-9"),
    "id with a newline": (short("MARKER\n"), ErrorCode.INVALID_RECORD, "custom_id", "1 to 64 of A-Z a-z 0-9"),
    "e-mail as id": (short("jane@example.org"), ErrorCode.INVALID_RECORD, "custom_id", "1 to 64"),
    "id empty": (short(""), ErrorCode.INVALID_RECORD, "custom_id", "1 to 64"),
    "id too long": (short("x" * 65), ErrorCode.INVALID_RECORD, "custom_id", "1 to 64"),
    "id is a number": (b'{"custom_id":4711,"question":"q"}', ErrorCode.INVALID_RECORD, "custom_id", "must be text"),
    "id missing": (
        b'{"body":{"messages":[{"role":"user","content":"MARKER"}]}}',
        ErrorCode.INVALID_RECORD,
        "custom_id",
        "is missing",
    ),
    "temperature": (short("a", temperature=2.5), ErrorCode.INVALID_RECORD, "temperature", "number from 0 to 2"),
    "temperature beyond float": (
        b'{"question":"q","temperature":1e999}',
        ErrorCode.INVALID_RECORD,
        "temperature",
        "number from 0 to 2",
    ),
    "temperature true": (short("a", temperature=True), ErrorCode.INVALID_RECORD, "temperature", "number from 0"),
    "seed": (short("a", seed=2**63), ErrorCode.INVALID_RECORD, "seed", "whole number from -9223372036854775808"),
    "seed 1.0": (short("a", seed=1.0), ErrorCode.INVALID_RECORD, "seed", "whole number"),
    "max_tokens": (short("a", max_tokens=0), ErrorCode.INVALID_RECORD, "max_tokens", "whole number from 1 to 65536"),
    "top_p": (short("a", top_p=-0.1), ErrorCode.INVALID_RECORD, "top_p", "number from 0 to 1"),
    "stop": (short("a", stop=list("MARKE")), ErrorCode.INVALID_RECORD, "stop", "a list of at most 4 texts"),
    "stop empty": (short("a", stop=[""]), ErrorCode.INVALID_RECORD, "stop", "1 to 64 characters"),
    "stop with half a pair": (
        b'{"question":"q","stop":"\\udfff"}',
        ErrorCode.INVALID_RECORD,
        "stop",
        "half a surrogate pair",
    ),
    "no body": (b'{"custom_id":"a"}', ErrorCode.INVALID_RECORD, "body", "must be an object"),
    "body is text": (b'{"custom_id":"a","body":"MARKER"}', ErrorCode.INVALID_RECORD, "body", "must be an object"),
    "method": (b'{"custom_id":"a","method":"GET","body":{}}', ErrorCode.INVALID_RECORD, "method", "must be POST"),
    "method is a list": (b'{"custom_id":"a","method":[],"body":{}}', ErrorCode.INVALID_RECORD, "method", "POST"),
    "url": (b'{"custom_id":"a","url":"/v1/MARKER","body":{}}', ErrorCode.URL_MISMATCH, "url", "/v1/chat/completions"),
    "line field": (b'{"custom_id":"a","MARKER":1,"body":{}}', ErrorCode.INVALID_RECORD, None, "field 2 has an unknown"),
    "body field": (openai(MARKER=1), ErrorCode.INVALID_RECORD, "body", "field 2 has an unknown name"),
    "stream": (openai(stream=True), ErrorCode.INVALID_RECORD, "body.stream", "not supported with this value"),
    "n": (openai(n=2), ErrorCode.INVALID_RECORD, "body.n", "not supported with this value"),
    "tools": (openai(tools=[{"MARKER": 1}]), ErrorCode.INVALID_RECORD, "body.tools", "not supported with this value"),
    "logprobs": (openai(logprobs=True), ErrorCode.INVALID_RECORD, "body.logprobs", "not supported"),
    "prompt": (openai(prompt="MARKER"), ErrorCode.INVALID_RECORD, "body.prompt", "is not supported"),
    "two limits": (
        openai(max_tokens=1, max_completion_tokens=2),
        ErrorCode.INVALID_RECORD,
        "body.max_completion_tokens",
        "differ",
    ),
    "body temperature": (openai(temperature="hot"), ErrorCode.INVALID_RECORD, "body.temperature", "number from 0"),
    "no messages": (body(), ErrorCode.INVALID_RECORD, "body.messages", "a list of 1 to 64 messages"),
    "messages empty": (messages(), ErrorCode.INVALID_RECORD, "body.messages", "a list of 1 to 64"),
    "65 messages": (messages(*[GOOD_TURN] * 65), ErrorCode.INVALID_RECORD, "body.messages", "a list of 1 to 64"),
    "message is text": (messages("MARKER"), ErrorCode.INVALID_RECORD, "body.messages[0]", "must be an object"),
    "no user": (
        messages({"role": "system", "content": "MARKER"}),
        ErrorCode.INVALID_RECORD,
        "body.messages",
        "role user",
    ),
    "role": (
        messages({"role": "MARKER", "content": ""}),
        ErrorCode.INVALID_RECORD,
        "body.messages[0].role",
        "assistant",
    ),
    "role is a list": (
        messages(GOOD_TURN, {"role": ["user"], "content": ""}),
        ErrorCode.INVALID_RECORD,
        "body.messages[1].role",
        "must",
    ),
    "message field": (
        messages({**GOOD_TURN, "MARKER": 1}),
        ErrorCode.INVALID_RECORD,
        "body.messages[0]",
        "field 3 has an unknown",
    ),
    "content missing": (
        messages({"role": "user"}),
        ErrorCode.INVALID_RECORD,
        "body.messages[0].content",
        "must be text",
    ),
    "content empty": (openai(content=""), ErrorCode.INVALID_RECORD, "body.messages[0].content", "is empty"),
    "content empty list": (openai(content=[]), ErrorCode.INVALID_RECORD, "body.messages[0].content", "is empty"),
    "image part": (
        openai(content=[{"type": "image_url", "image_url": "MARKER"}]),
        ErrorCode.INVALID_RECORD,
        "body.messages[0].content[0]",
        "type text",
    ),
    "part text": (
        openai(content=[{"type": "text", "text": 1}]),
        ErrorCode.INVALID_RECORD,
        "body.messages[0].content[0].text",
        "must be text",
    ),
    "messages too large together": (
        messages(*[{"role": "user", "content": "x" * 70_000}] * 2),
        ErrorCode.QUESTION_TOO_LARGE,
        "body.messages",
        "140000 bytes of text",
    ),
}


@pytest.mark.parametrize(("line", "code", "param", "words"), LINES.values(), ids=LINES)
def test_a_bad_line_is_told_by_line_code_and_field(line: bytes, code: ErrorCode, param: str | None, words: str) -> None:
    """The problem stands between its good neighbours, and its words say what is wrong without quoting the line."""
    before, problem, after = read(short("before") + line.strip(b"\n") + b"\n" + short("after"))
    assert isinstance(before, Record)
    assert isinstance(after, Record)
    assert isinstance(problem, Problem)
    if line.startswith(b"\xff\xfe"):
        words = "byte 1 of the line"
    assert (problem.line, problem.code, problem.param, problem.fatal) == (2, code, param, False)
    assert words in problem.message
    assert "MARKER" not in problem.message
    assert (after.number, after.line) == (1, 3)


TABLES: dict[str, tuple[bytes, InputForm, int, ErrorCode, str | None, str, bool]] = {
    "no question column": (
        csv_of("custom_id,text", "a,q"),
        CSV,
        1,
        ErrorCode.MISSING_COLUMN,
        "question",
        "--question-column names",
        True,
    ),
    "no id column": (
        csv_of("id,question", "a,q"),
        InputForm("csv", id_column="case"),
        1,
        ErrorCode.MISSING_COLUMN,
        "case",
        "--id-column",
        True,
    ),
    "column twice": (
        csv_of("question,question", "a,q"),
        CSV,
        1,
        ErrorCode.INVALID_RECORD,
        "question",
        "more than once",
        True,
    ),
    "header not UTF-8": (b"question,\xff\nq,r\n", CSV, 1, ErrorCode.INVALID_ENCODING, None, "byte 10", True),
    "too few cells": (
        csv_of("a,question", "MARKER"),
        CSV,
        2,
        ErrorCode.INVALID_RECORD,
        None,
        "1 cells, the header 2",
        False,
    ),
    "too many cells": (csv_of("question", "MARKER,b"), CSV, 2, ErrorCode.INVALID_RECORD, None, "has 2 cells", False),
    "empty id": (csv_of("custom_id,question", ",q"), CSV, 2, ErrorCode.INVALID_RECORD, "custom_id", "1 to 64", False),
    "empty question": (
        csv_of("custom_id,question", "a,"),
        CSV,
        2,
        ErrorCode.INVALID_RECORD,
        "question",
        "empty",
        False,
    ),
    "control character": (
        csv_of("question", "MARK\x00ER"),
        CSV,
        2,
        ErrorCode.INVALID_RECORD,
        "question",
        "U+0000",
        False,
    ),
    "row not UTF-8": (b"question\nMARKER\xe9\n", CSV, 2, ErrorCode.INVALID_ENCODING, None, "byte 7", False),
    "text behind a quote": (csv_of("question", '"a"MARKER'), CSV, 2, ErrorCode.INVALID_RECORD, None, "a quote", False),
    "cell too large": (
        csv_of("question", "x" * 131_073),
        CSV,
        2,
        ErrorCode.QUESTION_TOO_LARGE,
        "question",
        "131073 bytes",
        False,
    ),
    "question too large": (
        csv_of("question", "é" * 65_537),
        CSV,
        2,
        ErrorCode.QUESTION_TOO_LARGE,
        "question",
        "131074 bytes",
        False,
    ),
    "2 MB question": (
        csv_of("question", '"' + "MARKER" * 350_000 + '"'),
        CSV,
        2,
        ErrorCode.LINE_TOO_LONG,
        None,
        "1048576",
        False,
    ),
    "quote never closed": (csv_of("question", '"MARKER', "q"), CSV, 2, ErrorCode.INVALID_RECORD, None, "quote", True),
    "row over many lines too long": (
        csv_of("question,b", '"a', *['","'.ljust(1000, "x")] * 1100),
        CSV,
        2,
        ErrorCode.LINE_TOO_LONG,
        None,
        "the row is longer",
        True,
    ),
    "2 MB line with an open quote": (
        csv_of("question", '"' + "x" * 2_000_000, 'q"'),
        CSV,
        2,
        ErrorCode.LINE_TOO_LONG,
        None,
        "1048576",
        True,
    ),
}


@pytest.mark.parametrize(("data", "form", "line", "code", "param", "words", "fatal"), TABLES.values(), ids=TABLES)
def test_a_bad_table_is_told_by_row_and_column(
    data: bytes, form: InputForm, line: int, code: ErrorCode, param: str | None, words: str, fatal: bool
) -> None:
    """Reading goes on after a bad row where its end is certain, and stops where text could pass for questions."""
    header = data.partition(b"\r\n")[0]
    tail = data + (b"b," * header.count(b",") + b"ok\n" if b"question\r\n" in data[:12] else b"")
    items = read(tail, form)
    problem = items[0]
    assert isinstance(problem, Problem)
    assert (problem.line, problem.code, problem.param, problem.fatal) == (line, code, param, fatal)
    assert words in problem.message
    assert "MARKER" not in problem.message
    assert [type(item) for item in items[1:]] == ([Record] if tail != data and not fatal else [])


def test_reading_answers_does_not_change_how_questions_are_read() -> None:
    """The csv module has one limit of cells for the whole process: what reads an output raised it for the producer."""
    wide = csv_of("note,question", f"{'x' * 200_000},How many days?", f",{'x' * 131_073}")
    before = read(wide, CSV)
    with pytest.raises(LineError):
        list(read_rows([wide], "a" * 16))
    assert read(wide, CSV) == before
    assert [type(item) for item in before] == [Record, Problem]


EMPTY = [(data, form) for data in (b"", b"\n \r\n\t\n", b"\xef\xbb\xbf") for form in (JSONL, CSV, InputForm())]


@pytest.mark.parametrize(("data", "form"), [*EMPTY, (b"question\n\n", CSV)])
def test_an_empty_input_is_told(data: bytes, form: InputForm) -> None:
    """Nothing, blank lines and a lone header hold no question, and no option makes them one."""
    (problem,) = read(data, form, keep_invalid=True)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.fatal) == (ErrorCode.EMPTY_FILE, True)


def test_both_forms_of_a_line_may_stand_in_one_file() -> None:
    """OpenAI lines, Mistral's without method and url, and short ones, with true line numbers across blank lines."""
    mistral = json.dumps({"custom_id": "m", "body": {"messages": [GOOD_TURN]}}).encode()
    items = read(b"\xef\xbb\xbf" + openai("o") + b"\r\n\n" + mistral + b"\r\n" + b'{"question":"How many days?"}')
    assert items == [
        Record(0, 1, "o", USER, Params()),
        Record(1, 4, "m", USER, Params()),
        Record(2, 5, "line-5", USER, Params()),
    ]


def test_parameters_of_a_line_go_before_the_defaults() -> None:
    """What a line names holds, null and what it does not name come from the defaults."""
    defaults = Params(max_tokens=9, temperature=0.5, top_p=0.9, seed=1, stop=("x",))
    line = openai("a", max_completion_tokens=7, temperature=1, seed=-3, stop="END", top_p=None)
    (first, second) = read(line + short("b"), defaults=defaults)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.params == Params(max_tokens=7, temperature=1.0, top_p=0.9, seed=-3, stop=("END",))
    assert type(first.params.temperature) is float
    assert second.params == defaults


def test_fields_that_cannot_change_an_answer_are_ignored() -> None:
    """An existing file runs unchanged if it asks for nothing that we lack; lines that name a model are counted."""
    notes = Notes()
    line = openai(
        model="gpt",
        user="u",
        metadata={"a": 1},
        store=True,
        service_tier="flex",
        n=1,
        stream=False,
        logprobs=None,
        presence_penalty=0.0,
        response_format={"type": "text"},
        tools=[],
        tool_choice="none",
        prompt=None,
    )
    assert read(line, notes=notes) == [Record(0, 1, "case-1", USER, Params())]
    assert notes.named_models == 1


def test_text_parts_become_lines_of_one_text() -> None:
    """A list of text parts is joined by newlines; roles and their order stay."""
    line = messages(
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "x"},
        {"role": "assistant", "content": "c"},
    )
    (record,) = read(line)
    assert isinstance(record, Record)
    assert record.messages == (Message("system", ""), Message("user", "a\nb"), Message("assistant", "c"))


def test_a_context_goes_before_the_question() -> None:
    """Both stand in one message of the user's."""
    (record,) = read(short("a", "Am I covered?", context="Plan B."))
    assert isinstance(record, Record)
    assert record.messages == (Message("user", "Plan B.\n\nAm I covered?"),)


def test_text_of_any_script_and_newlines_is_kept_as_it_is() -> None:
    """Newline, return, tab, emoji and right-to-left text pass unchanged."""
    text = "a\r\n\tß 退職 😀 \u202b\u05e9\u05dc\u05d5\u05dd\u202c"
    (record,) = read(short("a", text))
    assert isinstance(record, Record)
    assert record.messages[0].content == text


def test_a_question_of_the_largest_size_is_accepted() -> None:
    """131,072 bytes are allowed, in JSON and in CSV."""
    for data, form in ((short("a", "x" * MAX_QUESTION_BYTES), JSONL), (b"question\n" + b"x" * MAX_QUESTION_BYTES, CSV)):
        (record,) = read(data, form)
        assert isinstance(record, Record)
        assert len(record.messages[0].content) == MAX_QUESTION_BYTES


def test_a_line_of_exactly_the_limit_is_read() -> None:
    """The limit counts a line with its end; one byte more is too long."""
    padding = MAX_LINE - len(short("a"))
    fits, too_long = read(b" " * padding + short("a") + b" " * (padding + 1) + short("b"))
    assert isinstance(fits, Record)
    assert isinstance(too_long, Problem)
    assert (too_long.code, too_long.line) == (ErrorCode.LINE_TOO_LONG, 2)


def test_a_line_without_end_is_passed_over_in_pieces() -> None:
    """A line of 64 MiB is never read by more than the limit at once, and the next line keeps its number."""

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 64
            self.largest = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.largest = max(self.largest, size if size is not None and size >= 0 else 2**60)
            self.left -= 1
            return b"x" * MAX_LINE if self.left > 0 else (b"\n" + short("a") * 0 if self.left == 0 else last.pop())

    last = [b"", short("a")]
    stream = Endless()
    items = list(read_records(stream, JSONL, Params()))  # type: ignore[arg-type]
    assert [item.line for item in items] == [1, 2]
    assert stream.largest == MAX_LINE


def test_csv_cells_may_hold_newlines_quotes_and_delimiters() -> None:
    """A row's line is the one on which it begins; blank rows are passed over; other columns do not matter."""
    data = b'\xef\xbb\xbfid,note,question\r\na,,"one\r\ntwo"\r\n\r\n,,\r\nb,x,"say ""hi"", please"\r\n'
    items = read(data, InputForm("csv", id_column="id"))
    assert [(r.number, r.line, r.custom_id, r.messages[0].content) for r in items if isinstance(r, Record)] == [
        (0, 2, "a", "one\r\ntwo"),
        (1, 6, "b", 'say "hi", please'),
    ]


def test_csv_without_an_id_column_goes_by_line_numbers() -> None:
    """The ids are line-N; parameters are the defaults."""
    items = read(b"q;x\nHow?;1\nWhen?;2\n", InputForm("csv", question_column="q", delimiter=";"), Params(max_tokens=5))
    assert [(r.custom_id, r.params.max_tokens) for r in items if isinstance(r, Record)] == [
        ("line-2", 5),
        ("line-3", 5),
    ]


@pytest.mark.parametrize(
    ("form", "data", "ids"),
    [
        (InputForm(name="x.CSV"), b"custom_id,question\na,q\n", ["a"]),
        (InputForm(name="x.tsv"), b"custom_id\tquestion\na,b\tq\n", []),
        (InputForm(name="x.tsv"), b"custom_id\tquestion\na\tq\n", ["a"]),
        (InputForm(name="x.jsonl"), b"custom_id,question\na,q\n", []),
        (InputForm(), b"custom_id,question\na,q\n", ["a"]),
        (InputForm(), b'\n{"custom_id":"a","question":"b,question"}\n', ["a"]),
        (InputForm(question_column="ask"), b"custom_id,ask\na,q\n", ["a"]),
        (InputForm(name="x.txt", delimiter=";"), b"custom_id;question\na;q\n", ["a"]),
        (InputForm("jsonl", name="x.csv"), short("a"), ["a"]),
        (InputForm(), b"a\rb,question\n", []),
        (InputForm(), b"\xff,question\n", []),
    ],
)
def test_the_form_is_chosen_by_option_name_or_first_line(form: InputForm, data: bytes, ids: list[str]) -> None:
    """An explicit kind goes before the file's ending, that before CSV options, those before the look of it."""
    assert [item.custom_id for item in read(data, form) if isinstance(item, Record)] == ids


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\0"])
def test_a_delimiter_is_one_plain_character(delimiter: str) -> None:
    """Anything else is refused before a file is read."""
    with pytest.raises(ValueError, match="delimiter"):
        InputForm("csv", delimiter=delimiter)


def test_a_duplicate_names_the_line_that_has_the_id_first() -> None:
    """The second and third holder of an id are problems, an invalid line holds its id too, the first stays."""
    lines = short("a") + short("b", "") + short("a") + short("b") + short("a")
    problems = [item for item in read(lines) if isinstance(item, Problem)]
    assert [(problem.line, problem.code) for problem in problems] == [
        (2, ErrorCode.INVALID_RECORD),
        (3, ErrorCode.DUPLICATE_CUSTOM_ID),
        (4, ErrorCode.DUPLICATE_CUSTOM_ID),
        (5, ErrorCode.DUPLICATE_CUSTOM_ID),
    ]
    assert [problem.message.split(" stands")[0] for problem in problems[1:]] == [
        "the custom_id of line 1",
        "the custom_id of line 2",
        "the custom_id of line 1",
    ]


def test_an_id_made_from_the_line_number_gives_way_to_one_that_is_taken() -> None:
    """A line without an id never gets another's."""
    items = read(short("line-2") + b'{"question":"q"}\n' + short("line-3.2") + b'{"question":"q"}\n')
    assert [item.custom_id for item in items if isinstance(item, Record)] == [
        "line-2",
        "line-2.2",
        "line-3.2",
        "line-4",
    ]


def test_ids_that_look_like_social_security_numbers_are_counted() -> None:
    """They are accepted and noted; other groups of digits are not."""
    notes = Notes()
    read(short("123-45-6789") + short("emp:123-45-6789:x") + short("1123-45-6789") + short("123-45-67890"), notes=notes)
    assert notes.ssn_like_ids == 2
