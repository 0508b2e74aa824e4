"""A bundle appears whole or not at all, for its owner alone, also where there are no hard links."""

import tarfile
from pathlib import Path

import pytest

from sealbatch.support.archive import write


def test_an_archive_says_nothing_of_who_wrote_it(tmp_path: Path) -> None:
    """No user, no time of day, no mode for others."""
    write(tmp_path / "b.tar.gz", "bundle", {"a.txt": "a\n", "b.json": "{}\n"})
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == ["bundle/a.txt", "bundle/b.json"]
    assert {(entry.uid, entry.uname, entry.mtime, entry.mode) for entry in entries} == {(0, "", 0, 0o600)}
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar.gz"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    """And nothing is left beside it."""
    (tmp_path / "b.tar.gz").write_text("mine")
    with pytest.raises(FileExistsError):
        write(tmp_path / "b.tar.gz", "bundle", {"a.txt": "a\n"})
    assert (tmp_path / "b.tar.gz").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar.gz"]


def test_a_file_system_without_links_gets_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stick that is carried to whoever helps."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write(tmp_path / "b.tar.gz", "bundle", {"a.txt": "a\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar.gz"]
