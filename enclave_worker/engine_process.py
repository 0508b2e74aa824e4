"""One engine process, from its start to its end, as its parent sees it."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

from enclave_worker import console
from enclave_worker.engine_wire import (
    TEXT,
    CannotStart,
    Profile,
    Reply,
    Step,
    decode_greeting,
    decode_reply,
    decode_tokens,
    encode_settings,
    encode_step,
)
from enclave_worker.manifest import ModelError
from enclave_worker.settings import Settings
from wire.errors import MessageError, WireError
from wire.stream import Stream

CHILD: Final = (sys.executable, "-m", "enclave_worker.engine_child")


class EngineGone(Exception):  # noqa: N818 - an end, whosever fault
    """The process ended, hung, or said something that an engine does not say; it has been killed."""


class TextLost(EngineGone):
    """It ended between being given a text and giving its tokens."""


class EngineProcess:
    """A running engine process. `step` belongs to one thread; `tokenize` is open to all."""

    def __init__(self, settings: Settings, command: Sequence[str] = CHILD) -> None:
        """Start it and wait until its model is loaded.

        Raises:
            ModelError: it says why it cannot load the model.
            EngineGone: it ended, or was not ready in time.
        """
        self._stall = settings.engine_stall
        self._texts_lock = threading.Lock()
        self._killed = False
        ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
        self._steps, self._texts = (Stream(end) for end in ours)
        numbers = [end.fileno() for end in theirs]
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, numbers), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stderr=console.descriptor(),
                pass_fds=numbers,
            )
        finally:
            for end in theirs:
                end.close()
        self.profile = self._greet(settings)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, and was not told to."""
        # Until the kernel has ended and the keeper reaped it, a killed process still looks as if it ran.
        return not self._killed and self._process.poll() is None

    def step(self, step: Step) -> Reply:
        """One iteration.

        Raises:
            EngineGone: it died by it, or did not finish it in time.
        """
        try:
            self._steps.send(encode_step(step))
            return decode_reply(self._received(self._steps, self._stall))
        except WireError as error:
            self.kill()
            raise EngineGone(type(error).__name__) from None

    def tokenize(self, text: str) -> Sequence[int]:
        """The token ids of a text.

        Raises:
            TextLost: it died meanwhile, or did not answer in time. EngineGone: it had died before.
        """
        with self._texts_lock:
            try:
                self._texts.send(TEXT + text.encode())
            except WireError:
                raise EngineGone("ended") from None
            try:
                return decode_tokens(self._received(self._texts, self._stall)[len(TEXT) :])
            except WireError as error:
                self.kill()
                raise TextLost(type(error).__name__) from None

    def wait(self) -> int:
        """Wait for the process's end and reap it; its exit code, or minus the signal that ended it."""
        return self._process.wait()

    def kill(self) -> None:
        """End the process; whoever waits for it is told."""
        self._killed = True
        self._process.kill()
        self._steps.close()
        self._texts.close()

    def _greet(self, settings: Settings) -> Profile:
        try:
            self._steps.send(encode_settings(settings))
            greeting = decode_greeting(self._received(self._steps, settings.engine_start))
        except WireError as error:
            self.kill()
            self.wait()
            raise EngineGone(type(error).__name__) from None
        if isinstance(greeting, CannotStart):
            self.kill()
            self.wait()
            raise ModelError(greeting.reason)
        return greeting

    def _received(self, stream: Stream, timeout: float) -> bytes:
        body = stream.receive(timeout)
        if body is None:
            raise MessageError("the engine process ended")
        return body
