"""Checks that every form of input shares: text, custom_id and the parameters of generation."""

import math
import re
from typing import Any, Final

from producer.problem import BadLineError, invalid
from wire.payload import (
    CUSTOM_ID,
    MAX_CUSTOM_ID,
    MAX_PENALTY,
    MAX_QUESTION_BYTES,
    MAX_STOP,
    MAX_STOPS,
    MAX_TOKENS,
    MAX_TOP_K,
    MIN_PENALTY,
    ErrorCode,
    Params,
)

PARAM_NAMES: Final = frozenset(
    {"max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop", "top_k", "repetition_penalty"}
)

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SEED_LOW: Final = -(2**63)
_SEED_HIGH: Final = 2**63 - 1


def read_text(value: object, param: str) -> str:
    """`value` if it is text that can be sealed: no lone surrogate, no control character but newline, return and tab.

    Raises:
        BadLineError: it is not.
    """
    if type(value) is not str:
        raise invalid("must be text", param)
    if value.isprintable() and value.isascii():
        return value
    found = _CONTROL.search(value)
    if found is not None:
        raise invalid(f"has a control character (U+{ord(found[0]):04X}) at character {found.start() + 1}", param)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"has half a surrogate pair at character {error.start + 1}", param) from None
    return value


def read_question(value: object, param: str) -> str:
    """Text as `read_text` takes it that holds more than blanks.

    Raises:
        BadLineError: it does not.
    """
    text = read_text(value, param)
    if not text or text.isspace():
        raise invalid("is empty", param)
    return text


def text_bytes(text: str) -> int:
    """Its length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def check_size(size: int, param: str) -> None:
    """Refuse a question whose texts have more than `MAX_QUESTION_BYTES`.

    Raises:
        BadLineError: it is too large.
    """
    if size > MAX_QUESTION_BYTES:
        raise BadLineError(
            ErrorCode.QUESTION_TOO_LARGE, f"{size} bytes of text, at most {MAX_QUESTION_BYTES} are allowed", param
        )


def read_custom_id(value: object, param: str = "custom_id") -> str:
    """`value` if it is a usable custom_id.

    Raises:
        BadLineError: it is not.
    """
    if type(value) is not str:
        raise invalid("must be text", param)
    if CUSTOM_ID.fullmatch(value) is None:
        raise invalid(f"must be 1 to {MAX_CUSTOM_ID} of A-Z a-z 0-9 . _ : -", param)
    return value


def read_params(fields: dict[str, Any], defaults: Params, prefix: str = "") -> Params:
    """The parameters that `fields` names, the others from `defaults`; null counts as not named.

    Raises:
        BadLineError: one has a wrong type or is out of range; `prefix` goes before its name.
    """
    if PARAM_NAMES.isdisjoint(fields):
        return defaults
    temperature = _number(fields, "temperature", prefix, 2.0)
    top_p = _number(fields, "top_p", prefix, 1.0)
    seed = _whole(fields, "seed", prefix, _SEED_LOW, _SEED_HIGH)
    top_k = _whole(fields, "top_k", prefix, 0, MAX_TOP_K)
    penalty = _number(fields, "repetition_penalty", prefix, MAX_PENALTY, MIN_PENALTY)
    max_tokens = _max_tokens(fields, prefix)
    stop = fields.get("stop")
    return Params(
        max_tokens=defaults.max_tokens if max_tokens is None else max_tokens,
        temperature=defaults.temperature if temperature is None else temperature,
        top_p=defaults.top_p if top_p is None else top_p,
        seed=defaults.seed if seed is None else seed,
        stop=defaults.stop if stop is None else _stops(stop, f"{prefix}stop"),
        top_k=defaults.top_k if top_k is None else top_k,
        repetition_penalty=defaults.repetition_penalty if penalty is None else penalty,
    )


def _max_tokens(fields: dict[str, Any], prefix: str) -> int | None:
    older = _whole(fields, "max_tokens", prefix, 1, MAX_TOKENS)
    newer = _whole(fields, "max_completion_tokens", prefix, 1, MAX_TOKENS)
    if older is not None and newer is not None and older != newer:
        raise invalid("max_tokens and max_completion_tokens differ", f"{prefix}max_completion_tokens")
    return newer if older is None else older


def _whole(fields: dict[str, Any], name: str, prefix: str, low: int, high: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise invalid(f"must be a whole number from {low} to {high}", prefix + name)
    return value


def _number(fields: dict[str, Any], name: str, prefix: str, high: float, low: float = 0) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) not in {int, float} or not low <= value <= high or not math.isfinite(value):
        raise invalid(f"must be a number from {low:g} to {high:g}", prefix + name)
    return float(value)


def _stops(value: object, param: str) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise invalid(f"must be text or a list of at most {MAX_STOPS} texts", param)
    texts = tuple(read_text(stop, param) for stop in stops)
    if not all(0 < len(text) <= MAX_STOP for text in texts):
        raise invalid(f"each text must have 1 to {MAX_STOP} characters", param)
    return texts
