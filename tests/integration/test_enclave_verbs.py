"""`sealbatch enclave run|describe|stop` against a stand-in of `nitro-cli` and an enclave on a unix socket."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_enclave
import nitro_cli
import pytest
from command import Typist
from eif_samples import PARTS, build
from fake_enclave import FakeEnclave
from feed_enclave import Enclave
from waiting import wait_until

from sealbatch.exits import Exit
from sealbatch.fleet import nitro
from sealbatch.image.eif import read_image
from sealbatch.model_folder import write_manifest
from wire.address import Address
from wire.measurement import model_register


@dataclass
class Parent:
    """A parent instance: nitro-cli on the path, an image with its release, and memory set aside."""

    folder: Path
    typist: Typist

    @property
    def address(self) -> str:
        """Where the enclave listens."""
        return f"unix://{self.folder}/enclave.sock"

    def words(self, *more: str) -> tuple[str, ...]:
        """What starts the image."""
        eif, release = self.folder / "sealbatch.eif", self.folder / "pcrs.json"
        allocator = self.folder / "allocator.yaml"
        words = ("enclave", "run", "--eif", str(eif), "--release", str(release), "--allocator", str(allocator))
        return (*words, "--address", self.address, *more)

    def run(self, *more: str) -> Any:
        """Type it."""
        return self.typist.type(*self.words(*more))

    def fault(self, verb: str, stderr: str, status: int) -> None:
        """What nitro-cli answers next."""
        text = json.dumps({"verb": verb, "stderr": stderr, "status": status})
        (self.folder / "fault.json").write_text(text)

    def enclaves(self) -> list[dict[str, Any]]:
        """What nitro-cli says runs."""
        path = self.folder / "enclaves.json"
        found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return found

    def calls(self) -> list[list[str]]:
        """What nitro-cli was asked."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parent:
    """With 14 CPUs and 1 GiB set aside, and the release's PCR0 that of the enclave that will answer."""
    program = tmp_path / "bin/nitro-cli"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {nitro_cli_path()} "$@"\n')
    program.chmod(0o755)
    eif = tmp_path / "sealbatch.eif"
    eif.write_bytes(build(PARTS))
    with eif.open("rb") as file:
        pcrs = {str(index): pcr.hex() for index, pcr in read_image(file).pcrs.items()}
    (tmp_path / "pcrs.json").write_text(json.dumps({"format": 1, "name": "1.0", "pcrs": pcrs}))
    (tmp_path / "allocator.yaml").write_text("---\nmemory_mib: 1024\ncpu_count: 14\n")
    (tmp_path / "pool.json").write_text(json.dumps({"memory_mib": 1024, "cpus": 14}))
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "NITRO_STANDIN": str(tmp_path)}
    monkeypatch.setattr(fake_enclave, "IMAGE", pcrs["0"])
    return Parent(tmp_path, Typist(tmp_path, environment=environment))


def nitro_cli_path() -> str:
    """The stand-in, which cannot be imported without its folder."""
    return str(Path(__file__).resolve().parents[1] / "helpers" / "nitro_cli.py")


@pytest.fixture
def enclave(parent: Parent) -> Iterator[FakeEnclave]:
    """What the started image would be."""
    serving = FakeEnclave(Address.parse(parent.address))
    yield serving
    serving.stop()


@pytest.mark.usefixtures("enclave")
def test_the_release_is_started_seen_and_ended(parent: Parent) -> None:
    """With all that was set aside, never in debug mode, and only once."""
    done = parent.run()
    assert done.returncode == Exit.OK, done.stderr
    row = json.loads(done.stdout)
    assert (row["name"], row["cid"], row["cpus"], row["memory_mib"]) == ("sealbatch", 16, 14, 1024)
    assert row["ready"] is True
    assert row["debug"] is False
    assert b"next: sealbatch bridge --enclave unix://" in done.stderr
    [started] = [call for call in parent.calls() if call[0] == "run-enclave"]
    assert "--debug-mode" not in started
    again = parent.run()
    assert again.returncode == Exit.USAGE
    assert b"sealbatch enclave stop" in again.stderr

    release = ("--release", str(parent.folder / "pcrs.json"))
    seen = parent.typist.type("enclave", "describe", "--address", parent.address, *release, "--json")
    assert seen.returncode == Exit.OK, seen.stderr
    assert json.loads(seen.stdout)["state"] == "running"
    value = json.loads((parent.folder / "pcrs.json").read_text())
    value["pcrs"]["0"] = "ab" * 48
    (parent.folder / "other.json").write_text(json.dumps(value))
    other = parent.typist.type(
        "enclave", "describe", "--address", parent.address, "--release", str(parent.folder / "other.json")
    )
    assert other.returncode == Exit.INTEGRITY
    assert b"sealbatch is not the release's image: end it" in other.stderr

    for said in (b"sealbatch ended", b"no enclave named sealbatch"):
        ended = parent.typist.type("enclave", "stop")
        assert ended.returncode == Exit.OK
        assert said in ended.stderr
    assert parent.enclaves() == []
    none = parent.typist.type("enclave", "describe")
    assert none.returncode == Exit.TEMPORARY
    assert b"sealbatch enclave run" in none.stderr


@pytest.mark.usefixtures("enclave")
def test_a_started_enclave_is_given_its_releases_model(parent: Parent) -> None:
    """And no other: neither a folder that is not the release's, nor files that are not its manifest's."""
    model = parent.folder / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"weights")
    digest = write_manifest(model, "a", "1").digest
    value = json.loads((parent.folder / "pcrs.json").read_text())
    value["pcrs"]["16"] = model_register(digest).hex()
    (parent.folder / "pcrs.json").write_text(json.dumps(value))
    waiting = Enclave(parent.folder)
    words = ("--model", str(model), "--model-address", str(waiting.address))
    try:
        (model / "weights").write_bytes(b"weightS")
        refused = parent.run(*words)
        assert refused.returncode == Exit.INTEGRITY
        assert b"the enclave was ended again: the enclave refuses the model: weights: its digest" in refused.stderr
        assert parent.enclaves() == []
        (model / "weights").write_bytes(b"weights")
        done = parent.run(*words)
        assert done.returncode == Exit.OK, done.stderr
        assert b"7 bytes given to the enclave, which verified them" in done.stderr
        assert waiting.measured == [digest]
    finally:
        waiting.stop()
    parent.typist.type("enclave", "stop")
    write_manifest(model, "b", "1")
    started = len(parent.calls())
    another = parent.run(*words)
    assert another.returncode == Exit.INTEGRITY
    assert b"is not the model of release 1.0; nothing was started" in another.stderr
    assert len(parent.calls()) == started


def test_another_image_than_the_releases_is_never_started(parent: Parent) -> None:
    """One byte is enough, and nitro-cli is not even asked."""
    eif = parent.folder / "sealbatch.eif"
    eif.write_bytes(build(((1, b"kerneL"), *PARTS[1:])))
    done = parent.run()
    assert done.returncode == Exit.INTEGRITY
    assert b"PCR0 differs; nothing was started" in done.stderr
    assert parent.calls() == []
    eif.write_bytes(eif.read_bytes()[:-1])
    assert parent.run().returncode == Exit.INPUT_INVALID
    value = json.loads((parent.folder / "pcrs.json").read_text())
    value["pcrs"]["8"] = "ab" * 48
    (parent.folder / "pcrs.json").write_text(json.dumps(value))
    eif.write_bytes(build(PARTS))
    unsigned = parent.run("--timeout", "1")
    assert unsigned.returncode == Exit.INTEGRITY
    assert b"PCR8 differs; nothing was started" in unsigned.stderr
    assert parent.calls() == []


def test_an_enclave_that_attests_another_image_is_ended(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else listens there."""
    monkeypatch.setattr(fake_enclave, "IMAGE", "cd" * 48)
    serving = FakeEnclave(Address.parse(parent.address))
    done = parent.run()
    serving.stop()
    assert done.returncode == Exit.TEMPORARY
    assert b"it attests image cdcdcdcdcdcdcdcd" in done.stderr
    assert parent.enclaves() == []


def test_an_enclave_that_does_not_get_ready_is_ended(parent: Parent) -> None:
    """Nothing half stays behind."""
    done = parent.run("--timeout", "1")
    assert done.returncode == Exit.TEMPORARY
    assert b"ended again: it was not ready within 1 s" in done.stderr
    assert parent.enclaves() == []


def test_an_enclave_is_ended_whatever_keeps_it_from_its_model(parent: Parent) -> None:
    """A model that is not there is missed before the start; a file that cannot be looked at ends what was started."""
    model = parent.folder / "model"
    words = ("--model", str(model), "--model-address", f"unix://{parent.folder}/model.sock")
    missing = parent.run(*words)
    assert missing.returncode == Exit.USAGE
    assert f"{model}/manifest.json: No such file".encode() in missing.stderr
    assert parent.calls() == []
    fed = parent.typist.type("enclave", "feed", str(model), "--enclave", f"unix://{parent.folder}/model.sock")
    assert fed.returncode == Exit.USAGE
    assert f"{model}/manifest.json: No such file".encode() in fed.stderr

    model.mkdir()
    (model / "weights").write_bytes(b"weights")
    write_manifest(model, "a", "1")
    (model / "tokenizer.json").symlink_to("gone")
    dangling = parent.run(*words)
    assert dangling.returncode == Exit.USAGE
    assert b"tokenizer.json: No such file" in dangling.stderr
    assert [call[0] for call in parent.calls() if call[0] in {"run-enclave", "terminate-enclave"}] == [
        "run-enclave",
        "terminate-enclave",
    ]
    assert parent.enclaves() == []


def test_debug_mode_is_for_looking_alone(parent: Parent) -> None:
    """Only when asked for; it says what that means, and `describe` takes it for a fault."""
    done = parent.run("--debug")
    assert done.returncode == Exit.OK, done.stderr
    assert b"KMS gives it no key" in done.stderr
    assert json.loads(done.stdout)["debug"] is True
    seen = parent.typist.type("enclave", "describe", "--address", parent.address)
    assert seen.returncode == Exit.INTEGRITY
    assert b"debug mode" in seen.stderr


@pytest.mark.parametrize(
    ("words", "pool", "code", "said"),
    [
        (("--cpus", "16"), {}, "E22", "sealbatch enclave size"),
        ((), {"memory_mib": 512}, "E27", "restart nitro-enclaves-allocator"),
    ],
)
def test_refusals_of_nitro_cli_name_the_next_step(
    parent: Parent, words: tuple[str, ...], pool: dict[str, int], code: str, said: str
) -> None:
    """The cause, and not the caller's own report of it that nitro-cli prints last."""
    (parent.folder / "pool.json").write_text(json.dumps({"memory_mib": 1024, "cpus": 14, **pool}))
    done = parent.run(*words)
    assert done.returncode == Exit.CONFIGURATION
    assert f"nitro-cli run-enclave: {code}: Insufficient" in done.stderr.decode()
    assert said in done.stderr.decode()
    assert "E39" not in done.stderr.decode()


def test_too_little_memory_for_the_image(parent: Parent) -> None:
    """Four times the image is nitro-cli's own rule."""
    eif = parent.folder / "sealbatch.eif"
    parts = ((1, bytes(20 * 2**20)), *PARTS[1:])
    eif.write_bytes(build(parts))
    with eif.open("rb") as file:
        pcrs = {str(index): pcr.hex() for index, pcr in read_image(file).pcrs.items()}
    (parent.folder / "pcrs.json").write_text(json.dumps({"format": 1, "name": "1.0", "pcrs": pcrs}))
    done = parent.run("--memory", "64")
    assert done.returncode == Exit.CONFIGURATION
    assert b"E26: Insufficient memory requested. User provided `memory` is 64 MB" in done.stderr
    assert b"minimum memory should be 84 MB" in done.stderr


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("[ E36 ] Enclave boot failure. Such error appears when", "sealbatch image measure"),
        ("[ E99 ] Something new", "nitro-cli explain --error-code E99"),
        ("thread 'main' panicked at src/main.rs:1", "panicked"),
        ("", "it gave no reason"),
    ],
)
def test_other_refusals(parent: Parent, stderr: str, said: str) -> None:
    """Those that we know, those that we do not, and those that are none."""
    parent.fault("run-enclave", stderr, 36)
    done = parent.run()
    assert done.returncode == Exit.CONFIGURATION
    assert said in done.stderr.decode()


def test_without_nitro_cli(parent: Parent) -> None:
    """On a laptop."""
    (parent.folder / "bin/nitro-cli").unlink()
    done = parent.run()
    assert done.returncode == Exit.CONFIGURATION
    assert b"aws-nitro-enclaves-cli" in done.stderr


@pytest.mark.usefixtures("enclave")
def test_following_tells_systemd_and_ends_it_on_a_signal(parent: Parent) -> None:
    """READY=1 only when it serves; SIGTERM ends the enclave and is no failure."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(parent.folder / "notify"))
        systemd.settimeout(60)
        parent.typist.environment["NOTIFY_SOCKET"] = str(parent.folder / "notify")
        process = parent.typist.start(*parent.words("--follow"))
        assert systemd.recv(64) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert systemd.recv(64) == b"STOPPING=1"
        _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.OK, said
    assert parent.enclaves() == []


def test_following_ends_what_is_not_ready_yet_on_a_signal(parent: Parent) -> None:
    """SIGTERM while the model still loads: systemd does not wait in vain, and nothing is left."""
    process = parent.typist.start(*parent.words("--follow"))
    wait_until(lambda: bool(parent.enclaves()), 60, "the enclave")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.TEMPORARY
    assert b"told to end" in said
    assert parent.enclaves() == []


def test_following_gives_up_a_model_that_nobody_takes_on_a_signal(parent: Parent) -> None:
    """SIGTERM before the enclave waits for its model: systemd's own kill would leave it running."""
    model = parent.folder / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"weights")
    write_manifest(model, "a", "1")
    address = f"unix://{parent.folder}/model.sock"
    process = parent.typist.start(*parent.words("--follow", "--model", str(model), "--model-address", address))
    wait_until(lambda: bool(parent.enclaves()), 60, "the enclave")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.TEMPORARY
    assert b"the enclave was ended again: we were told to end before it had its model" in said
    assert parent.enclaves() == []


@pytest.mark.usefixtures("enclave")
def test_following_sees_an_enclave_end(parent: Parent) -> None:
    """So that systemd starts another one."""
    process = parent.typist.start(*parent.words("--follow"))
    wait_until(lambda: bool(parent.enclaves()), 60, "the enclave")
    assert process.stdout is not None
    assert process.stdout.readline()
    (parent.folder / "enclaves.json").write_text("[]")
    _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.TEMPORARY
    assert b"sealbatch ended" in said


def test_the_stand_in_says_what_the_client_knows() -> None:
    """Every error that the stand-in gives has a next step of its own."""
    assert nitro_cli.REASONS.keys() <= nitro._NEXT.keys()
