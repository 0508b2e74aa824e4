"""A parent instance whose enclaves are virtual machines: `sealbatch` with that `nitro-cli` on its path."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from devstack.machines.qemu import address_in
from devstack.part import Part
from wire.address import Address


class Parent:
    """What is typed on a parent; its files lie in `folder`, KMS and queue are those of a development folder."""

    def __init__(self, folder: Path, development: Path) -> None:
        self._folder = folder
        self._state = folder / "enclaves"
        self._config = development / "sealbatch.toml"
        program = folder / "bin" / "nitro-cli"
        program.parent.mkdir(parents=True)
        words = [
            sys.executable,
            "-m",
            "devstack.machines.nitro_cli",
            "--state",
            str(self._state),
            "--dev",
            str(development),
        ]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
        self._path = f"{program.parent}:{os.environ.get('PATH', os.defpath)}"

    def place(self, enclave: str) -> Path:
        """Where the files of an enclave lie: `running` holds QEMU's number, `console.log` what the guest printed."""
        return self._state / enclave

    def address(self, enclave: str, port: int) -> Address:
        """Where a port of an enclave is reached."""
        return address_in(self.place(enclave), port)

    def lives(self, enclave: str) -> bool:
        """Whether its machine runs."""
        return Path("/proc", (self.place(enclave) / "running").read_text(), "exe").exists()

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type `sealbatch` with these words."""
        environment = {**os.environ, "PATH": self._path}
        return subprocess.run(self._command(words), env=environment, check=False, capture_output=True, text=True)

    def start(self, name: str, *words: str) -> Part:
        """Start `sealbatch` with these words; what it says goes to the log of that name."""
        program, *arguments = self._command(words)
        return Part(name, arguments, self.log(name), program=program, environment={"PATH": self._path})

    def log(self, name: str) -> Path:
        """What a started command says."""
        return self._folder / f"{name}.log"

    def nitro(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type `nitro-cli`, as root on the parent may without asking `sealbatch`."""
        program = str(self._folder / "bin" / "nitro-cli")
        return subprocess.run([program, *words], check=False, capture_output=True, text=True)

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "sealbatch", "--config", str(self._config), *words]
