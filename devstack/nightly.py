"""The night's own processes beside a stack: Valkey, workers, beat, and a clock that a file sets."""

import json
import os
import signal
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from devstack import valkey
from devstack.files import write_private
from devstack.part import Part
from devstack.stack import NotReadyError
from sealbatch.nightly.clock import VARIABLE

START_TIMEOUT: Final = 60.0
STOP_GRACE: Final = 45.0


class NightParts:
    """Valkey, workers and beats in `folder`, which must exist, for the stack whose configuration is `config`."""

    def __init__(self, folder: Path, config: Path, schedules: list[Mapping[str, Any]], **settings: str) -> None:
        self.folder = folder
        self.clock = folder / "clock"
        self.config = folder / "sealbatch.toml"
        self.parts: list[Part] = []
        self._log = folder / "log"
        self._log.mkdir(exist_ok=True)
        self._secret()
        self._write_config(config, schedules, {"tick": "1s", **settings})

    @property
    def redis_url(self) -> str:
        """Where Valkey is."""
        return valkey.url(self.folder)

    def set_clock(self, moment: datetime, *, speed: int = 0) -> None:
        """What time the schedules have from now on, and how fast it passes; 0 lets it stand."""
        write_private(self.clock, f"{moment.isoformat()} x{speed}".encode())

    def start_valkey(self, *options: str) -> Part:
        """Start Valkey."""
        return self._keep(valkey.start(self.folder, self._log / "valkey.log", *options))

    def start_worker(self, concurrency: int = 1) -> Part:
        """Start a worker and wait until it takes work."""
        ready = self.folder / f"worker-{len(self.parts)}.ready"
        part = self._run("worker", "worker", "--concurrency", str(concurrency), "--ready-file", str(ready))
        deadline = time.monotonic() + START_TIMEOUT
        while not ready.exists():
            part.check()
            if time.monotonic() > deadline:
                raise NotReadyError(f"the worker is not ready after {START_TIMEOUT:.0f} s; see {self._log}")
            time.sleep(0.05)
        return part

    def start_beat(self) -> Part:
        """Start a beat."""
        return self._run("beat", "beat")

    def stop(self) -> None:
        """Stop all: workers and beats at the same time, then the Valkey that they take leave of."""
        for part in self.parts:
            if part.name != "valkey":
                part.signal(signal.SIGTERM)
        for part in reversed(self.parts):
            part.stop(STOP_GRACE)
        self.parts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, name: str, *words: str) -> Part:
        log = self._log / f"{name}-{len(self.parts)}.log"
        arguments = ("-m", "sealbatch", "-v", "--config", str(self.config), *words)
        return self._keep(Part(name, arguments, log, environment={VARIABLE: str(self.clock)}))

    def _keep(self, part: Part) -> Part:
        self.parts.append(part)
        return part

    def _secret(self) -> None:
        write_private(self.folder / "secret", os.urandom(32))

    def _write_config(self, config: Path, schedules: list[Mapping[str, Any]], settings: dict[str, str]) -> None:
        # Top-level settings stand before the first table of the stack's file.
        text = f"secret_file = {json.dumps(str(self.folder / 'secret'))}\n" + config.read_text(encoding="utf-8")
        text += f"\n[nightly]\nredis_url = {json.dumps(self.redis_url)}\n"
        text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        for schedule in schedules:
            text += "\n[[schedules]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in schedule.items())
        write_private(self.config, text.encode())


def _toml(value: Any) -> str:
    """A value; a JSON text, number or list is TOML as it is."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)
