"""One session of bash, as a person has it open: what a block sets, the next one finds."""

import os
import queue
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pages import ROOT

PATIENCE: Final = 600.0
"""Seconds that one block may take."""
_END: Final = "-- end of block --"
_APART: Final = (".git", "build", "dist", "sealbatch.toml", ".hypothesis", "demo-night", "*.jsonl")
"""No parts of it: what was typed or made in the clone before, and would be in the way of what is typed now."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What a block came to: the exit codes of commands that failed, and standard output and error as they came."""

    codes: list[int]
    output: str


class Session:
    """Bash in `folder`, which gets a link to each part of the repository; its home is `home`."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        for part in ROOT.iterdir():
            if not any(part.match(name) for name in _APART):
                (folder / part.name).symlink_to(part)
        environment = {
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "COLUMNS": "120",
            # Whatever is typed: no credentials of whoever runs this, of their machine or of their instance.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "XDG_STATE_HOME": str(home / ".local/state"),
        }
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._say("set -o pipefail; trap 'docs_codes+=($?)' ERR")

    def enter(self, script: str) -> Typed:
        """Type a block and wait for its end.

        Raises:
            TimeoutError: it takes longer than `PATIENCE`.
        """
        block = self.folder / ".block"
        block.write_text(f"{script}\n:\n", encoding="utf-8")  # so that `.` itself does not fail with the last command
        self._say(f'docs_codes=(); . ./{block.name} < /dev/null; echo "{_END}${{docs_codes[*]}}"')
        output: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise TimeoutError(
                    f"{script}\nprinted, and then nothing for {PATIENCE:.0f} s:\n{''.join(output)}"
                ) from None
            if line is None:
                return Typed([self._bash.wait()], "".join(output))
            before, end, codes = line.partition(_END)
            output.append(before)
            if end:
                return Typed([int(code) for code in codes.split()], "".join(output))

    def _say(self, line: str) -> None:
        if self._bash.stdin is None:
            raise AssertionError("it has a pipe")
        self._bash.stdin.write(line + "\n")
        self._bash.stdin.flush()

    def _read(self) -> None:
        if self._bash.stdout is None:
            raise AssertionError("it has a pipe")
        with self._bash.stdout as output:
            for line in output:
                self._lines.put(line)
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End bash and all that it left in the background."""
        os.killpg(self._bash.pid, signal.SIGTERM)
        if self._bash.stdin is not None:
            self._bash.stdin.close()
        self._bash.wait()
