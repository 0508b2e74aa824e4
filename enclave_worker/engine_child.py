"""The engine process: holds the model, takes tokens and gives text. It holds no key, no seal and no connection.

`python -m enclave_worker.engine_child STEPS TEXTS PARENT`: two inherited sockets and the parent's process number. Steps
come one at a time on the first; texts to tokenize on the second, on a thread of its own, since they must not wait for a
step. It ends with its parent, however that ends.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from enclave_worker import console
from enclave_worker.build import build_engine
from enclave_worker.engine import Engine
from enclave_worker.engine_wire import (
    TEXT,
    CannotStart,
    Failed,
    Profile,
    Reply,
    Stepped,
    decode_settings,
    decode_step,
    encode_greeting,
    encode_reply,
    encode_tokens,
)
from enclave_worker.manifest import ModelError
from enclave_worker.process import die_with, harden
from enclave_worker.settings import Settings
from wire.errors import WireError
from wire.stream import Stream


def main(build: Callable[[Settings], Engine] = build_engine) -> int:
    """Serve the parent until it is gone; exit code 0 then, 69 when the model could not be loaded."""
    steps, texts, parent = (int(argument) for argument in sys.argv[1:])
    die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the parent, which lets running chunks finish
    harden()
    console.claim()
    stream = Stream(socket.socket(fileno=steps))
    try:
        settings = decode_settings(stream.receive() or b"")
        try:
            engine = build(settings)
        except (ModelError, ValueError) as error:
            stream.send(encode_greeting(CannotStart(str(error))))
            return os.EX_UNAVAILABLE
        profile = Profile(engine.model_name, engine.model_digest, engine.context_length, engine.room())
        stream.send(encode_greeting(profile))
        tokenizer = threading.Thread(
            target=_tokenize, args=(engine, Stream(socket.socket(fileno=texts))), name="tokenizer", daemon=True
        )
        tokenizer.start()
        while (body := stream.receive()) is not None:
            stream.send(encode_reply(_step(engine, body)))
    except WireError:
        # The parent is gone, or speaks another version: either way there is nobody to serve.
        pass
    return os.EX_OK


def _step(engine: Engine, body: bytes) -> Reply:
    step = decode_step(body)
    try:
        if step.reset:
            engine.reset()
        if step.cancelled:
            engine.cancel(step.cancelled)
        if step.prompts:
            engine.admit(step.prompts)
        completions = engine.step()
    except Exception as error:  # noqa: BLE001 - whatever a model stack raises; the parent finds out which sequence it is
        engine.reset()
        return Failed(type(error).__name__)
    return Stepped(tuple(completions), engine.room())


def _tokenize(engine: Engine, stream: Stream) -> None:
    try:
        while (body := stream.receive()) is not None:
            stream.send(TEXT + encode_tokens(engine.tokenize(body[len(TEXT) :].decode())))
    except WireError:
        return
    except BaseException:  # noqa: BLE001 - a tokenizer that fails is as good as a process that died
        os._exit(os.EX_SOFTWARE)


if __name__ == "__main__":
    sys.exit(main())
