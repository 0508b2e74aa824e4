"""Writes the pages and pictures that are made from code, and the index of decisions: `make docs-reference`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from adr_page import adr_page
from cli_page import cli_page
from codes_page import error_page, exit_page
from configuration_page import configuration_page
from pictures import PICTURES
from python_page import python_page

DOCS: Final = Path(__file__).resolve().parents[1]
MARK: Final = "<!-- Made by `make docs-reference` from the code; change it there. -->\n\n"
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/cli.md": cli_page,
    "reference/configuration.md": configuration_page,
    "reference/exit-codes.md": exit_page,
    "reference/error-codes.md": error_page,
    "reference/python.md": python_page,
    "adr/README.md": adr_page,
}
MADE: Final = (*PAGES, *(f"pictures/{name}" for name in PICTURES))


def made(name: str) -> str:
    """What the page or picture of that name must hold."""
    if name not in PAGES:
        return PICTURES[name.removeprefix("pictures/")]()
    return MARK + PAGES[name]().rstrip() + "\n"


def main() -> None:
    """Write what has changed, and say so."""
    for name in MADE:
        path, text = DOCS / name, made(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(DOCS.parent)} is written anew\n")


if __name__ == "__main__":
    main()
