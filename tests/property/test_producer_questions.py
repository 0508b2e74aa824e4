"""Any input gives records and problems, one for each line, and nothing else; what is taken, the wire takes too."""

import csv
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from producer.forms import InputForm
from producer.questions import read_records
from wire.messages import MAX_CHUNK_RECORDS
from wire.payload import CUSTOM_ID, Params, QuestionPayload, Record

ARN = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-00000000000b"
JSONL = InputForm("jsonl")
CSV = InputForm("csv")
FORMS = [JSONL, CSV, InputForm(), InputForm("csv", delimiter=";")]
SECRET = "kestrel7f3a"

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
names = st.sampled_from(
    ["custom_id", "question", "context", "max_tokens", "temperature", "top_p", "seed", "stop", "method", "url", "body"]
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": values,
        "messages": st.lists(
            st.fixed_dictionaries(
                {}, optional={"role": st.sampled_from(["system", "user", "tool"]), "content": values}
            ),
            max_size=3,
        )
        | values,
        "max_tokens": scalars,
        "temperature": scalars,
        "stream": scalars,
        "stop": values,
        "n": scalars,
    },
)
lines = st.dictionaries(names | st.text(max_size=6), values, max_size=6) | st.fixed_dictionaries(
    {
        "custom_id": st.text("abc-", min_size=1, max_size=4) | scalars,
        "method": st.just("POST"),
        "url": st.sampled_from(["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]),
        "body": bodies,
    }
)


def read(data: bytes, form: InputForm) -> list[Any]:
    """All that comes of an input, with a record for each invalid line too."""
    return list(read_records(io.BytesIO(data), form, Params(), keep_invalid=True))


def check(items: list[Any]) -> None:
    """What holds for every input: numbers, lines and ids are sound, and the wire takes every record."""
    records = [item for item in items if isinstance(item, Record)]
    assert [record.number for record in records] == list(range(len(records)))
    assert [record.line for record in records] == sorted({record.line for record in records})
    assert len({record.custom_id for record in records}) == len(records)
    assert all(CUSTOM_ID.fullmatch(record.custom_id) for record in records)
    assert items, "an input without a question is a problem too"
    for start in range(0, len(records), MAX_CHUNK_RECORDS):
        payload = QuestionPayload(
            bytes(32), ARN, bytes(32), bytes(32), tuple(records[start : start + MAX_CHUNK_RECORDS])
        )
        assert QuestionPayload.decode(payload.encode()) == payload


@given(st.binary(max_size=400), st.sampled_from(FORMS))
def test_any_bytes_give_records_or_problems(data: bytes, form: InputForm) -> None:
    """No input raises anything."""
    check(read(data, form))


@given(st.text('{}[]":,ab\\u0e\n\r "\'-1', max_size=120), st.sampled_from(FORMS))
def test_what_looks_like_an_input_gives_records_or_problems(text: str, form: InputForm) -> None:
    """Made of what JSON and CSV are made of."""
    check(read(text.encode(), form))


@given(st.lists(lines, min_size=1, max_size=6))
def test_any_json_objects_give_one_record_each(objects: list[dict[str, Any]]) -> None:
    """Whatever the fields hold, each line keeps its place; an invalid one has a problem before its record."""
    data = "\n".join(json.dumps(item) for item in objects).encode()
    items = read(data, JSONL)
    check(items)
    assert [item.line for item in items if isinstance(item, Record)] == list(range(1, len(objects) + 1))


@given(lines, st.data())
def test_no_problem_quotes_the_line(line: dict[str, Any], data: st.DataObject) -> None:
    """A word that stands in any field, in a name or beside the JSON is not repeated in what is said about it."""
    spoiled = {f"{SECRET}": 1, **{name: data.draw(st.sampled_from([value, SECRET])) for name, value in line.items()}}
    text = json.dumps(spoiled)
    cut = data.draw(st.integers(0, len(text)))
    for item in read(f"{text}\n{text[:cut]}\n{SECRET}".encode(), JSONL):
        if not isinstance(item, Record):
            assert SECRET not in f"{item.message}{item.param}"


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    str.strip
)


@given(st.lists(cells, min_size=1, max_size=8), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_what_a_spreadsheet_writes_is_read_back(questions: list[str], delimiter: str, end: str) -> None:
    """Quotes, delimiters and any letters come through a CSV file as they were."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerow(["case", "text"])
    writer.writerows((f"c-{n}", question) for n, question in enumerate(questions))
    form = InputForm("csv", id_column="case", question_column="text", delimiter=delimiter)
    items = read(file.getvalue().encode(), form)
    check(items)
    assert [(item.custom_id, item.messages[0].content) for item in items] == [
        (f"c-{n}", question) for n, question in enumerate(questions)
    ]
