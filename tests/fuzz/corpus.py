"""The kept corpus: for each target the inputs that reached something new, one file of hexadecimal lines a target."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")
MAX_INPUT = 16 * 1024


def load(name: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    path = FOLDER / f"{name}.hex"
    return [bytes.fromhex(line) for line in path.read_text().split()] if path.exists() else []


def save(name: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs for a target, each once and in an order of its own."""
    kept = sorted({item for item in inputs if item}, key=lambda item: (len(item), hashlib.sha256(item).digest()))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.hex").write_text("".join(f"{item.hex()}\n" for item in kept))
