"""What an image is put together from: nothing lies outside it, and its archive says nothing of the machine."""

import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_inputs import make_deb, make_wheel, read_cpio

from sealbatch.image import cpio
from sealbatch.image.cpio import CpioError, Device, write_cpio
from sealbatch.image.deb import unpack_deb
from sealbatch.image.eif import EifError, SectionKind, read_image
from sealbatch.image.eif_writer import Part, write_image
from sealbatch.image.recipe import PACKAGES, wanted_of_wheel
from sealbatch.image.stage import Stage, StageError
from sealbatch.image.wheel import unpack_wheel


@pytest.fixture(name="stage")
def make_stage(tmp_path: Path) -> Stage:
    """An empty stage."""
    stage = Stage(tmp_path / "stage")
    stage.root.mkdir()
    return stage


@pytest.mark.parametrize("name", ["../escape", "/../escape", "relative", "/a/../../b"])
def test_nothing_is_put_outside_the_image(stage: Stage, name: str) -> None:
    """A name is absolute and goes down only."""
    with pytest.raises(StageError, match="not an absolute name"):
        stage.file(name, b"")


def test_a_link_leads_no_file_out_of_the_image(stage: Stage, tmp_path: Path) -> None:
    """Neither as a folder on the way nor as the file itself."""
    stage.link("/out", str(tmp_path))
    with pytest.raises(StageError, match="a folder on its way is a link"):
        stage.file("/out/escaped", b"")
    assert not (tmp_path / "escaped").exists()
    with pytest.raises(StageError, match="two inputs bring it"):
        stage.file("/out", b"")


def test_a_wheel_or_package_that_leads_out_of_the_image_is_refused(stage: Stage, tmp_path: Path) -> None:
    """Whatever their members are called."""
    make_wheel(tmp_path / "x.whl", {"../../x.py": b""})
    with pytest.raises(StageError, match="not an absolute name"):
        unpack_wheel(tmp_path / "x.whl", stage, PACKAGES, wanted_of_wheel)
    make_deb(tmp_path / "x.deb", {"/a/../../x": b""})
    with pytest.raises(StageError, match="not an absolute name"):
        unpack_deb(tmp_path / "x.deb", stage, lambda name: name)


@given(cut=st.integers(0, 200), flip=st.integers(0, 255))
def test_a_damaged_package_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int) -> None:
    """Never anything else."""
    folder = tmp_path_factory.mktemp("deb")
    good = make_deb(folder / "x.deb", {"/a": b"content"})
    damaged = bytearray(good[: len(good) - cut])
    damaged[len(damaged) // 2] ^= flip
    (folder / "x.deb").write_bytes(bytes(damaged))
    stage = Stage(folder / "stage")
    stage.root.mkdir()
    try:
        unpack_deb(folder / "x.deb", stage, lambda name: name)
    except StageError:
        assert damaged != good


def test_a_package_without_data_is_refused(stage: Stage, tmp_path: Path) -> None:
    """One compressed otherwise has none, to this reader."""
    make_deb(tmp_path / "x.deb", {}, data="data.tar.zst")
    with pytest.raises(StageError, match=r"no data\.tar\.xz"):
        unpack_deb(tmp_path / "x.deb", stage, lambda name: name)


def test_an_archive_says_nothing_of_its_machine(tmp_path: Path) -> None:
    """Order, owners, times, inodes and modes follow from the names and the executable bit alone."""
    (tmp_path / "b").mkdir(mode=0o700)
    (tmp_path / "b" / "z").write_bytes(b"12345")
    (tmp_path / "a").symlink_to("b/z")
    os.utime(tmp_path / "b" / "z", (1, 2))
    (tmp_path / "b" / "z").chmod(0o666)
    out = io.BytesIO()
    write_cpio(tmp_path, out.write, (Device("b/console", 5, 1),))
    members = read_cpio(out.getvalue())
    assert [(name, content) for name, _, content in members] == [
        ("a", b"b/z"),
        ("b", b""),
        ("b/console", b""),
        ("b/z", b"12345"),
    ]
    for number, (_, numbers, _) in enumerate(members, 1):
        inode, mode, uid, gid, _, mtime, *_ = numbers
        assert (inode, uid, gid, mtime) == (number, 0, 0, 0)
        assert stat.S_IMODE(mode) in {0o777, 0o755, 0o644, 0o600}
    assert members[2][1][9:11] == (5, 1)


def test_a_file_that_an_archive_cannot_hold_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, or one whose size has no eight hexadecimal digits."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CpioError, match="pipe: neither"):
        write_cpio(tmp_path, io.BytesIO().write)
    (tmp_path / "pipe").unlink()
    (tmp_path / "large").write_bytes(b"12")
    monkeypatch.setattr(cpio, "MAX_FILE", 1)
    with pytest.raises(CpioError, match="large: 2 bytes"):
        write_cpio(tmp_path, io.BytesIO().write)


@given(parts=st.lists(st.binary(min_size=1, max_size=40), min_size=3, max_size=6))
def test_an_image_is_read_as_it_was_written(parts: list[bytes]) -> None:
    """By the reader, which is strict and was written apart."""
    kinds = [SectionKind.KERNEL, SectionKind.COMMAND_LINE, *[SectionKind.RAMDISK] * (len(parts) - 2)]
    file = io.BytesIO()
    write_image(file, [Part(kind, data) for kind, data in zip(kinds, parts, strict=True)])
    file.seek(0)
    found = [(section.kind, section.size) for section in read_image(file).sections]
    assert found == [(kind, len(data)) for kind, data in zip(kinds, parts, strict=True)]


def test_too_many_sections_are_refused() -> None:
    """Before anything is written."""
    file = io.BytesIO()
    with pytest.raises(EifError, match="num_sections: 33"):
        write_image(file, [Part(SectionKind.RAMDISK, b"x")] * 33)
    assert not file.getvalue()
