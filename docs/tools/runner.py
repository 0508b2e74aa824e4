"""Types what the documents say, page by page, on this machine, and compares what they show: `make docs-test`.

A page is one session of bash in a folder that looks like a clone of the repository; home and stack are this run's.
A block of the language `sh` is typed, unless a mark says what it needs that is not here; one that ends in an error says
so by `exit=N`. A `text output` block behind it is what it prints: `…` is any text, and a line of it any lines.
A block with `file=NAME` is written there.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pages import ROOT, Block, Page, all_pages
from session import Session, Typed
from typed import simple_commands

EXCEPTIONS: Final = {
    "aws": "needs an account of AWS",
    "nitro": "needs an instance with Nitro Enclaves",
    "long": "takes many minutes, or downloads much",
    "service": "runs until it is told to stop",
    "outside": "changes something outside the session's folder",
}
ELSEWHERE: Final = frozenset({"aws", "docker", "git", "make", "nitro-cli", "npm", "pip", "systemctl"})
"""Programs whose commands need an exception: they reach beyond the session's folder."""
ANY: Final = "…"


def unknown_marks(block: Block) -> list[str]:
    """Marks of a block that mean nothing."""
    return [
        mark for mark in block.marks if mark not in EXCEPTIONS and not re.fullmatch(r"exit=\d+|file=[\w./-]+", mark)
    ]


def unsafe(block: Block) -> list[str]:
    """Commands of a block to be typed that must not be typed here."""
    if EXCEPTIONS.keys() & set(block.marks):
        return []
    as_root = re.findall(r"\bsudo\b", block.text)
    return as_root + [" ".join(words) for words in simple_commands(block.text) if _reaches_out(words)]


def _reaches_out(words: list[str]) -> bool:
    module = words[2:3] if words[1:2] == ["-m"] else []
    return bool(ELSEWHERE & {words[0].rpartition("/")[2], *module})


def differs(shown: str, printed: str) -> bool:
    """Whether `printed` is other than what a document shows, placeholders apart."""
    lines = [line.strip() for line in shown.splitlines()]
    pattern = "".join(
        r"(?:.*\n)*" if line == ANY else re.escape(line).replace(re.escape(ANY), ".*") + r"\n" for line in lines
    )
    return re.fullmatch(pattern, "".join(f"{line.strip()}\n" for line in printed.strip().splitlines())) is None


def main() -> int:
    """Type the pages that are named, or all, and tell what was not as it is written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="pages, if not all that have something to type")
    wanted = {path.resolve() for path in parser.parse_args().pages}
    chosen = [page for page in all_pages() if (page.path in wanted if wanted else _typeable(page))]
    if reaching := [f"{block.where}: {line}" for page in chosen for block in _shell(page) for line in unsafe(block)]:
        raise SystemExit("not typed, since it reaches out and no mark says so:\n" + "\n".join(reaching))
    faults: list[str] = []
    count = 0
    with _home() as home:
        for page in chosen:
            found, typed = _type(page, home)
            faults += found
            count += typed
    for text in faults:
        sys.stdout.write(f"\n{text}\n")
    sys.stdout.write(f"{len(chosen)} pages, {count} blocks typed, {len(faults)} not as they are written\n")
    return 1 if faults or not count else 0


def _typeable(page: Page) -> bool:
    """Its shell blocks are labelled and one of them is to be typed here."""
    return any(not EXCEPTIONS.keys() & set(block.marks) for block in _shell(page))


def _shell(page: Page) -> list[Block]:
    return [block for block in page.blocks if block.language == "sh"]


def _type(page: Page, home: Path) -> tuple[list[str], int]:
    name = page.path.relative_to(ROOT)
    faults: list[str] = []
    begun, count = time.monotonic(), 0
    last: Typed | None = None
    with tempfile.TemporaryDirectory(prefix="docs-") as folder, Session(Path(folder), home) as session:
        session.enter("sealbatch dev up")  # the page before may have ended it
        for block in page.blocks:
            if (target := _value(block.marks, "file")) is not None:
                (session.folder / target).write_text(block.text + "\n", encoding="utf-8")
            elif block.language == "sh" and not EXCEPTIONS.keys() & set(block.marks):
                last, count = session.enter(block.text), count + 1
                faults += _judge(block, last)
            elif block.language == "text" and "output" in block.marks and last is not None:
                if differs(block.text, last.output):
                    faults.append(f"{block.where}: shown\n{block.text}\nand printed\n{last.output}")
            elif block.language == "sh":
                last = None
    sys.stdout.write(f"{name}: {count} blocks, {time.monotonic() - begun:.1f} s, {len(faults)} faults\n")
    sys.stdout.flush()
    return faults, count


def _judge(block: Block, typed: Typed) -> Iterator[str]:
    expected = int(_value(block.marks, "exit") or 0)
    if typed.codes != ([expected] if expected else []):
        yield f"{block.where}: exit codes {typed.codes}, not {expected}\n{block.text}\nprinted\n{typed.output}"


def _value(marks: Sequence[str], name: str) -> str | None:
    return next((mark.partition("=")[2] for mark in marks if mark.startswith(f"{name}=")), None)


@contextmanager
def _home() -> Iterator[Path]:
    """A home with a development stack that runs."""
    with tempfile.TemporaryDirectory(prefix="docs-home-") as folder:
        home = Path(folder)
        with Session(home, home) as stack:
            started = stack.enter("sealbatch dev up")
            if started.codes:
                raise SystemExit(f"the development stack does not start\n{started.output}")
            try:
                yield home
            finally:
                stack.enter("sealbatch dev down")


if __name__ == "__main__":
    sys.exit(main())
