"""Output files appear whole or not at all."""

import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import names

from results_consumer.errors import SinkCode, SinkError
from results_consumer.sink import BUFFER, FileSink, Sink, StreamSink


def write_all(sink: Sink, data: bytes, before_commit: Callable[[], object] = int) -> None:
    """Write and commit."""
    with sink:
        sink.write(data)
        before_commit()
        sink.commit()


def interrupt() -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


def fail_with(number: int) -> Callable[..., int]:
    """A system call that fails."""

    def call(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


def test_a_committed_file_is_whole_private_and_alone(tmp_path: Path) -> None:
    """The file has all bytes and mode 0600, and no temporary file is left."""
    old = os.umask(0)
    try:
        with FileSink(tmp_path / "out.jsonl") as sink:
            sink.write(b"one\n")
            sink.write(b"x" * (2 * BUFFER))
            sink.commit()
    finally:
        os.umask(old)
    assert (tmp_path / "out.jsonl").read_bytes() == b"one\n" + b"x" * (2 * BUFFER)
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600
    assert names(tmp_path) == ["out.jsonl"]


def test_nothing_has_the_name_before_the_commit(tmp_path: Path) -> None:
    """While it is written, only a private hidden file exists."""
    with FileSink(tmp_path / "out") as sink:
        sink.write(b"x" * BUFFER)
        (part,) = tmp_path.iterdir()
        assert part.name.startswith(".out.")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    """An interruption takes the temporary file with it."""
    with pytest.raises(KeyboardInterrupt):
        write_all(FileSink(tmp_path / "out"), b"x" * BUFFER, before_commit=interrupt)
    assert names(tmp_path) == []


def test_an_existing_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Without `overwrite` the file stays as it was."""
    path = tmp_path / "out"
    path.write_bytes(b"mine")
    with pytest.raises(SinkError) as caught, FileSink(path):
        pass
    assert caught.value.code == SinkCode.EXISTS
    assert str(path) in str(caught.value)
    assert (path.read_bytes(), names(tmp_path)) == (b"mine", ["out"])


def test_a_file_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Whoever takes the name while we write keeps it."""
    path = tmp_path / "out"
    with pytest.raises(SinkError) as caught:
        write_all(FileSink(path), b"ours", before_commit=lambda: path.write_bytes(b"theirs"))
    assert caught.value.code == SinkCode.EXISTS
    assert (path.read_bytes(), names(tmp_path)) == (b"theirs", ["out"])


def test_overwrite_replaces_only_at_the_commit(tmp_path: Path) -> None:
    """The old file is there until the new one is whole, and stays if it never is."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with FileSink(path, overwrite=True) as sink:
        sink.write(b"lost")
    assert path.read_bytes() == b"old"
    with FileSink(path, overwrite=True) as sink:
        sink.write(b"new")
        assert path.read_bytes() == b"old"
        sink.commit()
    assert (path.read_bytes(), names(tmp_path)) == (b"new", ["out"])


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    """The link stays a link, and the file that it names is replaced."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with FileSink(tmp_path / "link", overwrite=True) as sink:
        sink.write(b"new")
        sink.commit()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_folder_without_hard_links_still_gets_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT knows no hard links: the file is renamed, and an existing one is still refused."""
    monkeypatch.setattr(Path, "hardlink_to", fail_with(errno.EPERM))
    with FileSink(tmp_path / "out") as sink:
        sink.write(b"new")
        sink.commit()
    assert names(tmp_path) == ["out"]
    other = tmp_path / "other"
    with pytest.raises(SinkError) as caught:
        write_all(FileSink(other), b"ours", before_commit=lambda: other.write_bytes(b"theirs"))
    assert caught.value.code == SinkCode.EXISTS
    assert names(tmp_path) == ["other", "out"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("folder", SinkCode.NOT_A_FILE, id="a folder"),
        pytest.param("missing/out", SinkCode.NO_FOLDER, id="no such folder"),
        pytest.param("file/out", SinkCode.NO_FOLDER, id="a file as folder"),
        pytest.param("/dev/null", SinkCode.NOT_A_FILE, id="a device"),
        pytest.param("/", SinkCode.NOT_A_FILE, id="the root"),
        pytest.param("x" * 300, SinkCode.FAILED, id="name too long"),
    ],
)
def test_an_unfit_path_is_refused_with_its_reason(tmp_path: Path, path: str, code: SinkCode) -> None:
    """The error comes on entering, names the path, and leaves nothing behind."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError) as caught, FileSink(tmp_path / path, overwrite=True):
        pass
    assert caught.value.code == code
    assert path in str(caught.value)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, SinkCode.DENIED), (errno.EROFS, SinkCode.DENIED)])
def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: SinkCode) -> None:
    """An unwritable folder is refused on entering. Root may write anywhere, so the call is made to fail."""
    monkeypatch.setattr(os, "open", fail_with(number))
    with pytest.raises(SinkError) as caught, FileSink(tmp_path / "out"):
        pass
    assert (caught.value.code, caught.value.errno) == (code, number)


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, SinkCode.FULL),
        (errno.EDQUOT, SinkCode.FULL),
        (errno.EIO, SinkCode.FAILED),
    ],
)
def test_a_full_or_failing_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: SinkCode
) -> None:
    """The temporary file is gone and the error names path and reason, whether write or fsync reports it."""
    monkeypatch.setattr(os, call, fail_with(number))
    with pytest.raises(SinkError) as caught:
        write_all(FileSink(tmp_path / "out"), b"x" * (BUFFER + 1))
    assert (caught.value.code, caught.value.errno) == (code, number)
    assert str(tmp_path / "out") in str(caught.value)
    assert names(tmp_path) == []


def test_the_file_and_then_its_folder_are_put_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the commit loses neither the bytes nor the name."""
    synced: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append([Path(f"/proc/self/fd/{file}").readlink().name]))
    write_all(FileSink(tmp_path / "out"), b"x")
    (part,), (folder,) = synced
    assert part.startswith(".out.")
    assert folder == tmp_path.name


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Some network file systems refuse to; the file itself is on disk."""
    sync = os.fsync
    fail = fail_with(number)
    monkeypatch.setattr(os, "fsync", lambda file: (fail if stat.S_ISDIR(os.fstat(file).st_mode) else sync)(file))
    write_all(FileSink(tmp_path / "out"), b"x")
    assert names(tmp_path) == ["out"]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes a part is followed by one for the rest."""
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, bytes(data[:7])))
    with FileSink(tmp_path / "out") as sink:
        sink.write(bytes(range(100)))
        sink.commit()
    assert (tmp_path / "out").read_bytes() == bytes(range(100))


def test_a_stream_gets_the_bytes_and_a_flush(tmp_path: Path) -> None:
    """After the commit nothing waits in the stream's buffer."""
    with (tmp_path / "out").open("wb") as stream, StreamSink(stream) as sink:
        sink.write(b"line\n")
        sink.commit()
        assert (tmp_path / "out").read_bytes() == b"line\n"


def test_a_full_device_behind_a_stream_is_said() -> None:
    """Standard output may be a file on a full disk."""
    with Path("/dev/full").open("wb", buffering=0) as stream, pytest.raises(SinkError) as caught:
        write_all(StreamSink(stream, "standard output"), b"line\n")
    assert caught.value.code == SinkCode.FULL
    assert "standard output" in str(caught.value)


def test_a_full_device_behind_a_buffered_stream_is_said_at_the_commit() -> None:
    """What the stream buffered fails when it is flushed."""

    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(SinkError) as caught:
        write_all(StreamSink(Full()), b"line\n")
    assert caught.value.code == SinkCode.FULL


@pytest.mark.parametrize("method", ["write", "flush"])
def test_a_reader_that_went_away_is_a_broken_pipe(method: str) -> None:
    """`| head` ends a program the way every program ends."""
    broken = type("Broken", (io.BytesIO,), {method: fail_with(errno.EPIPE)})
    with pytest.raises(BrokenPipeError):
        write_all(StreamSink(broken()), b"line\n")
