"""Lone trials for which there is no enclave."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from vsock_bridge.breaker import CircuitBreaker
from vsock_bridge.held import Held, HeldRegistry
from vsock_bridge.metrics import Metrics
from vsock_bridge.settle import Settler
from vsock_bridge.trials import Trials
from wire.ledger import ChunkMessage


def test_a_record_that_no_idle_enclave_takes_does_not_keep_the_breaker_from_trying_again() -> None:
    """It was the breaker's one trial; nothing was received any more once its message had gone back."""
    registry, stopping, metrics = HeldRegistry(), threading.Event(), Metrics()
    time = [0.0]
    breaker = CircuitBreaker(1.0, 1.0, lambda: time[0])
    held = Held("id", "receipt", 9, ChunkMessage("a", "a" * 16, 0, 0, 1, bytes(32), 1, None), 0.0, 0.0)
    registry.add(held)
    [piece] = registry.split(held, [(0, 1)], alone=True)
    back: list[Held] = []
    queue: Any = SimpleNamespace(give_back=back.append)
    pool: Any = SimpleNamespace(send=lambda *_: False)
    store: Any = None
    with ThreadPoolExecutor(1) as executor:
        settler = Settler(
            store=store,
            queue=queue,
            registry=registry,
            breaker=breaker,
            executor=executor,
            question_key="key",
            stopping=stopping,
            metrics=metrics,
        )
        trials = Trials(pool=pool, registry=registry, settler=settler, stopping=stopping, metrics=metrics, patience=0.0)
        breaker.trip()
        time[0] = 2.0
        assert breaker.permits(1) == 1
        assert not trials.ask(piece, b"sealed")
    assert back == [held]
    assert breaker.permits(1) == 1
