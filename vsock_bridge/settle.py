"""What is done with a piece when its enclave has answered, refused or vanished. Deleting the message comes last."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

from botocore.exceptions import BotoCoreError, ClientError

from vsock_bridge.backoff import Backoff
from vsock_bridge.breaker import CircuitBreaker
from vsock_bridge.chunk_queue import ChunkQueue
from vsock_bridge.held import Held, HeldRegistry, Piece
from vsock_bridge.metrics import Metrics
from vsock_bridge.reasons import REFUSALS, advice, reason
from vsock_bridge.store import Store
from wire.ledger import ChunkMessage
from wire.messages import RefusalCode

DELAYS = Backoff(2.0, 300.0)
"""Seconds before a chunk that was given back is received again."""
PERMANENT = frozenset({RefusalCode.MALFORMED, RefusalCode.UNSEAL_FAILED, RefusalCode.KEY_INVALID})
NO_KEY = frozenset({RefusalCode.KEY_DENIED, RefusalCode.WRONG_IMAGE, RefusalCode.KEY_UNAVAILABLE})
"""No other chunk would fare better now: a message has only so many receipts before the dead-letter queue."""
_NOTICES = {RefusalCode.KEY_UNAVAILABLE: "kms_unavailable"}

_log = logging.getLogger("sealbatch.vsock_bridge")


class Settler:
    """Takes what links tell and settles each piece once, on threads of its own."""

    def __init__(
        self,
        *,
        store: Store,
        queue: ChunkQueue,
        registry: HeldRegistry,
        breaker: CircuitBreaker,
        executor: Executor,
        question_key: str,
        stopping: threading.Event,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._queue = queue
        self._registry = registry
        self._breaker = breaker
        self._executor = executor
        self._question_key = question_key
        self._stopping = stopping
        self._metrics = metrics

    def answered(self, piece: Piece, sealed: bytes) -> None:
        """Store the answer; after the last piece's, delete the message."""
        self._breaker.succeed()
        self._registry.touch(piece.held)  # storing it has the full stall time
        self._settle(piece, lambda: self._finish(piece, sealed))

    def refused(self, piece: Piece, code: RefusalCode, image: str) -> None:
        """Do what the refusal's code asks for."""
        self._metrics.refusals.labels(str(code)).inc()
        self._settle(piece, lambda: self._refuse(piece, code, image))

    def progressed(self, piece: Piece) -> None:
        """The heartbeat goes on for this chunk."""
        self._registry.touch(piece.held)

    def lost(self, piece: Piece, *, sent: bool) -> None:
        """The enclave is gone: the chunk is for the next one, at once unless it may be what enclaves die of.

        An enclave did not end of a piece that was not `sent` to it as a whole.
        """
        held = piece.held
        _log.warning(
            "chunk lost with its enclave job=%s chunk=%d receives=%d: asked of another; one that comes back again and "
            "again is asked in ever smaller ranges",
            held.chunk.job,
            held.chunk.chunk,
            held.receives,
        )
        self._metrics.losses.inc()
        self._breaker.release()
        if self._stopping.is_set() or held.receives == 1:
            self._settle(piece, lambda: self._queue.give_back(held))
        elif piece.alone and sent:
            self._registry.died(piece)
        else:
            self._settle(piece, lambda: self.retry_later(held))

    def hand_back(self, held: Held) -> None:
        """No enclave took what is left of a chunk: it comes again at once, and the breaker learned nothing."""
        if self._registry.holds(held):
            self._breaker.release()
            self._queue.give_back(held)

    def give_up(self, piece: Piece) -> None:
        """Enclaves were lost with this record, alone, again and again: it ends in the bridge's word."""
        self._settle(piece, lambda: self._give_up(piece))

    def end(self, held: Held, code: str, ranges: list[tuple[int, int]]) -> None:
        """Say that the records in `ranges` will have no answer, and delete the message.

        Raises:
            ClientError, BotoCoreError: S3 or the network does not take it.
        """
        for first, count in ranges:
            self._store.put_failure(held.chunk, code, first, count)
            self._metrics.records.labels(code).inc(count)
        self._queue.delete(held)

    def retry_later(self, held: Held) -> None:
        """Give the message back for a while that grows with the times it was received, and is never the same."""
        self._metrics.retries.inc()
        self._queue.give_back(held, _delay(held))

    def _settle(self, piece: Piece, work: Callable[[], None]) -> None:
        """Do `work` on a thread of the executor; a fault in it costs the chunk a delay and is not passed over."""

        def done(future: Future[None]) -> None:
            if (fault := future.exception()) is not None:
                chunk = piece.held.chunk
                _log.critical(
                    "chunk not settled job=%s chunk=%d error=%s: a fault of sealbatch; the chunk comes again, nothing "
                    "is lost; please report it with `sealbatch support-bundle`",
                    chunk.job,
                    chunk.chunk,
                    type(fault).__name__,
                )
                self.retry_later(piece.held)

        self._executor.submit(work).add_done_callback(done)

    def _finish(self, piece: Piece, sealed: bytes) -> None:
        chunk = piece.held.chunk
        try:
            self._store.put_answer(chunk, sealed, piece.first, piece.count)
        except (ClientError, BotoCoreError) as error:
            self._metrics.faults.labels("s3").inc()
            _log.error(
                "answer not stored job=%s chunk=%d error=%s: given back, it is answered again; %s",
                chunk.job,
                chunk.chunk,
                reason(error),
                advice(error),
            )
            self.retry_later(piece.held)
            return
        self._metrics.records.labels("answered").inc(piece.count)
        _log.info("chunk answered job=%s chunk=%d first=%d n=%d", chunk.job, chunk.chunk, piece.first, piece.count)
        if self._registry.settle(piece):
            self._queue.delete(piece.held)

    def _refuse(self, piece: Piece, code: RefusalCode, image: str) -> None:
        held, chunk = piece.held, piece.held.chunk
        _log.warning("chunk refused job=%s chunk=%d code=%s: %s", chunk.job, chunk.chunk, code, REFUSALS[code])
        if code not in NO_KEY:
            self._breaker.release()
        try:
            if code in PERMANENT:
                if code == RefusalCode.KEY_INVALID:
                    self._store.put_notice(chunk, str(code), image, self._question_key)
                self._fail(piece, "decrypt_failed")
                return
            if code in NO_KEY:
                self._alarm(held, code, image)
                return
            if code == RefusalCode.INTERNAL and piece.alone:
                self._registry.died(piece)  # the enclave failed on it and said so instead of ending
                return
        except (ClientError, BotoCoreError) as error:
            self._note_failed(chunk, error)
        self.retry_later(held)

    def _give_up(self, piece: Piece) -> None:
        chunk = piece.held.chunk
        _log.error(
            "record given up job=%s chunk=%d record=%d: enclaves ended with it, alone, again and again; its reader "
            "gets enclave_lost for it and all others their answers",
            chunk.job,
            chunk.chunk,
            piece.first,
        )
        try:
            self._fail(piece, "enclave_lost")
        except (ClientError, BotoCoreError) as error:
            self._note_failed(chunk, error)
            self.retry_later(piece.held)

    def _fail(self, piece: Piece, code: str) -> None:
        self._store.put_failure(piece.held.chunk, code, piece.first, piece.count)
        self._metrics.records.labels(code).inc(piece.count)
        if self._registry.settle(piece):
            self._queue.delete(piece.held)

    def _note_failed(self, chunk: ChunkMessage, error: ClientError | BotoCoreError) -> None:
        self._metrics.faults.labels("s3").inc()
        _log.error(
            "note not stored job=%s chunk=%d error=%s: the chunk comes again; %s",
            chunk.job,
            chunk.chunk,
            reason(error),
            advice(error),
        )

    def _alarm(self, held: Held, code: RefusalCode, image: str) -> None:
        """Stop receiving, and say so where the operator and the submitter look."""
        pause = self._breaker.trip()
        if code == RefusalCode.KEY_DENIED:
            _log.critical(
                "KMS refused the enclave image=%s: the key policy of %s does not admit it; nothing is lost; "
                "receiving stopped, next try in %.0f s; run `sealbatch doctor --release FILE` as the producer",
                image,
                self._question_key,
                pause,
            )
        elif code == RefusalCode.KEY_UNAVAILABLE:
            _log.critical(
                "KMS gives no key for now: nothing is lost; receiving stopped, next try in %.0f s; the line before "
                "says why",
                pause,
            )
        else:
            _log.critical(
                "job=%s demands another image than image=%s: nothing is lost; receiving stopped, next try in %.0f s; "
                "start the image that the producer's `image` names",
                held.chunk.job,
                image,
                pause,
            )
        try:
            self._store.put_notice(held.chunk, _NOTICES.get(code, str(code)), image, self._question_key)
        finally:
            # A message has so many receipts before it goes to the dead-letter queue, and a policy takes time to mend.
            self._queue.give_back(held, max(int(pause), _delay(held)))


def _delay(held: Held) -> int:
    """Seconds that grow with the times the message was received, and are not the same for all."""
    return round(DELAYS.pause(held.receives))
