"""The bridge: receives no more than the enclaves have room for, and keeps what it holds until it is settled."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from vsock_bridge.breaker import CircuitBreaker
from vsock_bridge.chunk_queue import ChunkQueue, SqsClient
from vsock_bridge.courier import Courier, KmsClient
from vsock_bridge.heartbeat import Heartbeat
from vsock_bridge.held import Held, HeldRegistry
from vsock_bridge.link import Link
from vsock_bridge.pool import Pool
from vsock_bridge.reasons import reason
from vsock_bridge.settings import BridgeSettings
from vsock_bridge.settle import Settler
from vsock_bridge.store import ChunkMissingError, S3Client, Store
from wire.stream import Address

IDLE = 0.5
"""Seconds between looks at what changes without a signal: the breaker, a connection."""
QUEUE_PAUSE = 5.0
"""Seconds of rest after the queue did not answer; botocore has retried before."""

_log = logging.getLogger("sealbatch.vsock_bridge")


@dataclass(frozen=True, slots=True)
class Clients:
    """boto3 clients with the bridge's own role."""

    kms: KmsClient
    s3: S3Client
    sqs: SqsClient


class Bridge:
    """One bridge over its pool of enclaves."""

    def __init__(self, settings: BridgeSettings, clients: Clients) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._registry = HeldRegistry()
        self._store = Store(clients.s3, settings.bucket)
        self._queue = ChunkQueue(
            clients.sqs, settings.queue_url, self._registry, visibility=settings.visibility, wait=settings.wait
        )
        self._breaker = CircuitBreaker(settings.breaker_first, settings.breaker_longest)
        self._settlers = ThreadPoolExecutor(8, thread_name_prefix="settle")
        self._couriers = ThreadPoolExecutor(4, thread_name_prefix="courier")
        self._settler = Settler(
            store=self._store,
            queue=self._queue,
            registry=self._registry,
            breaker=self._breaker,
            executor=self._settlers,
            question_key=settings.question_key,
            stopping=self._stop,
        )
        self._courier = Courier(clients.kms, settings.question_key)
        self._pool = Pool(settings.enclaves, self._link)
        self._heartbeat = Heartbeat(self._queue, self._registry, settings, self._pool.eject)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Carry chunks until `stop`; `ready` is called once the first enclave is connected."""
        self._pool.start()
        self._heartbeat.start()
        try:
            while not self._stop.is_set():
                if self._pool.wait_ready(IDLE):
                    ready()
                    break
            while not self._stop.is_set():
                self._turn()
        finally:
            self._drain()

    def stop(self) -> None:
        """Begin to stop; a running long poll is waited for. Called a second time, running chunks are not waited for."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _link(self, address: Address) -> Link:
        return Link(address, self._settler, self._courier.unwrap, self._couriers)

    def _turn(self) -> None:
        window = self._pool.window()
        free = window - self._registry.wait_below(window, IDLE)
        wanted = self._breaker.permits(free)
        if wanted < 1:
            self._stop.wait(IDLE)
            return
        try:
            received = self._queue.receive(wanted)
        except (ClientError, BotoCoreError) as error:
            _log.error("queue not read error=%s", reason(error))
            self._breaker.release()
            self._stop.wait(QUEUE_PAUSE)
            return
        if not received:
            self._breaker.release()
        for held in received:
            self._forward(held)

    def _forward(self, held: Held) -> None:
        """Hand one chunk to an enclave; wait while windows in bytes are full, give it back when stopping."""
        chunk = held.chunk
        try:
            sealed = self._store.questions(chunk)
        except ChunkMissingError:
            _log.error("questions missing job=%s chunk=%d", chunk.job, chunk.chunk)
        except (ClientError, BotoCoreError) as error:
            _log.error("questions not read job=%s chunk=%d error=%s", chunk.job, chunk.chunk, reason(error))
        else:
            while not self._stop.is_set() and self._pool.window() > 0:
                if self._pool.send(held, sealed):
                    return
                self._registry.wait_below(len(self._registry), IDLE)
            self._breaker.release()
            self._queue.give_back(held)
            return
        self._breaker.release()
        self._settler.retry_later(held)

    def _drain(self) -> None:
        """Give running chunks their grace, then end in the order that loses nothing."""
        deadline = self._registry.clock() + self._settings.grace
        while len(self._registry) and not self._hurry.is_set() and self._registry.clock() < deadline:
            self._registry.wait_below(1, IDLE)
        self._pool.stop()  # what is outstanding is given back as lost
        self._settlers.shutdown()
        self._heartbeat.stop()  # until here, so that nothing becomes visible while it is being settled
        self._couriers.shutdown(cancel_futures=True)
        for held in self._registry.all():
            self._queue.give_back(held)
        _log.info("bridge stopped")
