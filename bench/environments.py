"""The peers' virtual environments: made when they are asked for, under the build folder, from pinned requirements."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).resolve().parent / "requirements"
STAMP: Final = ".installed"
UNWANTED: Final = ("torchvision", "torchaudio", "torchcodec")
"""What the peers' dependencies bring along for images and sound: builds that do not fit torch's for the CPU."""


@dataclass(eq=False)  # and not frozen: whoever raises it again gives it its traceback
class MissingError(Exception):
    """A peer cannot run here; `reason` is one line for the table."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class TooSlowError(MissingError):
    """A run took longer than it was given."""


def interpreter(group: str, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is installed if it is not there.

    Raises:
        MissingError: pip refuses.
    """
    requirements = REQUIREMENTS / f"{group}.txt"
    if not requirements.is_file():
        return Path(sys.executable)
    home = folder / group
    python = home / "bin" / "python"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = home / STAMP
    if stamp.is_file() and stamp.read_text() == digest:
        return python
    complaint = "cannot be installed"
    succeed([sys.executable, "-m", "venv", "--clear", str(home)], complaint)
    index = os.environ.get("TORCH_INDEX")
    torch = [] if not index else ["--extra-index-url", index]
    pip = [str(python), "-m", "pip"]
    succeed([*pip, "install", "--quiet", *torch, "--requirement", str(requirements)], complaint)
    succeed([*pip, "uninstall", "--quiet", "--yes", *UNWANTED], complaint)
    stamp.write_text(digest)
    return python


def succeed(command: list[str], complaint: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Raises:
        MissingError: it fails: `complaint`, and its last error.
    """
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise MissingError(f"{complaint}: {last_error(result.stderr)}")
    return result


def last_error(text: str) -> str:
    """The last line that says anything, of what a failed command wrote, without addresses and paths."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") or "Error" in line.partition(" ")[0]]
    line = (errors or lines or ["it says nothing"])[-1]
    return " ".join(word for word in line.split() if word.count("/") < 2)[:200]
