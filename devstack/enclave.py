"""The enclave as a process of this machine: the same server, with a software NSM and a unix socket.

This is the one place where the laptop's enclave differs from `enclave_worker.__main__`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devstack.files import write_private
from devstack.measure import MeasureError, measure
from devstack.nsm import SoftwareNsm
from enclave_worker import console
from enclave_worker.attestor import AttestorError
from enclave_worker.engine_process import EngineGone
from enclave_worker.manifest import ModelError, load_manifest
from enclave_worker.measured import measure_model
from enclave_worker.process import bound_heap, harden
from enclave_worker.process_engine import ProcessEngine
from enclave_worker.server import EnclaveServer
from enclave_worker.settings import Settings
from enclave_worker.template import load_template
from wire.address import Address
from wire.errors import StreamError
from wire.stream import listen

CHILD: Final = (sys.executable, "-m", "devstack.engine_child")
CANNOT_START: Final = 69
"""EX_UNAVAILABLE of sysexits.h, as in the real image."""


def main(command: Sequence[str] = CHILD) -> int:
    """Serve until SIGTERM; `NAME.json` in the development folder says where, once it does.

    `command` starts the engine process.
    """
    parser = argparse.ArgumentParser(prog="devstack.enclave", description=__doc__)
    parser.add_argument("--dev", type=Path, required=True, help="the development folder")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--socket", type=Path, required=True, help="the unix socket to make")
    parser.add_argument("--name", default="enclave", help="the name of the file that says where it listens")
    parser.add_argument("--engine-stall", type=float, default=120.0, help="see Settings")
    options = parser.parse_args()
    harden()
    bound_heap()
    console.claim()
    try:
        attestor = SoftwareNsm.load(options.dev, measure(options.model))
        measure_model(attestor, load_manifest(options.model, reads=lambda _: False).digest)
        settings = Settings(model=options.model, engine_stall=options.engine_stall)
        address = Address.parse(f"unix://{options.socket.resolve()}")
        with ProcessEngine(settings, command) as engine:
            template = load_template(options.model)
            server = EnclaveServer(listen(address), attestor, engine, template, settings, vitals=engine.vitals)
            write_private(options.dev / f"{options.name}.json", json.dumps({"address": str(address)}).encode())
            server.serve_until_told()
    except (AttestorError, EngineGone, MeasureError, ModelError, StreamError, ValueError) as error:
        console.say(f"the enclave cannot start: {error}")
        return CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
