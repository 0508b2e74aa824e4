"""`nitro-cli` for virtual machines says what `sealbatch enclave` reads; and which QEMU gives a second opinion."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eif_samples import PARTS, build

from devstack.machines import nitro_cli
from devstack.machines.altered import change_image
from devstack.machines.debian import MissingPartError
from devstack.machines.second_opinion import able
from sealbatch.fleet import nitro
from sealbatch.image.eif import read_image

SLEEP = "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'running').touch(); time.sleep(600)"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that stand for machines and are none."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(place: Path, _: Path) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([sys.executable, "-S", "-c", SLEEP, str(place)]))
        return processes[-1]

    monkeypatch.setattr(nitro_cli, "_start", start)
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`sealbatch.fleet.nitro` types the stand-in, in this process."""

    def call(words: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        monkeypatch.setattr(sys, "argv", [words[0], "--state", str(tmp_path), "--dev", str(tmp_path), *words[1:]])
        code = nitro_cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out.encode(), said.err.encode())

    monkeypatch.setattr(nitro.subprocess, "run", call)


@pytest.mark.usefixtures("program")
def test_enclaves_are_started_listed_and_ended(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """One whose process ended is not listed, whatever its folder says."""
    eif = tmp_path / "x.eif"
    eif.write_bytes(build(PARTS))
    order = nitro.Order(eif, "one", 64, 1, 17)
    enclave = nitro.run(order)
    with eif.open("rb") as file:
        assert enclave.pcr0 == read_image(file).pcrs[0].hex()
    assert (enclave.name, enclave.cid, enclave.cpus, enclave.memory_mib) == ("one", 17, 1, 64)
    with pytest.raises(nitro.NitroError, match="one is running already"):
        nitro.run(order)
    assert json.loads((tmp_path / "one" / "guest.json").read_text())["image"] == str(eif)
    started[0].kill()
    started[0].wait()
    assert nitro.describe() == []
    nitro.run(order)
    [again] = nitro.describe()
    assert again.identity != enclave.identity
    nitro.terminate(enclave.identity)
    assert nitro.describe() == [again]
    nitro.terminate(again.identity)
    assert nitro.describe() == []


@pytest.mark.usefixtures("program")
def test_an_image_that_cannot_be_booted_is_refused(tmp_path: Path) -> None:
    """As nitro-cli does: too little memory, or no image."""
    eif = tmp_path / "x.eif"
    eif.write_bytes(build(((1, bytes(20 * 2**20)), *PARTS[1:])))
    with pytest.raises(nitro.NitroError, match=r"E26: .* should be 84 MB"):
        nitro.run(nitro.Order(eif, "one", 64, 1, None))
    eif.write_bytes(b"no image")
    with pytest.raises(nitro.NitroError, match="E36: Enclave boot failure"):
        nitro.run(nitro.Order(eif, "one", 64, 1, None))


def test_one_byte_is_changed_and_the_file_is_an_image_still(tmp_path: Path) -> None:
    """Of what boots, so PCR0 and PCR1 are others and PCR2 is the same."""
    eif, changed = tmp_path / "x.eif", tmp_path / "y.eif"
    eif.write_bytes(build(PARTS))
    change_image(eif, changed)
    before, after = eif.read_bytes(), changed.read_bytes()
    assert len(before) == len(after)
    with eif.open("rb") as one, changed.open("rb") as other:
        pcrs, others = read_image(one).pcrs, read_image(other).pcrs
    assert [pcrs[index] == others[index] for index in (0, 1, 2)] == [False, False, True]


def test_a_qemu_without_the_machine_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The usual case: no Debian package of QEMU is built with libcbor."""
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\necho 'Supported machines are:'\necho 'q35  Standard PC'\n")
    qemu.chmod(0o755)
    with pytest.raises(MissingPartError, match=r"has no machine `nitro-enclave`; name one with QEMU=PROGRAM"):
        able(str(qemu))
    qemu.write_text("#!/bin/sh\necho 'nitro-enclave  AWS Nitro Enclave'\n")
    assert able(str(qemu)) == qemu
    with pytest.raises(MissingPartError, match="none is not here"):
        able("none")
