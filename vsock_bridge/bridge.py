"""The bridge: receives no more than the enclaves have room for, and keeps what it holds until it is settled."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import BotoCoreError, ClientError

from vsock_bridge.breaker import CircuitBreaker
from vsock_bridge.chunk_queue import ChunkQueue
from vsock_bridge.clients import Clients
from vsock_bridge.courier import Courier
from vsock_bridge.enclaves import READY, EnclaveCollector
from vsock_bridge.heartbeat import Heartbeat
from vsock_bridge.held import Held, HeldRegistry, Piece
from vsock_bridge.link import Link
from vsock_bridge.metrics import Metrics
from vsock_bridge.plan import ALONE, REST, joined, ranges, unanswered
from vsock_bridge.pool import Pool
from vsock_bridge.reasons import advice, reason
from vsock_bridge.settings import HOLD, BridgeSettings
from vsock_bridge.settle import Settler
from vsock_bridge.store import ChunkMissingError, Store
from vsock_bridge.trials import IDLE, Trials
from wire.address import Address
from wire.ledger import Mark

QUEUE_PAUSE = 5.0
"""Seconds of rest after the queue did not answer; botocore has retried before."""

_log = logging.getLogger("sealbatch.vsock_bridge")


class Bridge:
    """One bridge over its pool of enclaves."""

    def __init__(self, settings: BridgeSettings, clients: Clients) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._registry = HeldRegistry()
        self.metrics = Metrics()
        self._store = Store(clients.s3, settings.bucket)
        self._queue = ChunkQueue(
            clients.sqs,
            settings.queue_url,
            self._registry,
            self.metrics,
            visibility=settings.visibility,
            wait=settings.wait,
            dead_letters=settings.dead_letters,
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
            metrics=self.metrics,
        )
        self._courier = Courier(clients.kms, settings.question_key, self.metrics)
        self._pool = Pool(settings.enclaves, self._link)
        self._trials = Trials(
            pool=self._pool,
            registry=self._registry,
            settler=self._settler,
            stopping=self._stop,
            metrics=self.metrics,
            patience=settings.stall,
        )
        self._heartbeat = Heartbeat(self._queue, self._registry, settings, self._pool.eject)
        self.metrics.watch("in_flight", "Messages held", lambda: len(self._registry))
        self.metrics.watch("credits", "Pieces that the enclaves have room for", self._pool.room)
        self.metrics.watch("enclaves", "Enclaves connected", lambda: float(self._pool.connected))
        self.metrics.watch("receiving_stopped", "1 while KMS gives no key", lambda: float(self._breaker.is_open))
        self.metrics.registry.register(EnclaveCollector(self._pool.states))

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

    def health(self) -> tuple[bool, dict[str, object]]:
        """Whether the receiving loop turns and an enclave is ready; each enclave's state, and the loop's age."""
        states, age = {address: state.said for address, state in self._pool.states().items()}, self.metrics.loop_age
        well = READY in states.values() and age < self._settings.stall
        return well, {"enclaves": states, "loop_age": round(age, 1)}

    def _turn(self) -> None:
        self.metrics.turned()
        window = self._pool.window()
        free = window - self._registry.wait_below(window, IDLE)
        wanted = self._breaker.permits(free)
        if wanted < 1:
            self._stop.wait(IDLE)
            return
        try:
            received = self._queue.receive(wanted)
        except (ClientError, BotoCoreError) as error:
            _log.error("queue not read error=%s: asked again in %.0f s; %s", reason(error), QUEUE_PAUSE, advice(error))
            self.metrics.faults.labels("sqs").inc()
            self._breaker.release()
            self._stop.wait(QUEUE_PAUSE)
            return
        if not received:
            self._breaker.release()
        for held in received:
            self._forward(held)

    def _forward(self, held: Held) -> None:
        """See a chunk on its way: to an enclave, to its end, or back into the queue."""
        chunk = held.chunk
        try:
            pieces = self._pieces(held)
            sealed = self._store.questions(chunk) if pieces else b""
        except ChunkMissingError:
            _log.error(
                "questions missing job=%s chunk=%d: not in the bucket as the message names them, so looked for again "
                "and at last given up as decrypt_failed; see whether objects were removed or `bucket` is another's",
                chunk.job,
                chunk.chunk,
            )
            self._without_questions(held)
        except (ClientError, BotoCoreError) as error:
            _log.error(
                "chunk not prepared job=%s chunk=%d error=%s: given back, it comes again; %s",
                chunk.job,
                chunk.chunk,
                reason(error),
                advice(error),
            )
            self.metrics.faults.labels("s3").inc()
            self._breaker.release()
            self._settler.retry_later(held)
        else:
            if not pieces:
                self._breaker.release()
                return
            for piece in pieces:
                if not (self._trials.ask if piece.alone else self._send)(piece, sealed):
                    return

    def _pieces(self, held: Held) -> list[Piece]:
        """What is to be asked of an enclave; nothing, and the message is settled, if the chunk has no need or no time.

        Raises:
            ClientError, BotoCoreError: S3 or the network does not answer.
        """
        chunk, now = held.chunk, time.time_ns() // 1_000_000
        if chunk.not_before_ms is not None and now < chunk.not_before_ms:
            self._queue.give_back(held, min(HOLD, -(-(chunk.not_before_ms - now) // 1000)))
            return []
        if chunk.deadline_ms is not None and now >= chunk.deadline_ms:
            # The reader knows the deadline from the manifest and needs no word of ours.
            _log.info("chunk expired job=%s chunk=%d: its deadline came before its turn", chunk.job, chunk.chunk)
            self.metrics.records.labels("expired").inc(chunk.count)
            self._queue.delete(held)
            return []
        mark = self._store.mark(chunk)
        if mark is not None:
            _log.info("chunk dropped job=%s chunk=%d reason=%s", chunk.job, chunk.chunk, mark)
            left = joined(unanswered(chunk, self._store.answers(chunk))) if mark is Mark.CANCELED else []
            self._settler.end(held, str(mark), left)
            return []
        there = self._store.answers(chunk) if held.receives >= REST else []
        pieces = self._registry.split(held, ranges(chunk, held.receives, there), alone=held.receives >= ALONE)
        if not pieces:
            self._queue.delete(held)
        return pieces

    def _send(self, piece: Piece, sealed: bytes) -> bool:
        """Hand a piece to an enclave; wait while windows are full. False if the chunk went back, or is not ours now."""
        while not self._stop.is_set() and self._pool.window() > 0 and self._registry.holds(piece.held):
            if self._pool.send(piece, sealed):
                return True
            self._registry.wait_change(IDLE)
        self._settler.hand_back(piece.held)
        return False

    def _without_questions(self, held: Held) -> None:
        """S3 shows what was written at once: questions that are not there again and again will not be there."""
        self._breaker.release()
        if held.receives < REST:
            self._settler.retry_later(held)
            return
        try:
            left = joined(unanswered(held.chunk, self._store.answers(held.chunk)))
            self._settler.end(held, "decrypt_failed", left)
        except (ClientError, BotoCoreError):
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
