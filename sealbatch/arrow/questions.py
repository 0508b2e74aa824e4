"""Questions out of Arrow: a Parquet file, or a table in memory, as JSON lines, a line for each row.

A row's number is its line's. What a cell may be: text for the question, text or a whole number for the custom_id.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final, NoReturn

from producer.errors import InputInvalid
from producer.forms import DEFAULT_ID_COLUMN, DEFAULT_QUESTION_COLUMN
from producer.problem import Problem
from producer.validate import ValidationReport
from sealbatch.extras import need
from wire.payload import ErrorCode

BATCH: Final = 1024
"""Rows that are looked at together, at most."""
BATCH_BYTES: Final = 16 << 20
"""Bytes that such rows have together, by the average of their row group."""
MAX_COLUMN: Final = 1 << 30
"""Bytes to which one column of one row group may unpack: what a small file may blow up to in memory."""
_NOT_UTF8: Final = b'{"question":"\xff"}\n'


def parquet_lines(file: BinaryIO, question: str | None, custom_id: str | None) -> Iterator[bytes]:
    """The rows of a Parquet file. Memory holds a page of each of two columns, and no more.

    Raises:
        NotInstalledError: pyarrow is missing.
        InputInvalid: the file is damaged or none, lacks a column, has one of a wrong type, or unpacks to too much.
    """
    need("parquet")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        whole = parquet.ParquetFile(file)
        schema, metadata = whole.schema_arrow, whole.metadata
        columns = _columns(schema, question, custom_id)
        _refuse_bomb(metadata, columns)
        # A text that many rows share is kept once, however many rows claim to have it.
        texts = [name for name in columns if _is_text(schema.field(name).type)]
        options = {"read_dictionary": texts, "pre_buffer": False, "buffer_size": 1 << 20}
        opened = parquet.ParquetFile(file, metadata=metadata, **options)
    except (pa.ArrowException, OSError, ValueError):
        _refuse(1, "not a Parquet file, or a damaged one")
    yield from _lines(opened.iter_batches(rows_together(metadata), columns=columns, use_threads=False), columns)


def table_lines(table: Any, question: str | None, custom_id: str | None) -> Iterator[bytes]:
    """The rows of a table that has Arrow's stream interface.

    Raises:
        NotInstalledError: pyarrow is missing.
        InputInvalid: the table lacks a column, or has one of a wrong type.
    """
    need("parquet")
    import pyarrow as pa

    try:
        reader = pa.RecordBatchReader.from_stream(table)
    except (pa.ArrowException, ValueError, TypeError):
        _refuse(1, "a column has values that Arrow has no type for; select those of questions and ids")
    columns = _columns(reader.schema, question, custom_id)
    yield from _lines((batch.select(columns) for batch in reader), columns)


def _lines(batches: Iterable[Any], columns: list[str]) -> Iterator[bytes]:
    import pyarrow as pa

    row = 1
    found = iter(batches)
    while True:
        try:
            batch = next(found, None)
            if batch is None:
                return
            lines = [_line(*cells) for cells in zip(*(batch.column(name) for name in columns), strict=True)]
        except (pa.ArrowException, OSError, ValueError, MemoryError):
            _refuse(row, f"the rows from {row} on cannot be read: the file is damaged, or its values are too large")
        yield from lines
        row += len(lines)


def _line(question: Any, custom_id: Any = None) -> bytes:
    """The line of a row; a cell that is null is null there, and so is refused with the row's number."""
    try:
        fields = {} if custom_id is None else {"custom_id": _text(custom_id)}
        return json.dumps({**fields, "question": _text(question)}).encode() + b"\n"
    except UnicodeDecodeError:
        return _NOT_UTF8  # which the producer refuses as what it is


def _text(cell: Any) -> str | None:
    value = cell.as_py()
    if isinstance(value, bytes):
        return value.decode()
    return str(value) if isinstance(value, int) else value


def _columns(schema: Any, question: str | None, custom_id: str | None) -> list[str]:
    """The columns to read: the question's, and the custom_id's if there is one."""
    wanted = question or DEFAULT_QUESTION_COLUMN
    _check(schema, wanted, "--question-column", whole_numbers=False)
    named = custom_id or DEFAULT_ID_COLUMN
    if custom_id is None and named not in schema.names:
        return [wanted]
    _check(schema, named, "--id-column", whole_numbers=True)
    return [wanted, named]


def _check(schema: Any, name: str, option: str, *, whole_numbers: bool) -> None:
    """The column is there, once, and holds text, or numbers if they will do."""
    from pyarrow import types

    match len(schema.get_all_field_indices(name)):
        case 0:
            message = f'the table has no column "{name}"; {option} names another'
            _refuse(1, message, name, ErrorCode.MISSING_COLUMN)
        case 1:
            kind = schema.field(name).type
        case _:
            _refuse(1, f'the table has the column "{name}" more than once', name)
    if not (_is_text(kind) or (whole_numbers and types.is_integer(kind))):
        _refuse(1, f"the column holds {_spell(kind)} and no text", name)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return types.is_null(kind) or any(test(kind) for test in texts)


def _spell(kind: Any) -> str:
    """A type's name without those of its fields, which are the file's words."""
    from pyarrow import types

    return "nested values" if types.is_nested(kind) else f"values of type {str(kind).partition('[')[0][:32]}"


def rows_together(metadata: Any) -> int:
    """How many rows are looked at together."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows > 0), default=1)
    return max(1, min(BATCH, int(BATCH_BYTES / max(largest, 1))))


def _refuse_bomb(metadata: Any, columns: list[str]) -> None:
    for group, name in too_large(metadata, columns):
        message = f"row group {group + 1} unpacks to more than {MAX_COLUMN >> 20} MiB; write smaller row groups"
        _refuse(1, message, name)


def too_large(metadata: Any, columns: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Row groups, from 0, and names of those of their columns that unpack to more than memory should be asked for."""
    wanted = frozenset(columns)
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        if 0 <= row_group.total_byte_size <= MAX_COLUMN:
            # Not looked at column by column, because pyarrow ends the process at a column whose statistics are damaged.
            continue
        for index in range(metadata.num_columns):
            column = row_group.column(index)
            if column.path_in_schema in wanted and not 0 <= column.total_uncompressed_size <= MAX_COLUMN:
                yield group, column.path_in_schema


def _refuse(row: int, message: str, param: str | None = None, code: ErrorCode = ErrorCode.INVALID_RECORD) -> NoReturn:
    problem = Problem(row, code, message, param, fatal=True)
    raise InputInvalid(ValidationReport(0, (problem,), 1, 0, 0, 0, 0)) from None
