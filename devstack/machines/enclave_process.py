"""The process that stands for one enclave of `nitro_cli`, as AWS's has one: machine and process end together."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from devstack.machines.qemu import Guest, Machine


def main() -> int:
    """PLACE DEVELOPMENT-FOLDER: boot what `PLACE/guest.json` says; the exit code is QEMU's."""
    place, development = map(Path, sys.argv[1:])
    told = json.loads((place / "guest.json").read_text())
    signal.signal(signal.SIGTERM, _end)
    machine = Machine(place)
    try:
        qemu = machine.boot(Guest(Path(told["image"]), told["memory_mib"], told["cpus"], told["cid"]), development)
        (place / "running").write_text(str(qemu.pid))
        return qemu.wait()
    finally:
        machine.stop()


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
