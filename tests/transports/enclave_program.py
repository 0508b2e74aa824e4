"""An enclave as a process of its own, to be killed in the middle of its work: ADDRESS ENDLESS."""

import sys
from pathlib import Path

from enclave_parent import TEMPLATE, EchoAttestor
from scripted_engine import ScriptedEngine

from enclave_worker.server import EnclaveServer
from enclave_worker.settings import Settings
from wire.address import Address
from wire.stream import listen

address, endless = sys.argv[1:]
engine = ScriptedEngine()
engine.endless = endless == "endless"
settings = Settings(model=Path())
listener = listen(Address.parse(address))
EnclaveServer(listener, EchoAttestor(), engine, TEMPLATE, settings, vitals=engine.vitals).serve_until_told()
