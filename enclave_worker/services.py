"""What all connections of one enclave share."""

from dataclasses import dataclass

from enclave_worker.driver import Driver
from enclave_worker.identity import Identity
from enclave_worker.keyring import Keyring
from enclave_worker.prompts import Prompter
from enclave_worker.receipts import ReceiptSigner
from enclave_worker.telemetry import Telemetry
from enclave_worker.window import Limits


@dataclass(frozen=True, slots=True)
class Services:
    """One of each for the whole enclave; `limits` is the window of each connection."""

    identity: Identity
    signer: ReceiptSigner
    keyring: Keyring
    prompter: Prompter
    driver: Driver
    telemetry: Telemetry
    limits: Limits
    unwrap_timeout: float
    """Seconds."""
