"""Questions as a program has them become the bytes that the producer reads."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealbatch import InputInvalid, OptionError, Questions, validate
from sealbatch.errors import InputFileError
from sealbatch.formats import output_format
from sealbatch.intake import Intake
from sealbatch.times import spell_span
from wire.payload import Record


@dataclass
class Mail:
    """A record of somebody's own."""

    question: str
    custom_id: str | None = None
    max_tokens: int | None = None


class Row(NamedTuple):
    """Another one."""

    custom_id: str
    question: str


def asked(source: Any, **how: Any) -> list[tuple[int, str, str]]:
    """Line, custom_id and question of each record."""
    return [
        (record.line, record.custom_id, record.messages[0].content) for record in Questions(source, **how).records()
    ]


def test_texts_mappings_and_records_are_questions() -> None:
    """A record's fields that are None say nothing; an item's number is its line's."""
    body = {"messages": [{"role": "user", "content": "e"}]}
    items = ["a", {"custom_id": "two", "question": "b"}, Mail("c"), Row("four", "d"), {"custom_id": "5", "body": body}]
    assert asked(items) == [
        (1, "line-1", "a"),
        (2, "two", "b"),
        (3, "line-3", "c"),
        (4, "four", "d"),
        (5, "5", "e"),
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip), min_size=1))
def test_every_text_arrives_as_it_was(texts: list[str]) -> None:
    """Line ends, quotes and whatever else is in it."""
    assert [text for _, _, text in asked(texts)] == texts


def test_what_is_wrong_with_an_item_is_told_by_its_number_and_without_its_words() -> None:
    """A valid type with a wrong value is a problem; another type is the caller's own fault."""
    report = validate(["fine", "", {"question": "secret", "insulin": 1}, {"question": float("nan")}, "half \ud800"])
    assert [(problem.line, problem.param) for problem in report.problems] == [
        (2, "question"),
        (3, None),
        (4, None),
        (5, "question"),
    ]
    assert "secret" not in repr(report.problems)
    assert "insulin" not in repr(report.problems)
    for bad in (7, None, b"bytes", ["list"]):
        with pytest.raises(TypeError, match="question 2"):
            validate(["fine", bad])
    with pytest.raises(TypeError, match="question 1") as caught:
        validate([{"question": {"secret"}}])
    assert "secret" not in str(caught.value)


def test_a_single_text_is_neither_a_path_nor_a_list_of_letters() -> None:
    """It is refused, with what to give instead."""
    for one in ("mail.csv", b"mail", {"question": "x"}):
        with pytest.raises(TypeError, match=r"pathlib\.Path"):
            Questions(one)  # type: ignore[arg-type]


def test_files_and_streams_are_read_as_the_command_reads_them(tmp_path: Path) -> None:
    """By their ending, by options, and again from the beginning."""
    path = tmp_path / "mail.csv"
    path.write_text("case,text\nx-1,How long?\n")
    columns = {"id_column": "case", "question_column": "text"}
    assert asked(path, **columns) == [(2, "x-1", "How long?")]
    stream = Questions(io.BytesIO(path.read_bytes()), **columns)
    assert list(stream.pairs()) == list(stream.pairs()) == [(2, "x-1")]
    begun = io.BytesIO(b"a line for somebody else\n" + path.read_bytes())
    begun.readline()
    rest = Questions(begun, **columns)
    assert list(rest.pairs()) == list(rest.pairs()) == [(2, "x-1")]
    with pytest.raises(InputFileError, match="no such file"):
        asked(tmp_path / "none.jsonl")
    with pytest.raises(InputFileError, match="is a directory"):
        asked(tmp_path)
    with pytest.raises(OptionError, match="format"):
        Questions(path, format="xml")
    with pytest.raises(OptionError, match="delimiter"):
        Questions(path, delimiter=";;")


def test_what_can_be_read_once_is_not_read_twice() -> None:
    """A generator that is needed twice is kept; read before, it is refused and never taken for an empty one."""

    def texts() -> Iterator[str]:
        yield "a"
        yield "b"

    twice = Questions(texts()).again()
    assert list(twice.pairs()) == list(twice.pairs()) == [(1, "line-1"), (2, "line-2")]
    once = Questions(texts())
    assert len(list(once.records())) == 2
    with pytest.raises(OptionError, match="read before"):
        list(once.records())


def test_an_iterable_is_read_as_it_goes() -> None:
    """A million questions are never in memory together: the tenth is not asked for before the first is taken."""
    numbers = iter(range(10_000))

    records = Questions("x" * 1000 for _ in numbers).records()
    assert isinstance(next(records), Record)
    assert next(numbers) < 100


def test_a_table_without_the_column_is_invalid_and_not_a_bug() -> None:
    """`validate` reports it, reading raises it."""
    import pyarrow as pa

    table = pa.table({"text": ["a"]})
    assert [problem.code for problem in validate(table).problems] == ["missing_column"]
    with pytest.raises(InputInvalid):
        asked(table)


def test_spans_are_never_shorter_than_asked_for() -> None:
    """A timedelta is rounded up to minutes."""
    from datetime import timedelta

    assert spell_span(timedelta(hours=8)) == "480m"
    assert spell_span(timedelta(seconds=61)) == "2m"
    assert spell_span("8h") == "8h"


def test_a_file_that_is_open_as_text_is_refused_by_what_to_do(tmp_path: Path) -> None:
    """Both to read from and to write to, before anything of it is used."""
    with (tmp_path / "q.jsonl").open("w+", encoding="utf-8") as file:
        with pytest.raises(TypeError, match='mode "rb"'):
            Questions(file)
        with pytest.raises(OptionError, match='mode "wb"'):
            output_format(file, "auto")


def test_an_item_that_raises_stop_iteration_does_not_end_the_questions() -> None:
    """As if those after it had never been there: the job was submitted without them."""

    class Bad(Mapping[str, object]):
        def __getitem__(self, _: str) -> object:
            raise StopIteration

        def __iter__(self) -> Iterator[str]:
            return iter(["question"])

        def __len__(self) -> int:
            return 1

    with pytest.raises(RuntimeError):
        list(Questions(["one", Bad(), "three"]).pairs())


def test_a_single_text_is_no_list_of_stops() -> None:
    """Each of its letters would have ended an answer."""
    with pytest.raises(OptionError, match="stop: is a list of texts"):
        Intake(stop="END").params()
