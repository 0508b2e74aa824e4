"""What an enclave does before its first key: entropy, the model's register, its own settings, the heartbeat."""

import errno
import hashlib
import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from enclave_worker.attestor import AttestorError
from enclave_worker.boot.init import heartbeat
from enclave_worker.entropy import RNDADDENTROPY, RNDRESEEDCRNG, SEED, seed_kernel
from enclave_worker.image import ImageError, ImageSettings, encode_settings, load_settings
from enclave_worker.measured import measure_model
from enclave_worker.nsm import NsmError, Register
from enclave_worker.platform import CLOCK_SOURCES
from wire.measurement import MODEL_PCR, model_register

DIGEST = hashlib.sha256(b"a manifest").digest()


class Module:
    """A security module of which a test chooses what it gives."""

    def __init__(self, *draws: bytes) -> None:
        self.draws = list(draws)
        self.registers = {MODEL_PCR: Register(locked=False, data=bytes(48))}
        self.deaf = False

    def random(self) -> bytes:
        """The next draw."""
        return self.draws.pop(0) if self.draws else os.urandom(256)

    def describe_pcr(self, index: int) -> Register:
        """See `Registers`."""
        return self.registers[index]

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """See `Registers`."""
        assert not self.registers[index].locked
        value = hashlib.sha384(self.registers[index].data + data).digest()
        if not self.deaf:
            self.registers[index] = Register(locked=False, data=value)
        return value

    def lock_pcr(self, index: int) -> None:
        """See `Registers`."""
        self.registers[index] = Register(locked=True, data=self.registers[index].data)


def seeded(module: Module, random: Path) -> list[tuple[int, bytes]]:
    """The requests that the kernel's generator got."""
    requests: list[tuple[int, bytes]] = []
    seed_kernel(module, random, lambda _, number, data: requests.append((number, bytes(data))))
    return requests


@pytest.fixture(name="random")
def make_random(tmp_path: Path) -> Path:
    """A file in the place of /dev/random."""
    (tmp_path / "random").touch()
    return tmp_path / "random"


def test_the_kernel_is_fed_from_the_module_before_anything_else(random: Path) -> None:
    """All bytes are credited, in the order in which they came, and used at once."""
    draws = [os.urandom(256) for _ in range(4)]
    (add, data), (reseed, nothing) = seeded(Module(*draws), random)
    assert (add, reseed, nothing) == (RNDADDENTROPY, RNDRESEEDCRNG, b"")
    assert struct.unpack("=ii", data[:8]) == (SEED * 8, SEED)
    assert data[8:] == b"".join(draws)


def test_the_seed_is_not_too_long_for_pythons_ioctl(random: Path) -> None:
    """The kernel itself answers, here that a plain file is no generator; of bytes Python would pass on 1,024 only."""
    with pytest.raises(OSError, match="Inappropriate ioctl") as caught:
        seed_kernel(Module(), random)
    assert caught.value.errno == errno.ENOTTY


def test_short_draws_are_made_up_for(random: Path) -> None:
    """The module may give fewer bytes than it could."""
    (_, data), _ = seeded(Module(*(os.urandom(100) for _ in range(11))), random)
    assert len(data) == 8 + SEED


@pytest.mark.parametrize("draws", [(bytes(256),), (b"x" * 256, b"x" * 256), tuple(bytes([n]) for n in range(64))])
def test_a_module_that_gives_no_random_bytes_is_refused(draws: tuple[bytes, ...], random: Path) -> None:
    """Zeros, the same bytes twice, or too few."""
    with pytest.raises(NsmError, match="NSM GetRandom: InvalidResponse"):
        seeded(Module(*draws), random)


def test_the_models_register_follows_from_its_manifest_alone() -> None:
    """It is extended once and locked; a second start of the worker finds it and is content."""
    module = Module()
    for _ in range(2):
        measure_model(module, DIGEST)
        assert module.registers[MODEL_PCR] == Register(locked=True, data=model_register(DIGEST))
    assert model_register(DIGEST) == hashlib.sha384(bytes(48) + DIGEST).digest()


@pytest.mark.parametrize(
    "before",
    [
        Register(locked=True, data=bytes(48)),
        Register(locked=True, data=model_register(hashlib.sha256(b"another").digest())),
        Register(locked=False, data=model_register(DIGEST)),
        Register(locked=False, data=b"\1" * 48),
    ],
)
def test_a_register_that_something_else_extended_is_refused(before: Register) -> None:
    """Even the right value, while it can still be changed."""
    module = Module()
    module.registers[MODEL_PCR] = before
    with pytest.raises(AttestorError, match="PCR16 does not hold this model"):
        measure_model(module, DIGEST)


def test_a_module_that_does_not_extend_is_refused() -> None:
    """Whatever it answers, the register is read again."""
    module = Module()
    module.deaf = True
    with pytest.raises(AttestorError, match="PCR16"):
        measure_model(module, DIGEST)


@pytest.mark.parametrize("settings", [ImageSettings(), ImageSettings(streamed=False, emulated=True)])
def test_an_images_settings_are_read_as_written(settings: ImageSettings, tmp_path: Path) -> None:
    """And clocks of an emulator do in an image for emulators alone."""
    (tmp_path / "x").write_bytes(encode_settings(settings))
    assert load_settings(tmp_path / "x") == settings
    assert (settings.clocks == CLOCK_SOURCES) != settings.emulated


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 1}',
        '{"format": 2, "streamed": true, "emulated": false}',
        '{"format": 1, "streamed": 1, "emulated": false}',
        '{"format": 1, "streamed": true, "emulated": false, "more": 1}',
    ],
)
def test_malformed_settings_are_refused(text: str, tmp_path: Path) -> None:
    """A worker that knows not what it is does not start."""
    (tmp_path / "x").write_text(text)
    with pytest.raises(ImageError):
        load_settings(tmp_path / "x")
    with pytest.raises(ImageError, match="missing"):
        load_settings(tmp_path / "none")


@pytest.mark.parametrize(("answer", "heard"), [(b"\xb7", True), (b"\x00", False), (b"", False)])
def test_the_heartbeat_is_the_one_that_nitro_cli_waits_for(answer: bytes, heard: bool) -> None:
    """One byte out, the same byte back; any other answer, or none, is no reason not to go on."""
    ours, theirs = socket.socketpair()
    got = []

    def answers() -> None:
        got.append(theirs.recv(16))
        theirs.sendall(answer)
        theirs.close()

    thread = threading.Thread(target=answers)
    thread.start()
    assert heartbeat(lambda: ours) is heard
    thread.join()
    assert got == [b"\xb7"]


def test_nobody_hears_the_heartbeat() -> None:
    """A virtual machine has no nitro-cli."""

    def refused() -> socket.socket:
        raise ConnectionResetError

    assert heartbeat(refused) is False
