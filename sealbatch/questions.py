"""Questions as a caller has them - a file, a stream, a table, any iterable - as the bytes that the producer reads."""

import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Protocol, TypeAlias, cast

from producer.forms import InputForm
from sealbatch.arguments import check_types
from sealbatch.errors import InputFileError, OptionError, OptionTypeError
from sealbatch.formats import FORMATS
from sealbatch.pieces import as_file
from wire.payload import Params, Record

_PLAIN: Final = InputForm("jsonl")


class ArrowTable(Protocol):
    """What has the Arrow stream interface: tables of pandas, pyarrow, polars, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


class Questions:
    """Questions, and how to read them where that is not plain.

    Args:
        source: a path, an open binary file, a table with Arrow's stream interface (such as a pandas DataFrame), or an
            iterable of texts, mappings, dataclass instances and named tuples. A mapping has the fields of a JSON line:
            `question`, and if wanted `custom_id`, `context` and parameters of generation; or OpenAI's. A text alone is
            a question, and no path.
        format: `jsonl`, `csv` or `parquet` for a path or file; `auto` goes by the name's ending or the first line.
        id_column: column of the custom_id, if not `custom_id`; for CSV, Parquet and tables.
        question_column: column of the question, if not `question`.
        delimiter: between the cells of CSV, if not a comma.

    Raises:
        OptionError: an argument cannot be, or the source is a single text or mapping.

    >>> from sealbatch import Questions
    >>> mail = Questions(["How many sick days do I have?", {"custom_id": "b", "question": "When is open enrollment?"}])
    >>> [(line, custom_id) for line, custom_id in mail.pairs()]
    [(1, 'line-1'), (2, 'b')]
    """

    def __init__(
        self,
        source: "Source",
        *,
        format: str = "auto",  # noqa: A002 - as the command calls it
        id_column: str | None = None,
        question_column: str | None = None,
        delimiter: str | None = None,
    ) -> None:
        if why := _unfit(source):
            raise OptionTypeError("questions", why)
        check_types(id_column=id_column, question_column=question_column, delimiter=delimiter)
        if format not in FORMATS:
            raise OptionError("format", f"is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
        path = Path(source) if isinstance(source, os.PathLike) else None
        self._source = source
        self._path = path
        self._id_column = id_column
        self._question_column = question_column
        name = "" if path is None else path.name
        self._is_parquet = format == "parquet" or (format == "auto" and name.lower().endswith(".parquet"))
        try:
            kind = cast("Literal['auto', 'jsonl', 'csv']", "jsonl" if self._is_parquet else format)
            self._form = InputForm(kind, name, id_column, question_column, delimiter)
        except ValueError as error:
            raise OptionError.of(error) from None
        self._read = False
        self._start: int | None = None

    @classmethod
    def of(cls, source: "Source") -> "Questions":
        """`source` itself if it is one already."""
        return source if isinstance(source, Questions) else cls(source)

    @property
    def name(self) -> str:
        """The path, or what stands for it in messages."""
        return "the questions" if self._path is None else str(self._path)

    @contextmanager
    def open(self) -> Iterator[tuple[BinaryIO, InputForm]]:
        """The bytes, from their beginning, and their form.

        Raises:
            InputFileError: the file cannot be opened. OptionError: what can be read once only was read before.
            InputInvalid: while reading: a table lacks a column, or cannot be read. OptionTypeError: an item is no
                question.
        """
        if self._path is not None:
            with opened(self._path) as file:
                yield self._of_file(file)
        elif hasattr(self._source, "__arrow_c_stream__"):
            from sealbatch.arrow.questions import table_lines

            self._once(isinstance(self._source, Iterator))
            yield as_file(table_lines(self._source, self._question_column, self._id_column)), _PLAIN
        elif hasattr(self._source, "readline"):
            file = cast("BinaryIO", self._source)
            self._once(not file.seekable())
            if file.seekable():
                # From where it was given to us: what stands before was read by somebody else, such as a shell.
                self._start = file.tell() if self._start is None else self._start
                file.seek(self._start)
            yield self._of_file(file)
        else:
            items = cast("Iterable[object]", self._source)
            self._once(isinstance(items, Iterator))
            # No `map`: a StopIteration out of an item would end it as if that were all.
            yield as_file(_json_line(item, number) for number, item in enumerate(items, 1)), _PLAIN

    def records(self) -> Iterator[Record]:
        """A record for each line that is not blank; for an invalid one, one without messages.

        Raises:
            As `open`. OSError: reading failed.
        """
        from producer.questions import read_records

        with self.open() as (stream, form):
            for item in read_records(stream, form, Params(), keep_invalid=True):
                if isinstance(item, Record):
                    yield item

    def pairs(self) -> Iterator[tuple[int, str]]:
        """Line and custom_id of each record.

        Raises:
            As `records`.
        """
        return ((record.line, record.custom_id) for record in self.records())

    def again(self) -> "Questions":
        """The same, such that they can be read any number of times; what an iterator gives is kept in memory.

        Raises:
            OptionError: a stream cannot be read twice.
        """
        if isinstance(self._source, Iterator) and not hasattr(self._source, "readline"):
            self._once(once=True)
            return Questions(list(self._source))
        if hasattr(self._source, "readline") and not cast("BinaryIO", self._source).seekable():
            raise OptionError("questions", "the input is read more than once; name a file")
        return self

    def _once(self, once: bool) -> None:
        if once and self._read:
            raise OptionError(
                "questions", "the input was read before, and cannot be read twice; name a file, or make a list"
            )
        self._read = True

    def _of_file(self, file: BinaryIO) -> tuple[BinaryIO, InputForm]:
        if not self._is_parquet:
            return file, self._form
        from sealbatch.arrow.questions import parquet_lines

        if not file.seekable():
            raise OptionError("format", "a Parquet file is read from its end; name a file, and no pipe")
        return as_file(parquet_lines(file, self._question_column, self._id_column)), _PLAIN


def _unfit(source: object) -> str:
    """Why this cannot be questions, in words; none if it can be."""
    if isinstance(source, str | bytes | bytearray | Mapping):
        return "come as a list of them, or as a pathlib.Path; this is one text or mapping"
    if isinstance(source, io.TextIOBase):
        return 'come as bytes; open the file with mode "rb", or name it as a pathlib.Path'
    if not (isinstance(source, os.PathLike | Iterable | Questions) or hasattr(source, "__arrow_c_stream__")):
        return f"come as a list, a path, a binary file or a table; this is a {_kind(source)}"
    return ""


Source: TypeAlias = os.PathLike[str] | BinaryIO | ArrowTable | Iterable[object] | Questions
"""What can be submitted."""


def _json_line(item: object, number: int) -> bytes:
    """The JSON line of one question. Whether it is a valid one, the producer says, by its number."""
    if isinstance(item, str):
        item = {"question": item}
    elif dataclasses.is_dataclass(item) and not isinstance(item, type):
        item = _said(dataclasses.asdict(item))
    elif isinstance(item, tuple) and hasattr(item, "_asdict"):
        item = _said(item._asdict())
    if not isinstance(item, Mapping):
        raise OptionTypeError("questions", f"question {number} is a {_kind(item)}; each must be a text or a mapping")
    try:
        return json.dumps(dict(item)).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionTypeError("questions", f"question {number} holds what JSON has not ({_kind(error)})") from None


def _kind(value: object) -> str:
    return type(value).__name__


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that say nothing."""
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that somebody named.

    Raises:
        InputFileError: it cannot be opened.
    """
    try:
        file = path.open("rb")
    except IsADirectoryError:
        raise InputFileError(f"{path} is a directory; name a file") from None
    except FileNotFoundError:
        raise InputFileError(f"{path}: there is no such file") from None
    except PermissionError:
        raise InputFileError(f"{path} cannot be read: permission denied", denied=True) from None
    with file:
        yield file
