"""An enclave that waits for its model on a unix socket, in a thread of the test."""

import threading
from pathlib import Path

from enclave_worker.model_receiver import ModelReceiver
from wire.address import Address
from wire.errors import StreamClosed
from wire.stream import Listener, Stream, connect, listen


class Enclave:
    """A receiver on a unix socket, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "received"
        self.folder.mkdir()
        self.address = Address.parse(f"unix://{folder}/model.sock")
        self.measured: list[bytes] = []
        self.listener: Listener = listen(self.address)
        self.receiver = ModelReceiver(self.folder, self.measured.append)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        try:
            self.receiver.serve(self.listener)
            self.done.set()
        except StreamClosed:
            pass

    def talk(self) -> Stream:
        """A connection to it."""
        return connect(self.address, 5.0)

    def stop(self) -> None:
        """Give up waiting."""
        self.listener.close()
        self.thread.join()
