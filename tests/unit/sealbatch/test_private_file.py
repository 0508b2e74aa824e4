"""What is written down is on disk, for its owner alone, before it is found under its name."""

import os
from pathlib import Path
from typing import Any

import pytest

from sealbatch.nightly.shelf import Shelf
from sealbatch.private_file import write_private


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the operating system is told, in order."""
    told: list[str] = []

    def tell(module: Any, name: str) -> None:
        call = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *words, **more: (told.append(name), call(*words, **more))[1])

    tell(os, "fsync")
    tell(os, "link")
    tell(os, "replace")
    return told


def test_a_record_is_on_disk_before_it_has_its_name(tmp_path: Path, calls: list[str]) -> None:
    """Written once or over another; a power cut leaves a whole record or none."""
    shelf = Shelf(tmp_path)
    assert shelf.put_new("runs/one", {"a": 1})
    assert not shelf.put_new("runs/one", {"a": 2})
    shelf.put("runs/one", {"a": 3})
    write_private(tmp_path / "report", "text")
    assert calls == ["fsync", "link", "fsync", "link", "fsync", "replace", "fsync", "replace"]
    assert shelf.get("runs/one") == {"a": 3}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["one.json", "report"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
