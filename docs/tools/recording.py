"""Records what is typed into a real terminal, and what comes back: a cast as asciinema's, version 2.

Its format: one JSON object with the size, then one JSON array a line of seconds, "o" and what was written
(https://docs.asciinema.org/manual/asciicast/v2/).
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

PROMPT_MARK: Final = "\x1b]133;A\x1b\\"
"""What terminals take for the beginning of a prompt, and show nothing of."""
PROMPT: Final = r"\[\e]133;A\e\\\]\[\e[1;32m\]$\[\e[0m\] "
KEY_SECONDS: Final = 0.04
READ_SECONDS: Final = 0.02
PATIENCE: Final = 300.0


@dataclass(slots=True)
class Cast:
    """A recording: its size in characters, and what was written when, in seconds from the beginning."""

    columns: int
    rows: int
    events: list[tuple[float, str]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it as asciinema reads it."""
        head = {"version": 2, "width": self.columns, "height": self.rows}
        lines = [json.dumps(head), *(json.dumps([round(when, 3), "o", text]) for when, text in self.events)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Terminal:
    """Bash in a terminal of its own, at `folder`, with the `environment` and nothing of the user's."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, columns: int, rows: int) -> None:
        self.cast = Cast(columns, rows)
        self._text = ""
        self._prompts = 0
        settings = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PS1": PROMPT, "INPUTRC": "/dev/null", **environment}
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], settings)  # noqa: S606 - a shell is wanted
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._began = time.monotonic()
        self._await_prompt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End bash and what runs in it."""
        os.kill(self._process, signal.SIGHUP)
        os.close(self._terminal)
        os.waitpid(self._process, 0)

    def type(self, line: str, *, pause: float = 0.0) -> None:
        """Type a line as a person does, and wait until it has ended; then look at it for `pause` seconds."""
        self.start(line)
        self._await_prompt()
        self.look(pause)

    def start(self, line: str) -> None:
        """Type a line and leave it running."""
        self.press(*line)
        self.look(0.3)
        self.press("\n")

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            os.write(self._terminal, key.encode())
            self.look(KEY_SECONDS)

    def look(self, seconds: float) -> None:
        """Record for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def _await_prompt(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._text.count(PROMPT_MARK) <= self._prompts:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no prompt after {PATIENCE:.0f} s: {self._text[-2000:]}")
            self._read(READ_SECONDS)
        self._prompts = self._text.count(PROMPT_MARK)
        self.look(READ_SECONDS)

    def _read(self, seconds: float) -> None:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return
        data = os.read(self._terminal, 65_536)
        # A character that is cut in two is rare enough to be taken whole the next time.
        while True:
            try:
                text = data.decode()
                break
            except UnicodeDecodeError:
                data += os.read(self._terminal, 1)
        self._text += text
        self.cast.events.append((time.monotonic() - self._began, text))


def load(path: Path) -> Cast:
    """A cast that was saved."""
    head, *rest = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return Cast(head["width"], head["height"], [(when, text) for when, kind, text in rest if kind == "o"])


def without(cast: Cast, words: Sequence[tuple[str, str]]) -> Cast:
    """A cast in which words of this machine are replaced by others of the same length or shorter."""
    events = []
    for when, told in cast.events:
        text = told
        for word, other in words:
            text = text.replace(word, other)
        events.append((when, text))
    return Cast(cast.columns, cast.rows, events)
