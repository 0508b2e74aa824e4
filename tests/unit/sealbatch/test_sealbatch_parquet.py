"""Parquet files and tables on the way in and on the way out."""

import io
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from job_factory import make_job, memory_aws
from pyarrow import parquet

from results_consumer.errors import IntegrityError, SinkError
from results_consumer.fetch import fetch
from results_consumer.output_reader import LineError, read_line
from results_consumer.sink import FileSink, StreamSink
from sealbatch import Questions, validate
from sealbatch.arrow import questions as arrow_questions
from sealbatch.arrow.answers import COLUMNS, ParquetSink, TableSink, answer_lines
from sealbatch.errors import OptionError
from sealbatch.extras import NotInstalledError
from sealbatch.verbs.output import check_output
from wire.payload import ErrorCode, Outcome, Result

QUESTIONS = ["How long is leave?", "Wie lange? ½\n\t\N{GRINNING FACE}"]


def wrote(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A Parquet file."""
    parquet.write_table(pa.table(columns), path, **options)
    return path


def asked(source: Any, **how: Any) -> list[tuple[int, str, str]]:
    """Line, custom_id and question of each record."""
    return [(r.line, r.custom_id, r.messages[0].content) for r in Questions(source, **how).records()]


def problems(source: Any, **how: Any) -> list[tuple[int, str, str | None]]:
    """Row, code and column of each problem."""
    return [(p.line, str(p.code), p.param) for p in validate(Questions(source, **how), max_problems=99).problems]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), "dictionary"])
def test_a_row_is_a_question_whatever_its_text_is_stored_as(tmp_path: Path, kind: Any) -> None:
    """By the columns' usual names; the row's number is the line, and the custom_id where there is none."""
    column = pa.array(QUESTIONS)
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
    path = wrote(tmp_path / "in.parquet", {"other": [1, 2], "question": column})
    assert asked(path) == [(1, "line-1", QUESTIONS[0]), (2, "line-2", QUESTIONS[1])]
    assert asked(pa.table({"question": column})) == asked(path)


def test_columns_can_be_named_and_ids_can_be_numbers(tmp_path: Path) -> None:
    """As the CSV options name them."""
    path = wrote(tmp_path / "in.parquet", {"case": pa.array([17, 4], pa.uint16()), "text": QUESTIONS})
    found = asked(path, id_column="case", question_column="text")
    assert [(line, custom_id) for line, custom_id, _ in found] == [(1, "17"), (2, "4")]


def test_what_is_wrong_is_told_by_row_and_column_and_without_content(tmp_path: Path) -> None:
    """Nulls, blanks, twice the same id, text that is none."""
    texts = pa.array([b"fine", None, b" ", b"again", b"secret \xff", b"x" * 200_000])
    ids = pa.array(["a", "b", "c", "a", "e", "not an id"])
    path = wrote(tmp_path / "in.parquet", {"custom_id": ids, "question": texts})
    assert problems(path) == [
        (2, "invalid_record", "question"),
        (3, "invalid_record", "question"),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "invalid_encoding", None),
        (6, "invalid_record", "custom_id"),
    ]
    assert "secret" not in repr(validate(path).problems)


@pytest.mark.parametrize(
    ("columns", "code", "param"),
    [
        ({"text": ["x"]}, "missing_column", "question"),
        ({"question": [1]}, "invalid_record", "question"),
        ({"question": [["x"]]}, "invalid_record", "question"),
        ({"question": [{"secret": "x"}]}, "invalid_record", "question"),
        ({"question": ["x"], "custom_id": [1.5]}, "invalid_record", "custom_id"),
        ({"question": ["x"], "custom_id": [True]}, "invalid_record", "custom_id"),
    ],
)
def test_a_column_that_cannot_be_is_named_with_its_type(
    tmp_path: Path, columns: dict[str, Any], code: str, param: str
) -> None:
    """In a file and in a table alike, before the first row."""
    path = wrote(tmp_path / "in.parquet", columns)
    assert problems(path) == problems(pa.table(columns)) == [(1, code, param)]
    assert "secret" not in repr(validate(path).problems)


def test_a_column_that_stands_there_twice_is_refused() -> None:
    """Which one is meant, nobody can tell."""
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["question", "question"])
    assert problems(table) == [(1, "invalid_record", "question")]


@pytest.mark.parametrize("cut", [0, 4, 100, -1, -9])
def test_a_file_that_is_damaged_is_an_invalid_input(tmp_path: Path, cut: int) -> None:
    """Cut anywhere, or no Parquet at all: one problem, and no trace."""
    path = wrote(tmp_path / "in.parquet", {"question": QUESTIONS * 50})
    path.write_bytes(path.read_bytes()[:cut])
    assert [(row, code) for row, code, _ in problems(path)] == [(1, "invalid_record")]


def test_flipped_bytes_are_found_or_harmless(tmp_path: Path) -> None:
    """With page checksums or without, reading ends in rows or in a problem, and in nothing else."""
    path = wrote(tmp_path / "in.parquet", {"question": QUESTIONS * 20}, compression="zstd")
    data = bytearray(path.read_bytes())
    for at in range(4, len(data), 7):
        bent = bytearray(data)
        bent[at] ^= 0xFF
        validate(Questions(io.BytesIO(bytes(bent)), format="parquet"))


def test_damaged_statistics_and_indexes_end_in_a_problem_and_not_the_process(tmp_path: Path) -> None:
    """Pyarrow ended the process at a column's statistics, or met a text's index beyond the texts only in the cell."""
    texts = {"custom_id": [f"c{number}" for number in range(200)], "question": QUESTIONS * 200}
    data = wrote(tmp_path / "in.parquet", {name: column[:200] for name, column in texts.items()}).read_bytes()
    dice = random.Random(7)
    for _ in range(600):
        bent = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            bent[dice.choice([dice.randrange(len(bent)), -1 - dice.randrange(700)])] = dice.randrange(256)
        validate(Questions(io.BytesIO(bytes(bent)), format="parquet"))


def test_a_decompression_bomb_is_refused_by_what_it_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row group that unpacks to more than the limit is not unpacked; columns that are not read do not count."""
    monkeypatch.setattr(arrow_questions, "MAX_COLUMN", 1 << 20)
    bomb = pa.array(["x" * 60_000] * 100)
    path = wrote(tmp_path / "in.parquet", {"question": bomb}, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 20_000
    assert problems(path) == [(1, "invalid_record", "question")]
    other = wrote(tmp_path / "other.parquet", {"question": ["x"] * 100, "z": bomb}, use_dictionary=False)
    assert problems(other) == []


def test_many_rows_with_one_large_text_take_the_memory_of_one(tmp_path: Path) -> None:
    """A dictionary page says it once; what rows claim to hold together is never in memory together."""
    count, size = 500, 100_000
    path = wrote(tmp_path / "in.parquet", {"question": pa.array(["x" * size] * count).dictionary_encode()})
    before = pa.total_allocated_bytes()
    most = 0
    with path.open("rb") as file:
        for line in arrow_questions.parquet_lines(file, None, None):
            assert len(line) > size
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 50 * size


def test_a_pipe_cannot_be_read_as_parquet() -> None:
    """Its index stands at its end."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(OptionError, match="no pipe"):
        validate(Questions(Pipe(b"PAR1"), format="parquet"))


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that can be typed."""
    monkeypatch.setattr("sealbatch.extras._installed", lambda name: name != "pyarrow")
    with pytest.raises(NotInstalledError, match=r"pip install 'sealbatch\[parquet\]'"):
        validate(Questions(io.BytesIO(b"PAR1"), format="parquet"))
    with pytest.raises(NotInstalledError, match="parquet"):
        TableSink()
    with pytest.raises(NotInstalledError, match="parquet"):  # before anything is sent, and not in the morning
        check_output("answers.parquet", force=False)


def mixed() -> Any:
    """A job with an answer of each kind, and one record that nobody answered."""
    aws = memory_aws()
    made = make_job(aws, 3, 1)
    results = (
        Result(0, 1, "a", Outcome.SUCCEEDED, "Zwölf\nWochen \x07\u2028", "stop", 10, 4),
        Result(1, 2, "b", Outcome.TRUNCATED, "", "length", 10, 4),
        Result(2, 3, "c", Outcome.ERRORED, error=ErrorCode.CONTEXT_LENGTH_EXCEEDED, detail="too long"),
    )
    made.answer(0, results=results)
    made.fail(1, 3, 1)
    return made


def rows(made: Any, sink: Any) -> None:
    """Fetch into a sink."""
    fetch(made.aws.s3, made.aws.kms, made.aws.settings, made.ticket, sink)


def test_answers_come_as_rows_in_a_file_of_their_owner(tmp_path: Path) -> None:
    """All that JSON lines say, in columns with types; and the lines can be made again from them."""
    made = mixed()
    path = tmp_path / "out.parquet"
    rows(made, ParquetSink(FileSink(path)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["out.parquet"]
    table = parquet.read_table(path)
    assert table.column_names == list(COLUMNS)
    assert table.column("outcome").to_pylist() == ["succeeded", "truncated", "errored", "errored"]
    assert table.column("answer").to_pylist() == ["Zwölf\nWochen \x07\u2028", "", None, None]
    assert table.column("custom_id").to_pylist() == ["a", "b", "c", None]
    assert table.column("attested").to_pylist() == [True, True, True, False]
    memory = TableSink()
    rows(made, memory)
    assert memory.table().equals(table)
    stream = io.BytesIO()
    rows(made, ParquetSink(StreamSink(stream)))
    assert parquet.read_table(stream).equals(table)


def test_a_job_that_does_not_verify_leaves_no_file(tmp_path: Path) -> None:
    """Not even the beginning of one."""
    made = mixed()
    made.put(made.name(0), made.seal(0, results=made.results(0, 3), key=bytes(32)))
    with pytest.raises(IntegrityError):
        rows(made, ParquetSink(FileSink(tmp_path / "out.parquet")))
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_told_as_such(tmp_path: Path) -> None:
    """By the error of the sink below, and nothing is left."""

    class Full(FileSink):
        def write(self, data: bytes) -> None:
            raise OSError(28, "full") if data else AssertionError

    with pytest.raises((SinkError, OSError)):
        rows(mixed(), ParquetSink(Full(tmp_path / "out.parquet")))
    assert list(tmp_path.iterdir()) == []


def lines(path: Path) -> Iterator[bytes]:
    """Its lines again."""
    with path.open("rb") as file:
        yield from answer_lines(file)


def test_a_parquet_file_of_somebody_elses_is_none_of_ours(tmp_path: Path) -> None:
    """By its columns, or because it is none."""
    with pytest.raises(LineError):
        list(lines(wrote(tmp_path / "a.parquet", {"question": ["x"]})))
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(LineError):
        list(lines(tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [(0, "error_message", "no"), (0, "retryable", True), (1, "error_code", "x"), (2, "model", "m"), (2, "answer", "x")],
)
def test_a_row_that_says_more_than_was_signed_proves_nothing(tmp_path: Path, row: int, column: str, value: Any) -> None:
    """Each cell of a row stands in its line: verify once overlooked a message beside an answer, and its like."""
    rows(mixed(), ParquetSink(FileSink(tmp_path / "out.parquet")))
    table = parquet.read_table(tmp_path / "out.parquet")
    assert all(read_line(line).agrees for line in lines(tmp_path / "out.parquet"))
    cells = table.column(column).to_pylist()
    cells[row] = value
    index = table.column_names.index(column)
    forged = table.set_column(index, table.field(index), pa.array(cells, table.field(index).type))
    parquet.write_table(forged, tmp_path / "forged.parquet")
    line = list(lines(tmp_path / "forged.parquet"))[row]
    with suppress(LineError):
        assert not read_line(line).agrees


def test_long_texts_are_looked_at_a_few_at_a_time() -> None:
    """A thousand rows together took three times what their column unpacks to."""
    file = io.BytesIO()
    parquet.write_table(pa.table({"question": ["x" * (1 << 20)] * 32}), file, use_dictionary=False)
    long = parquet.ParquetFile(file).metadata
    assert arrow_questions.rows_together(long) * (1 << 20) <= arrow_questions.BATCH_BYTES
    file = io.BytesIO()
    parquet.write_table(pa.table({"question": ["How many weeks of parental leave can I take?"] * 32}), file)
    assert arrow_questions.rows_together(parquet.ParquetFile(file).metadata) == arrow_questions.BATCH
    parquet.write_table(pa.table({"question": pa.array([], pa.string())}), file := io.BytesIO())
    assert arrow_questions.rows_together(parquet.ParquetFile(file).metadata) == arrow_questions.BATCH
