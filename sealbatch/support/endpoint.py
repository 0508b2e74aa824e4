"""A bridge's two pages, line by line: whatever else answers at that address does not get into the bundle."""

import json
import re
from typing import Any, Final

from sealbatch.bridge_page import read_page
from wire.address import Address

TIMEOUT: Final = 5.0
"""Seconds for one page."""
_STATES: Final = frozenset({"ready", "not connected", "engine down"})
_LINE: Final = re.compile(
    r"# (?:HELP|TYPE) sealbatch_\w+ [\w ,;':.]{0,120}|"
    r'sealbatch_\w+(?:\{(?:enclave="(?P<enclave>[^"]{1,256})"|[a-z]+="[a-z0-9_.+]{1,32}(?:Inf)?")\})? '
    r"[\d.e+-]+(?:Inf|NaN)?"
)


def metrics(address: str) -> str:
    """`/metrics` of the bridge at HOST:PORT.

    Raises:
        OSError: nobody answers there.
    """
    text = read_page(address, "metrics", TIMEOUT).decode("utf-8", "replace")
    return "".join(f"{line}\n" for line in text.splitlines() if _is_ours(line))


def health(address: str) -> dict[str, Any]:
    """`/healthz`, also of a bridge that is not well.

    Raises:
        OSError: nobody answers there. ValueError: what answers is no bridge.
    """
    said = json.loads(read_page(address, "healthz", TIMEOUT))
    if not isinstance(said, dict) or not isinstance(enclaves := said.get("enclaves"), dict):
        raise ValueError("no page of a bridge")  # noqa: TRY004 - of what answers, not of an argument
    return {
        "healthy": said.get("healthy") is True,
        "loop_age": float(said.get("loop_age", -1)),
        "enclaves": {name: state for name, state in enclaves.items() if str(state) in _STATES and _is_address(name)},
    }


def _is_ours(line: str) -> bool:
    found = _LINE.fullmatch(line)
    return found is not None and (found["enclave"] is None or _is_address(found["enclave"]))


def _is_address(text: str) -> bool:
    try:
        Address.parse(text)
    except ValueError:
        return False
    return True
