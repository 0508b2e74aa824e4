"""The composition root inside the enclave: the NSM device, a vsock listener, the model of the measured image."""

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from enclave_worker import console
from enclave_worker.attestor import AttestorError
from enclave_worker.engine_process import EngineGone
from enclave_worker.image import ImageError, load_settings
from enclave_worker.manifest import ModelError, load_manifest
from enclave_worker.measured import measure_model
from enclave_worker.model_receiver import ModelReceiver
from enclave_worker.nsm import NsmDevice
from enclave_worker.platform import PlatformError, check_platform
from enclave_worker.process import bound_heap, harden
from enclave_worker.process_engine import ProcessEngine
from enclave_worker.server import EnclaveServer
from enclave_worker.settings import Settings
from enclave_worker.template import load_template
from wire.address import PORT, Address
from wire.errors import StreamError
from wire.model_feed import PORT as MODEL_PORT
from wire.stream import listen

LISTEN: Final = Address(None, cid=0xFFFFFFFF, port=PORT)
"""Whatever CID the hypervisor gave this enclave (VMADDR_CID_ANY)."""
MODEL_LISTEN: Final = Address(None, cid=0xFFFFFFFF, port=MODEL_PORT)
SETTINGS: Final = Settings(model=Path("/model"))
CANNOT_START: Final = 69
"""EX_UNAVAILABLE of sysexits.h."""


def main() -> int:
    """Serve until told to stop; the exit code is 0 then, and 69 after one line when something needed is missing."""
    harden()
    bound_heap()
    console.claim()
    try:
        image = load_settings()
        check_platform(clocks=image.clocks)
        device = NsmDevice()
        if image.streamed:
            with closing(listen(MODEL_LISTEN)) as listener:
                ModelReceiver(SETTINGS.model, partial(measure_model, device)).serve(listener)
        else:
            measure_model(device, load_manifest(SETTINGS.model, reads=lambda _: False).digest)
        template = load_template(SETTINGS.model)
        with ProcessEngine(SETTINGS) as engine:
            server = EnclaveServer(listen(LISTEN), device, engine, template, SETTINGS, vitals=engine.vitals)
            server.serve_until_told()
    except (AttestorError, EngineGone, ImageError, ModelError, PlatformError, StreamError) as error:
        console.say(f"enclave_worker cannot start: {error}")
        return CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
