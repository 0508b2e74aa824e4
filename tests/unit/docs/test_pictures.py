"""The pictures of the documents are of this program: drawn from recordings, and what is typed in them parses."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pages
import pytest
import typed
from frames import Frame, frames_of, last_frame
from recording import Cast, Terminal, load
from screenshots import HOLD, SESSION_TITLE
from terminal_svg import draw

PICTURES = pages.ROOT / "docs" / "pictures"
MOST = 300_000


def text_of(frame: Frame) -> list[str]:
    """The lines of a frame, without their looks."""
    return ["".join(f"{run.text} " for run in line).rstrip() for line in frame.lines]


@pytest.fixture(scope="module")
def session() -> list[Frame]:
    """The frames of the recorded session."""
    return frames_of(load(PICTURES / "session.cast"), hold=HOLD)


def test_the_session_is_drawn_from_its_recording(session: list[Frame]) -> None:
    """Who changes how it is drawn draws it again: `make screenshots`."""
    drawn = (PICTURES / "session.svg").read_text(encoding="utf-8")
    assert drawn == draw(session, 100, SESSION_TITLE, rows=max(map(used, session)))


def used(frame: Frame) -> int:
    """How many lines of a frame have something on them."""
    return max((row for row, line in enumerate(frame.lines, 1) if line), default=0)


def test_what_is_typed_in_the_session_can_be_typed(session: list[Frame]) -> None:
    """A verb or an option that is no more is found here: record the session again."""
    lines = {line.removeprefix("$ ") for frame in session for line in text_of(frame) if line.startswith("$ sealbatch")}
    whole = {line for line in lines if not any(other != line and other.startswith(line) for other in lines)}
    commands = [words for line in whole for words in typed.simple_commands(line)]
    assert len(commands) >= 4
    assert not [(words, why) for words in commands if (why := typed.fault(words))]


def test_the_session_ends_well(session: list[Frame]) -> None:
    """No error in it, and the proof at its end."""
    everything = [line for frame in session for line in text_of(frame)]
    assert not [line for line in everything if line.startswith("sealbatch:")]
    assert any(line.startswith("verified: 66 of 66 records") for line in text_of(session[-1]))


@pytest.mark.parametrize("name", ["session.svg", "verify.svg", "top.svg", "report.png"])
def test_pictures_are_small_and_say_what_they_show(name: str) -> None:
    """A page with them is read over a slow line, and by those who cannot see them."""
    data = (PICTURES / name).read_bytes()
    assert len(data) < MOST
    if name.endswith(".svg"):
        root = ET.fromstring(data)  # noqa: S314 - our own
        assert root.findtext("{http://www.w3.org/2000/svg}title")
        assert "prefers-color-scheme:dark" in data.decode()


def test_a_terminal_is_recorded_and_drawn(tmp_path: Path) -> None:
    """What bash says, in its colours, kept as asciinema keeps it."""
    with Terminal(tmp_path, {"PATH": "/usr/bin:/bin"}, columns=40, rows=5) as terminal:
        terminal.type(r"printf '\e[31mred\e[0m & \e[2mdim\e[0m\n'")
    path = tmp_path / "a.cast"
    terminal.cast.save(path)
    cast = load(path)
    assert [text for _, text in cast.events] == [text for _, text in terminal.cast.events]
    [line] = [line for line in last_frame(cast).lines if line and line[0].colour == "red"]
    assert [(run.text, run.colour, run.dim) for run in line] == [
        ("red", "red", False),
        ("&", "default", False),
        ("dim", "default", True),
    ]
    drawn = draw(frames_of(cast, hold=1), 40, "a <title>")
    assert ET.fromstring(drawn).findtext("{http://www.w3.org/2000/svg}title") == "a <title>"  # noqa: S314
    assert "red" in drawn
    assert "&amp;" in drawn


def test_idle_time_is_cut_and_frames_follow_each_other() -> None:
    """Nobody waits a minute for a picture."""
    cast = Cast(10, 2, [(0.0, "a"), (60.0, "b"), (60.01, "c")])
    frames = frames_of(cast, hold=3)
    assert [text_of(frame)[0] for frame in frames] == ["a", "abc"]
    assert [frame.seconds for frame in frames] == [1.5, 3]
