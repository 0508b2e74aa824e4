"""Writes the pages that are made from the code, and the index of decisions: `make docs-reference`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from adr_page import adr_page
from cli_page import cli_page
from codes_page import error_page, exit_page
from configuration_page import configuration_page

FOLDER: Final = Path(__file__).resolve().parents[1] / "reference"
MARK: Final = "<!-- Made by `make docs-reference` from the code; change it there. -->\n\n"
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli_page,
    "configuration.md": configuration_page,
    "exit-codes.md": exit_page,
    "error-codes.md": error_page,
    "../adr/README.md": adr_page,
}


def made(name: str) -> str:
    """What the page of that name must hold."""
    return MARK + PAGES[name]().rstrip() + "\n"


def main() -> None:
    """Write what has changed, and say so."""
    for name in PAGES:
        path, text = FOLDER / name, made(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.resolve().relative_to(FOLDER.parents[1])} is new\n")


if __name__ == "__main__":
    main()
