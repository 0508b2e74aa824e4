"""A key policy as statements that can be asked questions; strict, because what is not understood is unsafe."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_POLICY: Final = 32 * 1024
"""KMS's own limit."""
IMAGE_KEYS: Final = frozenset({"kms:recipientattestation:pcr0", "kms:recipientattestation:imagesha384"})
MODEL_KEYS: Final = frozenset({"kms:recipientattestation:pcr16"})
"""The register that the enclave extends by its model's manifest."""
ATTESTATION: Final = "kms:recipientattestation:"

_ELEMENTS: Final = frozenset({"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"})


class PolicyFormError(Exception):
    """The text is no key policy, or holds an element that is not understood; the text names it."""


@dataclass(frozen=True, slots=True)
class Test:
    """One operator on one condition key (lower case) with its values."""

    operator: str
    key: str
    values: tuple[str, ...]

    @property
    def pins(self) -> bool:
        """Whether it holds for the named values alone, and never for an absent key."""
        return self.operator in {"StringEquals", "StringEqualsIgnoreCase"}

    @property
    def excludes(self) -> bool:
        """Whether it holds for everything but the named values, an absent key included."""
        return self.operator in {"StringNotEquals", "StringNotEqualsIgnoreCase"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `name` is its Sid or its number."""

    name: str
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    excluded: bool
    """The actions are those of a NotAction."""
    tests: tuple[Test, ...]

    def covers(self, action: str) -> bool:
        """Whether the statement is about `action`, such as `kms:Decrypt`."""
        named = any(re.fullmatch(_pattern(name), action, re.IGNORECASE) for name in self.actions)
        return named != self.excluded

    def about_everybody(self) -> bool:
        """Whether it is for every principal."""
        return "*" in self.principals

    def pinned_images(self) -> frozenset[str] | None:
        """PCR0 values that it is limited to, in lower case; None if it is not limited."""
        return self._pinned(IMAGE_KEYS)

    def pinned_models(self) -> frozenset[str] | None:
        """PCR16 values that it is limited to, in lower case; None if it is not limited."""
        return self._pinned(MODEL_KEYS)

    def _pinned(self, keys: frozenset[str]) -> frozenset[str] | None:
        found = [test for test in self.tests if test.key in keys and test.pins]
        if not found:
            return None
        return frozenset.intersection(*(frozenset(value.lower() for value in test.values) for test in found))

    def about(self, key: str) -> tuple[Test, ...]:
        """The tests on a condition key."""
        return tuple(test for test in self.tests if test.key == key.lower())


def parse_statements(text: str) -> tuple[Statement, ...]:
    """Read a key policy's JSON.

    Raises:
        PolicyFormError: it is none, or holds what is not understood.
    """
    try:
        document = json.loads(text) if len(text) <= MAX_POLICY else None
    except (ValueError, RecursionError):
        raise PolicyFormError("not JSON") from None
    if not isinstance(document, dict) or document.get("Version") != "2012-10-17":
        raise PolicyFormError("not a policy of Version 2012-10-17")
    statements = document.get("Statement")
    items = statements if isinstance(statements, list) else [statements]
    return tuple(_statement(item, number) for number, item in enumerate(items, 1))


def _statement(value: object, number: int) -> Statement:
    if not isinstance(value, dict):
        raise PolicyFormError(f"statement {number} is not an object")
    name = str(value.get("Sid") or f"statement {number}")
    if unknown := value.keys() - _ELEMENTS:
        raise PolicyFormError(f"{name}: {min(map(str, unknown))} is not understood")
    if value.get("Effect") not in {"Allow", "Deny"} or ("Action" in value) == ("NotAction" in value):
        raise PolicyFormError(f"{name}: needs an Effect, and one of Action and NotAction")
    return Statement(
        name=name,
        allows=value["Effect"] == "Allow",
        principals=tuple(_principals(value.get("Principal"), name)),
        actions=_texts(value.get("Action", value.get("NotAction")), name),
        excluded="NotAction" in value,
        tests=tuple(_tests(value.get("Condition", {}), name)),
    )


def _principals(value: object, name: str) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and value:
        for names in value.values():
            yield from _texts(names, name)
    else:
        raise PolicyFormError(f"{name}: Principal is missing")


def _tests(block: object, name: str) -> Iterator[Test]:
    if not isinstance(block, dict):
        raise PolicyFormError(f"{name}: Condition is not an object")
    for operator, keys in block.items():
        if not isinstance(keys, dict):
            raise PolicyFormError(f"{name}: {operator} is not an object")
        for key, values in keys.items():
            yield Test(str(operator), str(key).lower(), _texts(values, name))


def _texts(value: object, name: str) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    texts = [str(item).lower() if isinstance(item, bool) else item for item in items]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise PolicyFormError(f"{name}: a value is neither text nor a list of texts")
    return tuple(str(text) for text in texts)


def _pattern(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
