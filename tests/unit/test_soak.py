"""What the soak takes for steady, so that a leak would be seen by it."""

from pathlib import Path

import pytest
from soak import MIB, Memory, Progress, Soak


def grown(sizes: list[int], *, judged: bool = True) -> Memory:
    """A process whose memory was so many MiB while a hundredth more of its work was done each time."""
    return Memory("bridge", judged, [(float(done), size * MIB) for done, size in enumerate(sizes)])


def test_a_process_that_grows_by_more_than_a_tenth_is_seen() -> None:
    """From its start, when a tenth is done, to its middle or its end."""
    assert grown([1, *[100] * 50, *[110] * 50]).steady
    assert not grown([1, *[100] * 50, *[111] * 50]).steady
    assert not grown([100] * 50 + [111] + [100] * 50).steady
    assert grown([1, *[100] * 50, *[200] * 50], judged=False).steady


def test_what_a_process_takes_before_its_work_is_not_its_start() -> None:
    """Loading code is no growth."""
    memory = Memory("submit", samples=[(0.0, 10 * MIB)] * 90 + [(float(done), 100 * MIB) for done in range(1, 11)])
    assert memory.at_marks() == [100 * MIB] * 3


def test_the_report_names_the_process_that_grows(tmp_path: Path) -> None:
    """And the rates of the whole job."""
    soak = Soak(1000, [grown([100] * 50 + [150] * 50)], {"fetch": 2.0})
    text = soak.report()
    assert "GROWS" in text
    assert "fetch: 2.0 s, 500 records/s" in text


def test_work_begins_with_the_first_word_of_progress(tmp_path: Path) -> None:
    """What earlier verbs said does not count."""
    log = tmp_path / "client.log"
    log.write_text("said by an earlier verb\n")
    progress = Progress(log)
    assert progress.seconds() == 0
    log.write_text("said by an earlier verb\nsealing records: 5\n")
    assert progress.seconds() == pytest.approx(0.1, abs=1.0)
    assert progress.seconds() > 0
