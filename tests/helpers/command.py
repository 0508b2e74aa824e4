"""Types `sealbatch` as a user does: a process of its own, with a home of its own."""

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_LIBC = ctypes.CDLL(None)


@dataclass
class Typist:
    """Runs the command in `folder` with `config`; nothing of the real home or environment shows through."""

    folder: Path
    config: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def type(
        self,
        *words: str,
        stdin: bytes = b"",
        before: Callable[[], None] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end; `before` runs in the child, `settings` go before the verb as `--set`."""
        return subprocess.run(
            [*self.words(settings), *words],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=self.env(),
            preexec_fn=before,
            timeout=280,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start it and let it run."""
        return subprocess.Popen(
            [*self.words(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder, env=self.env()
        )

    def words(self, settings: Mapping[str, str] | None = None) -> list[str]:
        """The words before the verb."""
        config = [] if self.config is None else ["--config", str(self.config)]
        changes = [word for name, value in (settings or {}).items() for word in ("--set", f"{name}={value}")]
        return [sys.executable, "-m", "sealbatch", *config, *changes]

    def env(self) -> dict[str, str]:
        """The child's environment."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "COLUMNS": "100",
            **self.environment,
        }


def limit_file_size(size: int) -> Callable[[], None]:
    """What makes the child's disk seem full: no file of its may grow beyond `size` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obey_permissions() -> None:
    """What makes the child obey file modes even as root: it can never have the right to pass them by."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        _LIBC.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; who is not root has no such right to drop
