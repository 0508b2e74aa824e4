"""One piece of work on its way through the enclave: opened, generated, sealed."""

import logging
from collections.abc import Callable
from typing import Final, Protocol

from enclave_worker.assembly import Assembly
from enclave_worker.chunk import open_chunk
from enclave_worker.engine import Completion
from enclave_worker.keyring import Courier, CourierLost
from enclave_worker.refused import ChunkRefused
from enclave_worker.services import Services
from wire.messages import RefusalCode, Work

_log: Final = logging.getLogger("sealbatch.enclave_worker")


class Outlet(Protocol):
    """The connection that a piece of work came on."""

    def run(self, work: Callable[[], None]) -> None:
        """Have a worker of this connection do something."""
        ...

    def answer(self, ref: int, sealed: bytes) -> None:
        """End the work `ref` with its answer."""
        ...

    def refuse(self, ref: int, code: RefusalCode) -> None:
        """Give the work `ref` back."""
        ...


class Task:
    """The sink of one chunk's completions. Whatever goes wrong ends in one refusal of this chunk alone."""

    def __init__(self, ref: int, outlet: Outlet, services: Services, courier: Courier) -> None:
        self._ref = ref
        self._outlet = outlet
        self._services = services
        self._courier = courier
        self._assembly: Assembly | None = None

    def start(self, work: Work) -> None:
        """Open the chunk and hand its sequences to the engine. Runs on a worker."""
        self._guard(lambda: self._prepare(work))

    def complete(self, completion: Completion) -> None:
        """See `Sink.complete`."""
        assembly = self._assembly
        if assembly is not None and assembly.add(completion):
            self._outlet.run(lambda: self._guard(lambda: self._seal(assembly)))

    def fail(self) -> None:
        """See `Sink.fail`."""
        self._outlet.run(lambda: self._outlet.refuse(self._ref, RefusalCode.INTERNAL))

    def withdraw(self) -> None:
        """Nobody waits for this any more."""
        self._services.driver.withdraw(self)

    def _prepare(self, work: Work) -> None:
        services = self._services
        chunk = open_chunk(work, services.identity.image, services.keyring, self._courier)
        assembly = Assembly(chunk, [services.prompter.prepare(chunk, record) for record in chunk.records])
        self._assembly = assembly
        prompts = assembly.prompts()
        header = chunk.header
        _log.info("chunk opened job=%s chunk=%d first=%d n=%d", header.job, header.chunk, chunk.first, chunk.count)
        if prompts:
            services.driver.submit(prompts, self)
        else:
            self._seal(assembly)

    def _seal(self, assembly: Assembly) -> None:
        self._outlet.answer(self._ref, assembly.seal(self._services.identity, self._services.signer))

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ChunkRefused as error:
            self._outlet.refuse(self._ref, error.code)
        except CourierLost:
            _log.info("chunk dropped with its connection ref=%d", self._ref)
        except Exception as error:  # noqa: BLE001 - a bug costs one chunk; its text may quote content and stays here
            _log.error(
                "chunk failed ref=%d error=%s: a fault of sealbatch; given back as internal, nothing is lost",
                self._ref,
                type(error).__name__,
            )
            self._outlet.refuse(self._ref, RefusalCode.INTERNAL)
