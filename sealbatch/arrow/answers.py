"""Answers as Arrow: a Parquet file or a table, with a row for each line of JSON output, and the way back.

No column is left out that a line's proof needs: the lines can be made again from the rows, and verified as they are.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO, Final, Self

from results_consumer.output_reader import LineError
from results_consumer.sink import LineSink, Sink
from sealbatch.arrow.questions import rows_together, too_large
from sealbatch.extras import need
from sealbatch.result import Result

ROWS: Final = 4096
"""Most rows of a row group."""
BYTES: Final = 16 << 20
"""Bytes of JSON lines after which a row group ends."""
_NUMBERS: Final = ("line", "prompt_tokens", "completion_tokens")
_ANSWER: Final = ("finish_reason", "prompt_tokens", "completion_tokens", "model")
COLUMNS: Final = (
    "custom_id",
    "line",
    "outcome",
    "answer",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "error_code",
    "error_message",
    "retryable",
    "attested",
    "model",
    "receipt",
    "id",
)


def answer_schema() -> Any:
    """The columns and their types.

    Raises:
        NotInstalledError: pyarrow is missing.
    """
    need("parquet")
    import pyarrow as pa

    kinds = {**dict.fromkeys(_NUMBERS, pa.int64()), "retryable": pa.bool_(), "attested": pa.bool_()}
    return pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in COLUMNS])


class TableSink(LineSink):
    """Keeps all answers in memory, as a table."""

    def __init__(self) -> None:
        self._schema = answer_schema()
        self._rows: list[Result] = []
        self._size = 0
        self._batches: list[Any] = []

    def take(self, line: bytes) -> None:
        """Make a row of a line."""
        self._rows.append(Result.of_line(line))
        self._size += len(line)
        if len(self._rows) >= ROWS or self._size >= BYTES:
            self.flush()

    def flush(self) -> None:
        """Make a batch of the rows that have gathered."""
        if self._rows:
            self.keep(_batch(self._rows, self._schema))
            self._rows, self._size = [], 0

    def keep(self, batch: Any) -> None:
        """Take a batch."""
        self._batches.append(batch)

    def commit(self) -> None:
        """Make the last batch."""
        self.flush()

    def table(self) -> Any:
        """All rows, as a `pyarrow.Table`."""
        import pyarrow as pa

        return pa.Table.from_batches(self._batches, self._schema)


class ParquetSink(TableSink):
    """Writes all answers as a Parquet file into another sink, a row group at a time."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.revocable = sink.revocable
        self._sink = sink
        self._pipe = _Pipe(sink)
        self._writer: Any = None

    def __enter__(self) -> Self:
        from pyarrow import parquet

        with ExitStack() as stack:
            stack.enter_context(self._sink)
            self._writer = parquet.ParquetWriter(self._pipe, self._schema, compression="zstd")
            stack.pop_all()  # from here on, `__exit__` is called
        return self

    def __exit__(self, *error: object) -> None:
        self._pipe.mute()
        try:
            self._writer.close()
        finally:
            self._sink.__exit__(*error)

    def keep(self, batch: Any) -> None:
        """Write a row group.

        Raises:
            SinkError: it cannot be written.
        """
        self._writer.write_batch(batch)

    def commit(self) -> None:
        """Write the rest and the footer, and make the file final.

        Raises:
            SinkError: it cannot be.
        """
        self.flush()
        self._writer.close()
        self._sink.commit()


class _Pipe:
    """What Arrow takes for a file."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._muted = False
        self._written = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Pass the next bytes on."""
        size = memoryview(data).nbytes
        if not self._muted:
            self._sink.write(bytes(data))
        self._written += size
        return size

    def tell(self) -> int:
        """Bytes so far."""
        return self._written

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The sink is closed by whoever opened it."""
        self.closed = True

    def mute(self) -> None:
        """Pass nothing on any more: a footer of a file that is taken back is nobody's."""
        self._muted = True


def answer_lines(file: BinaryIO) -> Iterator[bytes]:
    """The JSON lines that the rows of a Parquet file were made of, as far as they can be proved.

    Raises:
        NotInstalledError: pyarrow is missing. LineError: it is not a file that `fetch` wrote.
    """
    schema = answer_schema()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file, pre_buffer=False)
        if opened.schema_arrow.names != list(COLUMNS) or any(too_large(opened.metadata, COLUMNS)):
            raise LineError
        for batch in opened.iter_batches(rows_together(opened.metadata), use_threads=False):
            for row in batch.cast(schema).to_pylist():
                yield json.dumps(_line(row)).encode() + b"\n"
    except (pa.ArrowException, OSError, ValueError):
        raise LineError from None


def _batch(rows: list[Result], schema: Any) -> Any:
    import pyarrow as pa

    columns = [pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in COLUMNS]
    return pa.record_batch(columns, schema=schema)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    error = {"code": row["error_code"], "message": row["error_message"], "retryable": row["retryable"]}
    message = {"role": "assistant", "content": row["answer"]}
    usage = {name: row[name] for name in ("prompt_tokens", "completion_tokens")}
    choices = [{"message": message, "finish_reason": row["finish_reason"]}]
    response = {"body": {"model": row["model"], "choices": choices, "usage": usage}}
    return {
        **{name: row[name] for name in ("id", "custom_id", "line", "outcome", "attested", "receipt")},
        # Whatever a row says comes into its line, so that nothing of it stands unproved beside what was signed.
        "response": response if row["answer"] is not None or any(row[name] for name in _ANSWER) else None,
        "error": error if any(error.values()) else None,
    }
