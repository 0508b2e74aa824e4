"""Where answers go, as it is typed: a file, or `-` for standard output."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sealbatch.exits import Exit, Stop

if TYPE_CHECKING:
    from sealbatch.formats import Output


def check_output(path: str, *, force: bool, begun: bool = False) -> None:
    """Refuse, before anything is sent, an output that could not be written afterwards.

    One that was `begun` by an earlier run may exist.

    Raises:
        Stop: it exists, or its folder does not, or may not be written.
        NotInstalledError: it is Parquet, and pyarrow is missing.
    """
    from sealbatch.extras import need
    from sealbatch.formats import output_format

    if output_format(path, "auto") == "parquet":
        need("parquet")
    if path == "-":
        return
    file = Path(path)
    if file.is_dir():
        raise Stop(Exit.USAGE, f"{path} is a directory; name a file")
    if file.exists() and not force and not begun:
        raise Stop(Exit.USAGE, f"{path} exists", "add --force, or name another file")
    folder = file.resolve().parent
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"{path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise Stop(Exit.NO_PERMISSION, f"{path}: the folder {folder} may not be written")


def target(path: str) -> "Output":
    """The file, or the stream."""
    return sys.stdout.buffer if path == "-" else path


def spoken(path: str) -> str:
    """The same in words."""
    return "standard output" if path == "-" else path


def verifying(out: str | Path, receipts: Path | None) -> str:
    """The command that verifies an output by these receipts."""
    from sealbatch.verification import default_receipts

    beside = receipts is None or receipts.absolute() == default_receipts(Path(out)).absolute()
    return f"sealbatch verify {out}" if beside else f"sealbatch verify {out} --receipts {receipts}"
