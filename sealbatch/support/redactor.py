"""Takes out of a text what must not leave this machine: known secrets in any spelling, and what looks like one."""

import base64
import contextlib
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

REMOVED: Final = "[removed]"
SHORTEST: Final = 6
"""Bytes of the shortest secret that is looked for: shorter ones stand in innocent words too."""

_PATTERNS: Final = (
    (re.compile(r"sb1-[a-z2-7]+"), f"sb1-{REMOVED}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}"), REMOVED),
    (re.compile(r"(?<=://)[^\s/@]*@"), f"{REMOVED}@"),
    # An account keeps its last digits: enough to tell two apart.
    (re.compile(r"(?<=[:/])\d{8}(?=\d{4}[:/])"), "********"),
    # The name of a session is often that of a person.
    (re.compile(r"(:assumed-role/[^/\s\"]+/|:user/)[^\s\"]+"), rf"\1{REMOVED}"),
    # Keys and tokens in base64; digests are hexadecimal and stay.
    (
        re.compile(
            r"(?<![\w/+.-])(?!(?:assumed-)?role/|user/)(?=[\w/+-]*[A-Z])(?=[\w/+-]*[a-z])(?=[\w/+-]*\d)[\w/+-]{40,}={0,2}"
        ),
        REMOVED,
    ),
)


def spellings(secret: bytes) -> set[str]:
    """A secret as text, as JSON and addresses have it, in hexadecimal, and in base64 wherever it begins in it."""
    found = {secret.hex(), secret.hex().upper()}
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode()
        found |= {
            text,
            quote(text, safe=""),
            *(json.dumps(text, ensure_ascii=escaped)[1:-1] for escaped in (True, False)),
        }
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret).decode()
        # The first and the last characters mix in neighbouring bytes.
        inner = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
        found |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return {text for text in found if len(text) >= SHORTEST}


class Redactor:
    """Knows the secrets of this machine."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        texts = {text for secret in secrets if len(secret) >= SHORTEST for text in spellings(secret)}
        # Of two that begin alike the longer one goes first; one by one, since there may be tens of thousands.
        self._known = sorted(texts, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without them."""
        for known in self._known:
            text = text.replace(known, REMOVED)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text
