"""The night's own processes beside a stack: Valkey, workers, beat, and a clock that a file sets."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from devstack import valkey
from devstack.files import write_private
from devstack.part import START_TIMEOUT, Part, wait_until
from sealbatch.nightly.clock import VARIABLE

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
        secret, url = self.folder / "secret", valkey.url(self.folder)
        write_private(secret, os.urandom(32))
        text = night_config(config, secret, schedules, redis_url=url, **{"tick": "1s", **settings})
        write_private(self.config, text.encode())

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
        wait_until(ready.exists, START_TIMEOUT, "the worker", part)
        return part

    def start_beat(self, *words: str) -> Part:
        """Start a beat with these options."""
        return self._run("beat", "beat", *words)

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

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, name: str, *words: str) -> Part:
        log = self._log / f"{name}-{len(self.parts)}.log"
        arguments = ("-m", "sealbatch", "-v", "--config", str(self.config), *words)
        return self._keep(Part(name, arguments, log, environment={VARIABLE: str(self.clock)}))

    def _keep(self, part: Part) -> Part:
        self.parts.append(part)
        return part


def night_config(config: Path, secret: Path, schedules: Sequence[Mapping[str, Any]], **settings: str) -> str:
    """A configuration file of clients with schedules, the key of their submissions, and the settings of the nights."""
    # Top-level settings stand before the first table of the clients' file.
    text = f"secret_file = {json.dumps(str(secret))}\n" + config.read_text(encoding="utf-8")
    text += "\n[nightly]\n" + _lines(settings)
    return text + "".join("\n[[schedules]]\n" + _lines(schedule) for schedule in schedules)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_toml(value)}\n" for name, value in table.items())


def _toml(value: Any) -> str:
    """A value; a JSON text, number or list is TOML as it is."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)
