"""Accepts bridges and puts the parts of the enclave together."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from enclave_worker.attestor import Attestor, own_image
from enclave_worker.connection import Connection
from enclave_worker.driver import Driver
from enclave_worker.engine import Engine
from enclave_worker.identity import Identity, settings_digest
from enclave_worker.keyring import Keyring
from enclave_worker.prompts import Prompter
from enclave_worker.receipts import ReceiptSigner
from enclave_worker.services import Services
from enclave_worker.settings import Settings
from enclave_worker.telemetry import Telemetry
from enclave_worker.template import Template
from enclave_worker.vitals import Vitals
from enclave_worker.window import Limits
from wire.errors import StreamClosed
from wire.stream import Listener, Stream

POLL: Final = 0.2
"""Seconds after which a request to stop is seen."""

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class EnclaveServer:
    """Serves bridges on one listener until it is stopped."""

    def __init__(
        self,
        listener: Listener,
        attestor: Attestor,
        engine: Engine,
        template: Template,
        settings: Settings,
        *,
        vitals: Callable[[], Vitals],
    ) -> None:
        """Make everything ready to serve; `vitals` tells how the enclave's processes are.

        Raises:
            AttestorError: there is no PCR0 or no document, or PCR0 says debug mode.
            ValueError: the engine has no room for one sequence of its own context length.
        """
        if engine.room().positions < engine.context_length:
            raise ValueError("the budget of positions is below the model's context length")
        self._listener = listener
        self._settings = settings
        self._driver = Driver(engine, deduplicate=settings.deduplicate, single_tenant=settings.single_tenant)
        identity = Identity(
            image=own_image(attestor, debug_allowed=settings.debug_allowed),
            model_name=engine.model_name,
            model=engine.model_digest,
            template=template.digest,
            settings=settings_digest(
                {
                    "context_length": engine.context_length,
                    "default_max_tokens": settings.default_max_tokens,
                    "precision": settings.precision,
                }
            ),
        )
        self._services = Services(
            identity=identity,
            signer=ReceiptSigner(attestor, identity),
            keyring=Keyring(attestor, settings.cached_keys),
            prompter=Prompter(engine, template, settings.default_max_tokens),
            driver=self._driver,
            telemetry=Telemetry(self._driver, vitals, batch=engine.room().sequences, interval=settings.report_interval),
            limits=Limits(settings.window_chunks, settings.window_bytes),
            unwrap_timeout=settings.unwrap_timeout,
        )
        self._served: dict[Connection, threading.Thread] = {}
        self._accepted = 0
        self._stopping = False

    def serve_until_told(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what was accepted. Called by a process's main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        self.serve_forever()

    def serve_forever(self) -> None:
        """Serve until `stop`, then finish accepted work within the grace of the settings."""
        self._driver.start()
        identity = self._services.identity
        _log.info("enclave ready image=%s model=%s", identity.image[:16], identity.model.hex()[:16])
        try:
            while not self._stopping:
                self._accept()
        finally:
            self._shut_down()

    def stop(self) -> None:
        """Ask `serve_forever` to end. Takes no lock: a signal handler may call it."""
        self._stopping = True

    def _accept(self) -> None:
        try:
            stream = self._listener.accept(POLL)
        except StreamClosed:
            self._stopping = True
            return
        self._served = {connection: thread for connection, thread in self._served.items() if thread.is_alive()}
        if stream is None:
            return
        if len(self._served) >= self._settings.max_connections:
            _log.warning(
                "connection refused n=%d: there are as many as settings allow; more than one bridge calls",
                len(self._served),
            )
            stream.close()
            return
        self._serve(stream)

    def _serve(self, stream: Stream) -> None:
        self._accepted += 1
        connection = Connection(self._accepted, stream, self._services)
        thread = threading.Thread(target=connection.serve, name=f"connection-{self._accepted}", daemon=True)
        self._served[connection] = thread
        thread.start()
        _log.info("connection accepted connection=%d", self._accepted)

    def _shut_down(self) -> None:
        self._listener.close()
        deadline = time.monotonic() + self._settings.grace
        for connection in self._served:
            connection.drain()
        for connection in self._served:
            connection.finish(max(0.0, deadline - time.monotonic()))
        for thread in self._served.values():
            thread.join()
        self._driver.stop()
        _log.info("enclave stopped")
