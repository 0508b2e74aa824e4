"""The documents hold: links lead somewhere, what is to be typed can be typed, what is made from the code is fresh."""

import subprocess
from pathlib import Path

import aws_typed
import pages
import pytest
import reference
import runner
import session
import typed

PAGES = {str(page.path.relative_to(pages.ROOT)): page for page in pages.all_pages()}
SHELL = [block for page in PAGES.values() for block in page.blocks if block.language == "sh"]
PLAIN = [block for page in PAGES.values() for block in page.blocks if block.language in {"", "sh"}]


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file that is there, and to a heading that is in it."""
    page = PAGES[name]
    wrong = []
    for line, target in page.links():
        place, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.path.parent / place).resolve() if place else page.path
        if not path.exists():
            wrong.append(f"{name}:{line}: there is no {place}")
        elif anchor and path.suffix == ".md" and anchor not in pages.Page(path).anchors:
            wrong.append(f"{name}:{line}: {place or name} has no heading #{anchor}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("block", PLAIN, ids=lambda block: block.where)
def test_every_command_in_a_block_parses(block: pages.Block) -> None:
    """Ours by our own parsers, AWS's by AWS's descriptions, and make's by the Makefile."""
    commands = typed.simple_commands(block.text) if block.language == "sh" else _ours(block.text)
    wrong = [f"{block.where}: {' '.join(words)}\n  {text}" for words in commands if (text := typed.fault(words))]
    assert not wrong, "\n".join(wrong)


def _ours(text: str) -> list[list[str]]:
    """The lines of a block of no language that begin as a command of ours does."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith(("sealbatch ", "make "))]
    return [words for line in lines for words in typed.simple_commands(line)]


@pytest.mark.parametrize("name", PAGES)
def test_every_command_in_a_sentence_exists(name: str) -> None:
    """Verb, options and targets; a sentence may leave the rest out."""
    found = [(line, text, typed.span_fault(text)) for line, text in PAGES[name].spans()]
    assert not [f"{name}:{line}: {text}: {why}" for line, text, why in found if why]


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.where)
def test_bash_reads_every_block(block: pages.Block) -> None:
    """Bash takes it, its marks are known to `make docs-test`, and what that would type does not reach out."""
    done = subprocess.run(["bash", "-n"], input=block.text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, f"{block.where}: {done.stderr.decode()}"
    assert not runner.unknown_marks(block), block.where
    assert not runner.unsafe(block), f"{block.where}: mark it, such as ```sh aws or ```sh long"


@pytest.mark.parametrize("name", reference.MADE)
def test_the_reference_is_made_from_this_code(name: str) -> None:
    """A page or picture that is not: type `make docs-reference`, and commit what it writes."""
    assert (reference.DOCS / name).read_text(encoding="utf-8") == reference.made(name), "type `make docs-reference`"


def test_every_page_of_the_documents_is_reached() -> None:
    """By links from docs/README.md on, decisions apart."""
    reached, ahead = set[Path](), [pages.ROOT / "docs" / "README.md"]
    while ahead:
        path = ahead.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            targets = [target.partition("#")[0] for _, target in pages.Page(path).links() if "://" not in target]
            ahead += [(path.parent / target).resolve() for target in targets]
    there = {page.path for name, page in PAGES.items() if name.startswith("docs/") and not name.startswith("docs/adr/")}
    assert not sorted(str(path.relative_to(pages.ROOT)) for path in there - reached)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("T=$(sealbatch submit - < a.jsonl)  # keep it", ["sealbatch", "submit", "-"]),
        ("cat a 2>/dev/null | sealbatch run - -o - >b 2>&1", ["sealbatch", "run", "-", "-o", "-"]),
        ("A=1 sealbatch list && echo done", ["sealbatch", "list"]),
        ("while ! sealbatch wait x; do sleep 1; done", ["sealbatch", "wait", "x"]),
        ("cat > a <<END; sealbatch list\nsealbatch nonsense\nEND\nsealbatch list", ["sealbatch", "list"]),
    ],
)
def test_commands_are_found_in_a_script(line: str, words: list[str]) -> None:
    """Within substitutions, behind assignments, pipes and keywords, and not in the text of a here-document."""
    assert words in list(typed.simple_commands(line))
    assert all(found[:2] != ["sealbatch", "nonsense"] for found in typed.simple_commands(line))


@pytest.mark.parametrize(
    "words",
    [
        "sealbatch nonsense",
        "sealbatch run questions.jsonl",
        "sealbatch run a -o b --nonsense",
        "sealbatch dlq nonsense",
        "sealbatch submit a --max-tokens many",
        "make nonsense",
        "aws kms nonsense",
        "aws kms describe-key --nonsense x",
        "aws nonsense describe-key",
        "aws cloudformation wait nonsense --stack-name x",
    ],
)
def test_what_cannot_be_typed_is_found(words: str) -> None:
    """No verb, a missing or unknown option, a value of the wrong kind, no target, no operation."""
    assert typed.fault(words.split())


@pytest.mark.parametrize("text", ["sealbatch nonsense", "sealbatch dlq ls|nonsense", "sealbatch run --nonsense"])
def test_what_cannot_be_typed_is_found_in_a_sentence(text: str) -> None:
    """A verb or an option that does not exist."""
    assert typed.span_fault(text)


def test_the_services_of_aws_are_asked_offline() -> None:
    """By the descriptions that botocore brings."""
    assert aws_typed.aws_fault(["kms", "describe-key", "--key-id", "x", "--query", "y"]) is None
    assert aws_typed.aws_fault(["cloudformation", "wait", "stack-delete-complete", "--stack-name", "x"]) is None


def test_links_and_anchors_are_read_as_github_reads_them(tmp_path: Path) -> None:
    """Code is no link; a heading loses its punctuation; the second of two alike gets a number."""
    path = tmp_path / "a.md"
    path.write_text("# A `b`: c, d_e\n# Twice\n# Twice\n[x](y.md#z) `[no](link)`\n```sh\n[no](link)\n```\n")
    page = pages.Page(path)
    assert page.anchors == {"a-b-c-d_e", "twice", "twice-1"}
    assert list(page.links()) == [(4, "y.md#z")]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a…c", "a b c", True),
        ("a…c", "a\nc", False),
        ("…\nlast", "first\nmiddle\nlast", True),
        ("…\nlast", "last", True),
        ("first\n…", "first", True),
        ("first\n…\nlast", "first\nlast", True),
        ("first\n…", "none\nother", False),
        ("1 + 1 (twice)", "1 + 1 (twice)", True),
        ("a", "a\nb", False),
    ],
)
def test_shown_output_is_compared(shown: str, printed: str, same: bool) -> None:
    """`…` is any text within a line, and on a line of its own any lines or none; all else stands for itself."""
    assert runner.differs(shown, printed) is not same


@pytest.mark.parametrize(
    ("text", "count"),
    [("aws s3 ls", 1), ("make test", 1), ("x/python -m pip list", 1), ("x=$(sudo id)", 1), ("sealbatch list", 0)],
)
def test_what_reaches_out_needs_a_mark(text: str, count: int) -> None:
    """Else `make docs-test` does not begin."""
    block = pages.Block(pages.ROOT / "README.md", 1, "sh", (), text)
    assert len(runner.unsafe(block)) == count
    marked = pages.Block(pages.ROOT / "README.md", 1, "sh", ("aws",), text)
    assert not runner.unsafe(marked)


def test_make_help_names_every_target_once_in_80_columns() -> None:
    """In groups, with what each is for; nothing that can be made is left to be found in the Makefile."""
    said = subprocess.run(["make", "help"], cwd=pages.ROOT, capture_output=True, check=True, text=True).stdout
    named = [line.split()[1] for line in said.splitlines() if line.startswith("  make ")]
    assert sorted(named) == sorted(typed._targets())
    assert max(map(len, said.splitlines())) <= 80


def test_what_was_made_in_the_clone_before_is_not_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make demo-nightly`, and then `make docs-test`: the page's own night found another one's folder behind a link."""
    clone, folder = tmp_path / "clone", tmp_path / "folder"
    for path in (clone, clone / "docs", clone / ".github", clone / "demo-night", clone / "build", folder):
        path.mkdir()
    (clone / "answers.jsonl").touch()
    monkeypatch.setattr(session, "ROOT", clone)
    with session.Session(folder, tmp_path) as typed_there:
        assert typed_there.enter("ls -A | grep -v .block").output.split() == [".github", "docs"]
