"""Named failpoints, from outside: runs a program that dies at a step.

`python -m crashing POINT HOW WORK MODULE:FUNCTION ARGUMENTS...`

The product holds no hook. A point is a method of it, and a side: the wrapper that this program puts around the method
ends the process before or after its first call, or holds it there for the test to kill. `HOW` is `exit` (`os._exit`) or
`hold`; in the latter case the file `WORK` is made when the point is reached. With `exit` the file is made too: a second
run of the same command, as a supervisor would start it, goes through.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CRASHED: Final = 86
"""Exit code of a process that ended at its point."""

POINTS: Final = {
    # The producer, from the first sealed chunk to the last message.
    "submit.sealed": ("producer.submit:_upload", "before"),
    "submit.chunk_put": ("producer.upload:Upload._put_chunk", "after"),
    "submit.pages_put": ("producer.publish:manifest.encode_manifest", "before"),
    "submit.manifest_put": ("producer.upload:publish", "after"),
    "submit.key_claimed": ("producer.lookup:Lookup.claim", "after"),
    "submit.batch_sent": ("producer.send:Sender._send_batch", "after"),
    "submit.all_sent": ("producer.lookup:Lookup.mark_sent", "before"),
    # The bridge, from receipt to deletion.
    "bridge.received": ("vsock_bridge.chunk_queue:ChunkQueue.receive", "after"),
    "bridge.questions_read": ("vsock_bridge.store:Store.questions", "after"),
    "bridge.work_sent": ("vsock_bridge.link:Link.send", "after"),
    "bridge.unwrap_carried": ("vsock_bridge.courier:Courier.unwrap", "after"),
    "bridge.answer_received": ("vsock_bridge.settle:Settler.answered", "before"),
    "bridge.answer_put": ("vsock_bridge.store:Store.put_answer", "after"),
    "bridge.deleted": ("vsock_bridge.chunk_queue:ChunkQueue.delete", "after"),
    # The enclave, from work to answer.
    "enclave.work_taken": ("enclave_worker.connection:Connection._take_work", "before"),
    "enclave.key_unwrapped": ("enclave_worker.keyring:Keyring._unwrap", "after"),
    "enclave.chunk_opened": ("enclave_worker.task:open_chunk", "after"),
    "enclave.stepped": ("enclave_worker.driver:Driver._iterate", "after"),
    "enclave.sealed": ("enclave_worker.assembly:Assembly.seal", "after"),
    "enclave.answer_sent": ("enclave_worker.connection:Connection.answer", "after"),
    # The engine process.
    "engine.loaded": ("enclave_worker.engine_child:encode_greeting", "before"),
    "engine.step_taken": ("enclave_worker.engine_child:_step", "before"),
    "engine.stepped": ("enclave_worker.engine_child:_step", "after"),
    # The reader, from the manifest to the file's name.
    "fetch.job_opened": ("results_consumer.fetch:open_job", "after"),
    "fetch.keys_unwrapped": ("results_consumer.fetch:unwrap_keys", "after"),
    "fetch.line_written": ("results_consumer.sink:FileSink.write", "after"),
    "fetch.file_named": ("results_consumer.sink:FileSink.commit", "after"),
}


def arm(point: str, how: str, work: Path) -> None:
    """Put the wrapper of `point` around its method, unless the point was reached in an earlier run."""
    if work.exists():
        return
    where, side = POINTS[point]
    module_name, _, path = where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    def reached() -> None:
        work.touch()
        if how == "exit":
            os._exit(CRASHED)
        while True:
            signal.pause()

    setattr(owner, name, _wrapped(original, side, reached))


def _wrapped(original: Callable[..., Any], side: str, reached: Callable[[], None]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if side == "before":
            reached()
        result = original(*arguments, **named)
        # An empty poll is no receipt, and a chunk that had no room was not sent.
        if result or result is None:
            reached()
        return result

    return call


if __name__ == "__main__":
    point, how, work, program, *arguments = sys.argv[1:]
    arm(point, how, Path(work))
    sys.argv = [program, *arguments]
    module, _, function = program.partition(":")
    sys.exit(getattr(importlib.import_module(module), function)())
