"""Where an output goes, and in which form."""

import io
import os
from pathlib import PurePath
from typing import BinaryIO, Final, Literal, TypeAlias, get_args

Format: TypeAlias = Literal["auto", "jsonl", "csv", "parquet"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
Output: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A file by its path, or a stream."""


def output_format(output: Output, named: str) -> str:
    """jsonl, csv or parquet: as named, or by the file's ending.

    Raises:
        OptionError: it is none of them, or the output takes text.
    """
    from sealbatch.errors import (  # here, so that a help that names the formats loads no cryptography
        OptionError,
        OptionTypeError,
    )

    if isinstance(output, io.TextIOBase):
        raise OptionError("output", 'is a path, or takes bytes: a file that is opened with mode "wb"')
    if not (isinstance(output, str | os.PathLike) or hasattr(output, "write")):
        raise OptionTypeError("output", f"is a path or a binary stream, and no {type(output).__name__}")
    if named not in FORMATS:
        raise OptionError("format", f"is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if named != "auto":
        return named
    ending = PurePath(output).suffix.lower() if isinstance(output, str | os.PathLike) else ""
    return {".csv": "csv", ".parquet": "parquet"}.get(ending, "jsonl")
