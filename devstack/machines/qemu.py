"""A virtual machine that boots an enclave image: QEMU without KVM, an NSM, and vsock to this host as a unix socket.

In `boot` kernel, ramdisks and command line are those of the image, and the NSM is our software one behind the guest's
own `nsm.ko` (`vhost_nsm`). In `boot_nitro` QEMU's own `nitro-enclave` machine takes the image apart and measures it.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.machines.debian import Wanted, ensure
from devstack.part import Part, wait_until
from sealbatch.image.eif import SectionKind, read_image
from wire.address import Address

SUITE: Final = "sid"
PINS: Final = Path(__file__).with_name("qemu.json")
"""QEMU, vhost-device-vsock and their libraries: the versions that were tried, each with its file's SHA-256."""
PATIENCE: Final = 60.0
"""Seconds that NSM and vsock may take to listen."""
GRACE: Final = 2.0
CONSOLE: Final = "console.log"


@dataclass(frozen=True, slots=True)
class Guest:
    """What is booted, with how much memory and how many CPUs."""

    image: Path
    memory_mib: int
    cpus: int
    cid: int


class Machine:
    """One virtual machine, its files in `place`; whoever makes it calls `stop`."""

    def __init__(self, place: Path) -> None:
        """Make ready.

        Raises:
            MissingPartError: the programs cannot be had.
        """
        self._place = place
        self._programs = programs()
        self._parts: list[Part] = []

    def boot(self, guest: Guest, development: Path) -> Part:
        """Boot with an NSM under the root of a development folder; the process that is the machine.

        Raises:
            EifError: the image is malformed. PartError: NSM or vsock did not start.
        """
        line = self._take_apart(guest.image)
        nsm = self._place / "n"
        words = ("-m", "devstack.machines.vhost_nsm", str(nsm), str(guest.image), str(development))
        self._run("nsm", sys.executable, *words)
        self._vsock(guest)
        self.wait_until(nsm.exists, PATIENCE, "the NSM")
        memory = f"memory-backend-memfd,id=memory,size={guest.memory_mib}M,share=on"
        return self._unpacked(
            "machine",
            "qemu-system-x86_64",
            *("-M", "q35,memory-backend=memory", "-object", memory, *self._usual(guest)),
            *("-chardev", f"socket,id=nsm,path={nsm}"),
            *("-device", "vhost-user-test-device-pci,chardev=nsm,virtio-id=33,num_vqs=1,config_size=0"),
            *("-device", "vhost-user-vsock-pci,chardev=vsock"),
            *("-kernel", str(self._place / "kernel"), "-initrd", str(self._place / "ramdisk"), "-append", line),
        )

    def boot_nitro(self, guest: Guest, qemu: Path) -> Part:
        """Boot in the `nitro-enclave` machine of another QEMU, whose NSM signs its documents with a dummy.

        Raises:
            As `boot`.
        """
        self._vsock(guest)
        # Debian's kernel finds virtio's devices by ACPI; AWS's machine has none and names them on the command line.
        # The time stamp counter is the only clock of this machine. On a busy host its rate cannot be measured, and the
        # kernel would wait for ever. QEMU appends this to the image's own line; what it measures is the file's.
        rate = f"tsc_early_khz={_tsc_khz()} tsc=reliable"
        words = ("-M", "nitro-enclave,vsock=vsock,acpi=on", "-kernel", str(guest.image), "-append", rate)
        return self._run("machine", str(qemu), *words, *self._usual(guest))

    def address(self, port: int) -> Address:
        """Where a port of the guest is reached."""
        return address_in(self._place, port)

    def wait_until(self, there: Callable[[], object], patience: float, what: str) -> None:
        """Wait for it while all of the machine runs.

        Raises:
            PartError: something does not, or it takes longer than `patience` seconds.
        """
        wait_until(there, patience, what, *self._parts)

    def stop(self) -> None:
        """End it at once, as a hypervisor ends an enclave."""
        for part in reversed(self._parts):
            part.stop(GRACE)

    def _usual(self, guest: Guest) -> Sequence[str]:
        data = [str(self._programs / "usr" / "share" / name) for name in ("qemu", "seabios")]
        return (
            *("-L", data[0], "-L", data[1], "-accel", "tcg", "-cpu", "max", "-smp", str(guest.cpus)),
            *("-m", f"{guest.memory_mib}M", "-no-reboot", "-nic", "none"),
            # Not -nographic, by which the firmware writes its control characters onto the console.
            *("-display", "none", "-vga", "none", "-serial", "stdio", "-monitor", "none"),
            *("-chardev", f"socket,id=vsock,path={self._place}/v"),
        )

    def _take_apart(self, image: Path) -> str:
        """Lay kernel and ramdisks where QEMU takes them; the command line."""
        with image.open("rb") as file:
            parts: dict[SectionKind, bytes] = {}
            for section in read_image(file).sections:
                file.seek(section.offset)
                parts[section.kind] = parts.get(section.kind, b"") + file.read(section.size)
        (self._place / "kernel").write_bytes(parts[SectionKind.KERNEL])
        (self._place / "ramdisk").write_bytes(parts[SectionKind.RAMDISK])
        return parts[SectionKind.COMMAND_LINE].decode().rstrip("\0\n")

    def _vsock(self, guest: Guest) -> None:
        place = self._place
        self._unpacked(
            "vsock", "vhost-device-vsock", "--vm", f"guest-cid={guest.cid},socket={place}/v,uds-path={place}/u"
        )
        self.wait_until((place / "v").exists, PATIENCE, "vsock")

    def _run(self, name: str, program: str, *arguments: str) -> Part:
        log = CONSOLE if name == "machine" else f"{name}.log"
        part = Part(name, arguments, self._place / log, program=program)
        self._parts.append(part)
        return part

    def _unpacked(self, name: str, program: str, *arguments: str) -> Part:
        """A program of another Debian, under the C library that came with it."""
        libraries = self._programs / "usr" / "lib" / "x86_64-linux-gnu"
        start = ["--library-path", str(libraries), str(self._programs / "usr" / "bin" / program)]
        return self._run(name, str(libraries / "ld-linux-x86-64.so.2"), *start, *arguments)


def _tsc_khz() -> int:
    """How fast this host's time stamp counter runs, nearly; that of a machine without KVM is the same one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return int(next(float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")) * 1000)


def programs() -> Path:
    """The folder with QEMU and vhost-device-vsock, which are fetched if they are not here yet.

    Raises:
        MissingPartError: they cannot be had.
    """
    pins = json.loads(PINS.read_text())
    return ensure("qemu", [Wanted(name, tried) for name, tried in pins.items()], SUITE)


def address_in(place: Path, port: int) -> Address:
    """Where a port of the guest whose files lie in `place` is reached."""
    return Address(f"{place}/u", 0, port)
