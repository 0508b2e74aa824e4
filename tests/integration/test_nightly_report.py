"""The morning report: what it says, that it holds itself together, and how a browser shows it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from night_world import ANSWER, QUESTION, World

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
EVIL = '<img src=x onerror="alert(1)">.jsonl'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a night with something of everything."""
    world = World(tmp_path_factory.mktemp("report"))
    world.outcomes = {"c-1": "errored"}
    world.tick()
    world.drop("good.jsonl", [f"g-{number}" for number in range(200)])
    world.drop("partly.jsonl", ["c-0", "c-1"])
    world.drop(EVIL, ["e-1"])
    world.drop("bad.jsonl", text='{"custom_id": "x"}\nnot json\n')
    world.pass_time(24)
    [path] = world.answers.rglob("report.html")
    return path


class Outline(HTMLParser):
    """Tags, their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "line"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes what was opened last."""
        if tag != "line":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.words.append(data)


def test_the_page_is_whole_and_reaches_for_nothing(page: Path) -> None:
    """Every tag is closed; no script, no link, no image, no address; a policy forbids them all."""
    outline = Outline(page.read_text(encoding="utf-8"))
    assert outline.open == []
    assert not {"script", "link", "img", "iframe", "a", "object"} & {tag for tag, _ in outline.tags}
    for _, attributes in outline.tags:
        assert not {"src", "href", "srcset", "action", "onload", "onerror"} & set(attributes)
    assert not re.search(r"https?:|url\(|@import", page.read_text(encoding="utf-8"))
    assert any("default-src 'none'" in str(attributes.get("content")) for _, attributes in outline.tags)


def test_the_page_says_what_a_person_needs_and_no_content(page: Path) -> None:
    """Counts, faults by line, the chart, what needs a person; a file's name is text and never markup."""
    outline = Outline(page.read_text(encoding="utf-8"))
    text = " ".join(" ".join(outline.words).split())
    for words in (
        "this needs a person",
        "bad.jsonl: refused: 2 invalid lines",
        "1 record errored",
        EVIL,
        "context_length_exceeded",
        "invalid_json_line",
        "Throughput over the night",
        "Slowest chunks",
        "02:00, America/New_York",
    ):
        assert words in text, words
    assert any(tag == "rect" for tag, _ in outline.tags)
    raw = page.read_text(encoding="utf-8")
    assert QUESTION not in raw
    assert ANSWER not in raw
    assert "g-17" not in raw


def test_a_quiet_night_says_so(tmp_path: Path) -> None:
    """Nothing came in: a page all the same, because silence upstream is a fault too."""
    world = World(tmp_path)
    world.tick()
    world.pass_time(24)
    [path] = world.answers.rglob("report.html")
    assert "Nothing lay in the inbox" in path.read_text()
    assert json.loads(path.with_name("report.json").read_text())["files"] == {"total": 0, "left_in_inbox": 0}


@pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on this machine: apt-get install chromium shows the page in one"
)
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844), (320, 568)])
def test_a_browser_shows_it_without_scrolling_sideways(page: Path, tmp_path: Path, width: int, height: int) -> None:
    """On a desk, a telephone and a small one: a frame of that width is as wide as what is in it."""
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<iframe id="f" src="{page.as_uri()}" width="{width}" height="{height}" style="border:0"></iframe>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument;"
        "document.title = [d.documentElement.scrollWidth, d.images.length, d.scripts.length,"
        "d.querySelectorAll('tbody tr').length,"
        "getComputedStyle(d.querySelector('thead')).display].join(' '); }</script>"
    )
    shown = _browse("--allow-file-access-from-files", "--window-size=1400,1000", "--dump-dom", probe.as_uri())
    match = re.search(r"<title>(.*?)</title>", shown)
    assert match is not None, shown[:2000]
    wide, images, scripts, rows, head = match[1].split()
    assert int(wide) <= width
    assert (images, scripts) == ("0", "0")
    assert int(rows) >= 8
    assert head == ("none" if width < 640 else "table-header-group")


@pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on this machine: apt-get install chromium prints the page with it"
)
def test_a_browser_prints_it(page: Path, tmp_path: Path) -> None:
    """On few sheets of paper."""
    sheet = tmp_path / "report.pdf"
    _browse("--no-pdf-header-footer", f"--print-to-pdf={sheet}", page.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page\b", sheet.read_bytes()))
    assert 1 <= pages <= 4


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium measures it there")
def test_a_card_is_as_wide_as_its_number(page: Path, tmp_path: Path) -> None:
    """Eleven million tokens stood over the edge of their card, on the screen and on paper."""
    text = page.read_text(encoding="utf-8")
    probe = tmp_path / "probe.html"
    large = re.sub(r"<b>[0-9,]+</b>", "<b>11,605,080,000</b>", text)
    script = (
        "<script>document.title = [...document.querySelectorAll('.card')]"
        ".filter(one => one.scrollWidth > one.clientWidth).length</script>"
    )
    probe.write_text(re.sub(r"<meta http-equiv[^>]*>", "", large).replace("</body>", f"{script}</body>"))
    shown = _browse("--window-size=1280,900", "--dump-dom", probe.as_uri())
    assert "<title>0</title>" in shown


def test_each_printed_page_says_what_it_is_of(page: Path) -> None:
    """Its number, and the schedule and night, which end no style."""
    text = page.read_text(encoding="utf-8")
    assert "counter(page)" in text
    assert re.search(r'@bottom-left { content: "[\w ,:.-]+"', text)


def _browse(*options: str) -> str:
    """Run the browser once, without a screen; what it prints."""
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *options],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode()
