"""`make eif-opinion QEMU=PROGRAM`: what QEMU's own `nitro-enclave` machine measures of an image, beside what we do.

That machine takes the file apart by itself, measures it, and boots it; the worker in it attests, and the registers in
its document are QEMU's. Its documents carry a dummy for a signature, so nothing but the measurement is learned of it.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from devstack.machines.debian import MissingPartError
from devstack.machines.hostile_parent import document_of, registers
from devstack.machines.qemu import Guest, Machine
from devstack.part import PartError
from devstack.stack import MODEL
from sealbatch.fleet.watch import greeting
from sealbatch.image.eif import EifError, read_image
from vsock_bridge.model_feed import FeedError, feed_model
from wire.address import PORT
from wire.errors import WireError
from wire.model_feed import PORT as MODEL_PORT

MACHINE: Final = "nitro-enclave"
MEMORY_MIB: Final = 2048
KEY: Final = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
"""No such key is asked for: the enclave is made to attest, and its document goes nowhere."""


def main() -> int:
    """Boot, and compare; exit code 1 if a register differs or something is missing."""
    parser = argparse.ArgumentParser(prog="devstack.machines.second_opinion", description=__doc__)
    parser.add_argument("image", type=Path, help="an image without a model, built with --emulated")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="a QEMU that has this machine")
    parser.add_argument("--patience", type=float, default=900.0, help="seconds that the boot may take")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machine is ended as after Ctrl-C
    try:
        qemu = able(options.qemu)
        with options.image.open("rb") as file:
            ours = read_image(file).pcrs
        # Sockets have short paths; TMPDIR may be long.
        with tempfile.TemporaryDirectory(prefix="sealbatch-vm-", dir="/tmp") as folder:
            theirs = _measured(qemu, options.image, Path(folder), options.patience)
    except (EifError, FeedError, MissingPartError, OSError, PartError, WireError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    same = [_compared(index, pcr, theirs.get(index)) for index, pcr in sorted(ours.items())]
    return 0 if all(same) else 1


def able(name: str) -> Path:
    """The program of that name, if its QEMU has the machine.

    Raises:
        MissingPartError: there is none, or it has not.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingPartError(f"{name} is not here; {_HOW}")
    done = subprocess.run([path, "-M", "help"], check=False, capture_output=True, text=True)
    if MACHINE not in {line.partition(" ")[0] for line in done.stdout.splitlines()}:
        raise MissingPartError(f"{path} has no machine `{MACHINE}`; {_HOW}")
    return Path(path)


_HOW: Final = (
    "name one with QEMU=PROGRAM: version 9.2 or newer, built with libcbor and gnutls (docs/explanation/enclave_vm.md)"
)


def _measured(qemu: Path, image: Path, place: Path, patience: float) -> dict[int, bytes]:
    """The registers in the document that the booted worker gets of QEMU's NSM."""
    machine = Machine(place)
    try:
        machine.boot_nitro(Guest(image, MEMORY_MIB, 1, 16), qemu)
        feed_model(machine.address(MODEL_PORT), MODEL, patience)
        machine.wait_until(lambda: greeting(machine.address(PORT)) is not None, patience, "the worker")
        return registers(document_of(machine.address(PORT), KEY))
    finally:
        machine.stop()


def _compared(index: int, ours: bytes, theirs: bytes | None) -> bool:
    same = ours == theirs
    print(f"PCR{index}  {ours.hex()}  {'QEMU agrees' if same else 'QEMU DIFFERS'}")  # noqa: T201
    if not same:
        print(f"{'':6}{'none' if theirs is None else theirs.hex()}")  # noqa: T201
    return same


if __name__ == "__main__":
    sys.exit(main())
