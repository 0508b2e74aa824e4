"""The whole system on one machine: AWS stand-in, enclave and bridge, each a process of its own.

Nothing of a stack survives its end: the stand-in keeps queue, bucket and keys in memory, and the folder is removed.
"""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from devstack.files import write_private
from devstack.measure import measure, measure_model_of
from devstack.part import START_TIMEOUT, AwsPart, Part, wait_until
from devstack.provision import provision
from wire.address import MAX_UNIX_PATH
from wire.measurement import MODEL_PCR

ROOT: Final = Path(__file__).resolve().parents[1]
MODEL: Final = ROOT / "models" / "benefits-bloom"
STOP_GRACE: Final = 10.0


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What runs in a stack. `image` admits another image in the key policy than the one that runs."""

    model: Path = MODEL
    bridge: bool = True
    image: str | None = None


class Stack:
    """A stack in `folder`, which must not exist, from `start` to `stop`."""

    def __init__(self, folder: Path, options: StackOptions = StackOptions()) -> None:
        self.folder = folder
        self.parts: list[Part] = []
        self._options = options
        self._sockets = folder

    @property
    def config(self) -> Path:
        """The clients' configuration file."""
        return self.folder / "sealbatch.toml"

    @property
    def release(self) -> Path:
        """What a release of the enclave that runs here would publish: its registers."""
        return self.folder / "release.json"

    @property
    def endpoint(self) -> str:
        """URL of the AWS stand-in."""
        return str(json.loads((self.folder / "aws.json").read_text())["endpoint"])

    def part(self, name: str) -> Part:
        """The part of that name."""
        return next(part for part in self.parts if part.name == name)

    def start(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Start all parts and wait until they are ready; `say` is told each step.

        Raises:
            PartError: a part ended, or takes too long.
            FileExistsError: the folder exists.
        """
        self.folder.mkdir(mode=0o700, parents=True)
        (self.folder / "log").mkdir()
        try:
            self._start(say)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all parts, last started first, and remove the folder."""
        for part in reversed(self.parts):
            # A bridge would wait for the end of its long poll, and nothing that it could still do would be kept.
            part.stop(0.0 if part.name == "bridge" else STOP_GRACE)
        self.parts.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def start_bridge(self) -> Part:
        """Start a bridge and wait until it is connected to the enclave."""
        ready = self.folder / "bridge.ready"
        ready.unlink(missing_ok=True)
        words = ("bridge", "--enclave", f"unix://{self._socket()}", "--ready-file", str(ready))
        part = self._run("bridge", "-m", "sealbatch", "--config", str(self.config), *words)
        wait_until(ready.exists, START_TIMEOUT, "the bridge", part)
        return part

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, say: Callable[[str], None]) -> None:
        pcrs = measure(self._options.model) | {MODEL_PCR: measure_model_of(self._options.model)}
        image = pcrs[0].hex()
        write_private(self.release, _release(pcrs))
        say("starting the AWS stand-in and the enclave")
        aws = AwsPart(self.folder, self._log("aws"))
        self.parts.append(aws)
        words = ("--dev", str(self.folder), "--model", str(self._options.model), "--socket", str(self._socket()))
        enclave = self._run("enclave", "-m", "devstack.enclave", *words)
        endpoint = aws.endpoint()
        say("applying deploy/template.yaml: keys, policies, queue, bucket, roles")
        provision(
            endpoint,
            image=self._options.image or image,
            model=pcrs[MODEL_PCR].hex(),
            folder=self.folder,
        )
        say("loading the model")
        wait_until((self.folder / "enclave.json").exists, START_TIMEOUT, "the enclave", enclave)
        if self._options.bridge:
            say("starting the bridge")
            self.start_bridge()

    def _socket(self) -> Path:
        path = self._sockets / "enclave.sock"
        if len(str(path).encode()) > MAX_UNIX_PATH:
            # The kernel keeps 108 bytes of a socket's path.
            self._sockets = Path(tempfile.mkdtemp(prefix="sealbatch-", dir="/tmp"))
            path = self._sockets / "enclave.sock"
        return path

    def _log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def _run(self, name: str, *arguments: str) -> Part:
        # A bridge whose queue is gone asks for it again for 20 s before it obeys SIGTERM.
        part = Part(name, arguments, self._log(name), orphaned=signal.SIGKILL)
        self.parts.append(part)
        return part


def _release(pcrs: Mapping[int, bytes]) -> bytes:
    value = {"format": 1, "name": "development", "pcrs": {str(index): pcr.hex() for index, pcr in pcrs.items()}}
    return (json.dumps(value, indent=2) + "\n").encode()
