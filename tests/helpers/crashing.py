"""Named failpoints, from outside: runs a program that dies at a step.

`python -m crashing PART ARMED MODULE:FUNCTION ARGUMENTS...`

The product holds no hook. A point is a method of it, and a side: this program puts a wrapper around the method of each
point of PART, which ends the process before or after a call, or holds it there for the test to kill. Which point does
so says the file ARMED, in JSON, at the time of the call: `point`, `how` (`exit` for `os._exit`, or `hold`), and `work`,
a file that is made when the point is reached. Once it is there the point does nothing more: another run of the same
command, as a supervisor would start it, goes through.
"""

import importlib
import json
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
    "submit.sealed": ("producer.submit:_Way.upload", "before"),
    "submit.chunk_put": ("producer.upload:Upload._put_chunk", "after"),
    "submit.pages_put": ("producer.publish:manifest.encode_manifest", "before"),
    "submit.manifest_put": ("producer.upload:put_manifest", "after"),
    "submit.key_claimed": ("producer.lookup:Lookup.claim", "after"),
    "submit.batch_sent": ("producer.send:_send_batch", "after"),
    "submit.all_sent": ("producer.lookup:Lookup.mark_sent", "before"),
    # The bridge, from receipt to deletion.
    "bridge.received": ("vsock_bridge.chunk_queue:ChunkQueue.receive", "after"),
    "bridge.questions_read": ("vsock_bridge.store:Store.questions", "after"),
    "bridge.work_sent": ("vsock_bridge.link:Link._hand_over", "after"),
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
    "fetch.keys_unwrapped": ("results_consumer.reveal:unwrap_keys", "after"),
    "fetch.line_written": ("results_consumer.sink:FileSink.write", "after"),
    "fetch.file_named": ("results_consumer.sink:FileSink.commit", "after"),
    # The reader that follows a job, chunk by chunk.
    "follow.chunk_written": ("results_consumer.growing_file:GrowingFile.append", "after"),
    "follow.file_named": ("results_consumer.growing_file:GrowingFile.commit", "after"),
}


def write_armed(armed: Path, point: str, how: str, work: Path) -> None:
    """Have the next call at `point` end its process; whole or not at all, for somebody reads it meanwhile."""
    part = armed.with_suffix(".part")
    part.write_text(json.dumps({"point": point, "how": how, "work": str(work)}))
    part.replace(armed)


def arm(part: str, armed: Path) -> None:
    """Put a wrapper around the method of each point of `part`."""
    for point, (where, side) in POINTS.items():
        if point.partition(".")[0] == part:
            _wrap(point, where, side, armed)


def _wrap(point: str, where: str, side: str, armed: Path) -> None:
    module_name, _, path = where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    def reached() -> None:
        said = json.loads(armed.read_text()) if armed.exists() else {"point": ""}
        if said["point"] != point or Path(said["work"]).exists():
            return
        Path(said["work"]).touch()
        if said["how"] == "exit":
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
        if side == "after" and (result or result is None):
            reached()
        return result

    return call


if __name__ == "__main__":
    part, armed, program, *arguments = sys.argv[1:]
    arm(part, Path(armed))
    sys.argv = [program, *arguments]
    module, _, function = program.partition(":")
    sys.exit(getattr(importlib.import_module(module), function)())
