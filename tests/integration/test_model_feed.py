"""A model that comes over a stream: whole, resumed, and refused whatever a hostile host sends."""

import hashlib
import json
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from feed_enclave import Enclave
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_worker import model_receiver
from enclave_worker.manifest import load_manifest
from sealbatch import model_folder
from sealbatch.model_folder import write_manifest
from vsock_bridge.model_feed import FeedError, feed_model
from wire.address import Address
from wire.errors import MessageError, WireError
from wire.model_feed import CHUNK, DATA, MANIFEST, Done, Refused, Reply, Want, decode_reply, encode_reply
from wire.stream import Stream, listen


@pytest.fixture(name="model")
def make_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of several chunks, an empty file among its files, and one that BLAKE3 checks."""
    monkeypatch.setattr(model_folder, "LARGE", 2 * CHUNK)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * (3 * CHUNK // 256) + b"the end")
    write_manifest(folder, "a model", "1")
    return folder


@pytest.fixture(name="enclave")
def make_enclave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enclave]:
    """An enclave that waits for its model."""
    monkeypatch.setattr(model_receiver, "POLL", 0.05)
    enclave = Enclave(tmp_path)
    yield enclave
    enclave.stop()


def ask(stream: Stream) -> Reply:
    """What the enclave says next."""
    body = stream.receive(10.0)
    assert body is not None
    return decode_reply(body)


def manifest_of(model: Path) -> bytes:
    """The manifest's bytes."""
    return (model / "manifest.json").read_bytes()


def content(model: Path, want: Want) -> bytes:
    """What was asked for."""
    return (model / want.name).read_bytes()[want.offset : want.offset + want.size]


def test_a_model_comes_whole_and_is_measured_first(model: Path, enclave: Enclave) -> None:
    """Every file as the manifest has it; the register is extended once, by the manifest."""
    sent: list[int] = []
    feed_model(enclave.address, model, 30.0, sent.append)
    assert enclave.done.wait(10)
    assert load_manifest(enclave.folder) == load_manifest(model)
    assert sorted(path.name for path in enclave.folder.iterdir()) == sorted(path.name for path in model.iterdir())
    assert enclave.measured == [hashlib.sha256(manifest_of(model)).digest()]
    assert sent[-1] == sum(path.stat().st_size for path in model.iterdir()) - len(manifest_of(model))


def test_nothing_is_asked_for_before_the_manifest_is_measured(model: Path, enclave: Enclave) -> None:
    """The first thing that the host is asked comes after."""
    with enclave.talk() as stream:
        stream.send(MANIFEST + manifest_of(model))
        assert isinstance(ask(stream), Want)
        assert len(enclave.measured) == 1


def test_a_lost_connection_goes_on_where_it_was(model: Path, enclave: Enclave) -> None:
    """No byte that came is asked for again."""
    asked: list[Want] = []
    for _ in range(3):
        with enclave.talk() as stream:
            stream.send(MANIFEST + manifest_of(model))
            want = ask(stream)
            assert isinstance(want, Want)
            asked.append(want)
            stream.send(DATA + content(model, want))
            assert isinstance(ask(stream), Want)
    feed_model(enclave.address, model, 30.0)
    assert enclave.done.wait(10)
    assert load_manifest(enclave.folder) == load_manifest(model)
    places = [(want.name, want.offset) for want in asked]
    assert len(set(places)) == 3
    assert len(enclave.measured) == 1


def test_the_host_tries_again_until_the_enclave_is_there(model: Path, tmp_path: Path) -> None:
    """An enclave takes a while to boot."""
    address = Address.parse(f"unix://{tmp_path}/model.sock")
    started: list[Enclave] = []

    def boot(_: float) -> None:
        if not started:
            started.append(Enclave(tmp_path))

    feed_model(address, model, 30.0, pause=boot)
    assert started[0].done.wait(10)
    started[0].stop()


def test_changed_weights_are_refused_and_nothing_of_them_is_kept(model: Path, enclave: Enclave) -> None:
    """By the file's name; the same enclave takes the true ones afterwards."""
    true = (model / "weights.safetensors").read_bytes()
    (model / "weights.safetensors").write_bytes(true[:-1] + b"!")
    with pytest.raises(FeedError, match=r"refuses the model: weights\.safetensors: its digest is not the manifest's"):
        feed_model(enclave.address, model, 30.0)
    assert not [path for path in enclave.folder.iterdir() if path.name.startswith("weights")]
    (model / "weights.safetensors").write_bytes(true)
    feed_model(enclave.address, model, 30.0)
    assert enclave.done.wait(10)
    assert load_manifest(enclave.folder) == load_manifest(model)


def test_a_second_model_is_refused(model: Path, enclave: Enclave) -> None:
    """What was measured stays measured."""
    with enclave.talk() as stream:
        stream.send(MANIFEST + manifest_of(model))
        assert isinstance(ask(stream), Want)
    with enclave.talk() as stream:
        stream.send(MANIFEST + manifest_of(model).replace(b"a model", b"b model"))
        assert ask(stream) == Refused("another model was measured before, and an enclave serves one")
    assert len(enclave.measured) == 1


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"", "not JSON"),
        (b"{}", "its fields are not"),
        (json.dumps({"format": 1, "name": "a", "revision": "1", "files": {"../x": {}}}).encode(), "names a file"),
        (b" " * (256 * 1024 + 1), "are the most"),
    ],
)
def test_a_malformed_manifest_is_refused_and_not_measured(enclave: Enclave, manifest: bytes, why: str) -> None:
    """A register that holds rubbish would be rubbish until the enclave ends."""
    with enclave.talk() as stream:
        stream.send(MANIFEST + manifest)
        reply = ask(stream)
    assert isinstance(reply, Refused)
    assert why in reply.reason
    assert not enclave.measured


def test_a_model_without_room_is_refused_and_not_measured(
    model: Path, enclave: Enclave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both numbers: the remedy is more memory."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as the standard library's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, model_receiver.RESERVE + 5))
    with pytest.raises(FeedError, match=r"the model has \d+ bytes and this enclave room for 5"):
        feed_model(enclave.address, model, 30.0)
    assert not enclave.measured


@pytest.mark.parametrize("answer", [MANIFEST, DATA, DATA + b"x", b"?", DATA + bytes(CHUNK + 1)])
def test_what_was_not_asked_for_is_refused(model: Path, enclave: Enclave, answer: bytes) -> None:
    """Another kind of frame, or another number of bytes."""
    with enclave.talk() as stream:
        stream.send(MANIFEST + manifest_of(model))
        assert isinstance(ask(stream), Want)
        stream.send(answer)
        assert isinstance(ask(stream), Refused)
    feed_model(enclave.address, model, 30.0)
    assert enclave.done.wait(10)


@given(junk=st.binary(min_size=1, max_size=400), close=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_end_the_enclave(enclave: Enclave, junk: bytes, close: bool) -> None:
    """Bytes that are no frames, half frames, or frames of nothing known."""
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(enclave.address.path or "")
        sock.sendall(junk)
        if close:
            sock.shutdown(socket.SHUT_WR)
        else:
            sock.settimeout(0.02)
    assert enclave.thread.is_alive()


def test_a_host_that_says_nothing_is_left(model: Path, enclave: Enclave, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; another one is served then."""
    monkeypatch.setattr(model_receiver, "PATIENCE", 0.2)
    with enclave.talk() as silent:
        feed_model(enclave.address, model, 30.0)
        assert enclave.done.wait(10)
        assert silent.receive(5.0) is None


class Asker:
    """An enclave that asks for what it likes."""

    def __init__(self, folder: Path, *replies: Reply | bytes) -> None:
        self.address = Address.parse(f"unix://{folder}/asker.sock")
        self._listener = listen(self.address)
        self._replies = replies
        self.got: list[bytes] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while (stream := self._listener.accept(0.1)) is None:
            pass
        with stream:
            try:
                stream.receive(5.0)
                for reply in self._replies:
                    stream.send(reply if isinstance(reply, bytes) else encode_reply(reply))
                    self.got.append(stream.receive(5.0) or b"")
            except WireError:
                pass
        self._listener.close()


@pytest.mark.parametrize(
    ("want", "why"),
    [
        (Want("../secret", 0, 10), "a name that no file of a model has"),
        (Want("link", 0, 10), "link"),
        (Want("none.json", 0, 10), "No such file"),
        (Want("config.json", 0, 10), "shorter than the manifest says"),
    ],
)
def test_the_host_gives_out_the_models_files_and_no_others(model: Path, tmp_path: Path, want: Want, why: str) -> None:
    """Whatever an enclave asks for."""
    (tmp_path / "secret").write_bytes(b"the host's own secret")
    (model / "link").symlink_to(tmp_path / "secret")
    asker = Asker(tmp_path, want)
    with pytest.raises(FeedError, match=why):
        feed_model(asker.address, model, 5.0)
    asker.thread.join()
    assert asker.got in ([], [b""])


def test_a_time_that_is_up_is_said_with_what_failed_last(model: Path, tmp_path: Path) -> None:
    """And where nobody waited."""
    with pytest.raises(FeedError, match=r"model\.sock: no model given within 0 s: no enclave answers"):
        feed_model(Address.parse(f"unix://{tmp_path}/model.sock"), model, 0.0)
    (model / "manifest.json").unlink()
    with pytest.raises(FeedError, match="No such file"):
        feed_model(Address.parse(f"unix://{tmp_path}/model.sock"), model, 0.0)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"W", b"E", b"R"]).flatmap(lambda k: st.binary(max_size=40).map(lambda b: k + b)),
    )
)
def test_any_bytes_are_a_reply_or_refused(body: bytes) -> None:
    """And one that is understood is written the same way again."""
    try:
        reply = decode_reply(body)
    except MessageError:
        return
    assert decode_reply(encode_reply(reply)) == reply


@pytest.mark.parametrize("reply", [Done(), Refused("why"), Want("a", 0, 1), Want("b", 2**40, CHUNK)])
def test_a_reply_is_read_as_it_was_written(reply: Reply) -> None:
    """All three of them."""
    assert decode_reply(encode_reply(reply)) == reply
