"""The condition block of a key policy: which operators and keys there are, and when a block holds.

As IAM has it: every operator of a block and every key below it must hold; the values of one key are alternatives; a
key that the request lacks fails an ordinary operator and satisfies a negated one, which is what makes
`Deny ... StringNotEquals` stop a call that has no attestation at all. An operator or key that is not known here is an
error and never a silent no: a policy that means one thing in AWS must not mean another on a laptop.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Values = tuple[str, ...]

MAX_PATTERN: Final = 2048


class PolicyError(Exception):
    """A policy is malformed, or holds an element that this evaluator does not know. The text names the element."""


def _like(pattern: str, value: str) -> bool:
    return re.fullmatch(wildcard(pattern), value) is not None


def _equal(pattern: str, value: str) -> bool:
    return pattern == value


def _equal_ignoring_case(pattern: str, value: str) -> bool:
    return pattern.casefold() == value.casefold()


@dataclass(frozen=True, slots=True)
class _Operator:
    compare: Callable[[str, str], bool]
    negated: bool = False
    wildcards: bool = False


_OPERATORS: Final = {
    "StringEquals": _Operator(_equal),
    "StringNotEquals": _Operator(_equal, negated=True),
    "StringEqualsIgnoreCase": _Operator(_equal_ignoring_case),
    "StringNotEqualsIgnoreCase": _Operator(_equal_ignoring_case, negated=True),
    "StringLike": _Operator(_like, wildcards=True),
    "StringNotLike": _Operator(_like, negated=True, wildcards=True),
    "Bool": _Operator(_equal_ignoring_case),
}
_SETS: Final = ("ForAllValues", "ForAnyValue")

# Condition keys are matched without regard to case, as IAM does; PCRs go from 0 to 31.
_KNOWN_KEYS: Final = re.compile(
    r"kms:recipientattestation:(imagesha384|pcr(?:[0-9]|[12][0-9]|3[01]))"
    r"|kms:encryptioncontext:.+|kms:encryptioncontextkeys|kms:calleraccount"
    r"|aws:principaltag/.+|aws:principalarn"
)
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_LITERALS: Final = frozenset({"*", "?", "$"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key: the policy's `values` are alternatives."""

    operator: str
    quantifier: str  # "", "ForAllValues" or "ForAnyValue"
    key: str  # lower case
    values: Values

    def holds(self, request: Mapping[str, Values]) -> bool:
        """Whether it holds for a request's condition keys (lower case)."""
        found = request.get(self.key)
        if self.operator == "Null":
            return (found is None) == (self.values[0].casefold() == "true")
        operator = _OPERATORS[self.operator]
        if self.quantifier == "ForAllValues":  # IAM: holds for no value at all
            return all(self._matches(operator, value, request) for value in found or ())
        if found is None:
            return operator.negated and not self.quantifier
        return any(self._matches(operator, value, request) for value in found)

    def _matches(self, operator: _Operator, value: str, request: Mapping[str, Values]) -> bool:
        patterns = (_resolve(pattern, request, escape=operator.wildcards) for pattern in self.values)
        equal = any(pattern is not None and operator.compare(pattern, value) for pattern in patterns)
        return equal != operator.negated


def parse_conditions(block: object) -> tuple[Condition, ...]:
    """Read a statement's Condition element.

    Raises:
        PolicyError: it is malformed, or an operator, key or variable is not known.
    """
    if not isinstance(block, dict):
        raise PolicyError("Condition is not an object")
    return tuple(
        _condition(str(name), str(key), values)
        for name, keys in block.items()
        for key, values in (keys.items() if isinstance(keys, dict) else _refuse(name))
    )


def _refuse(name: object) -> list[tuple[str, object]]:
    raise PolicyError(f"condition operator {name} holds no object")


def _condition(name: str, key: str, values: object) -> Condition:
    quantifier, _, operator = name.rpartition(":")
    if (quantifier and quantifier not in _SETS) or (operator not in _OPERATORS and name != "Null"):
        raise PolicyError(f"unknown condition operator {name}")
    lower = key.lower()
    if not _KNOWN_KEYS.fullmatch(lower):
        raise PolicyError(f"unknown condition key {key}")
    alternatives = strings(values, f"condition {name} {key}")
    for variable in (v for text in alternatives for v in _VARIABLE.findall(text)):
        if variable not in _LITERALS and not _KNOWN_KEYS.fullmatch(variable.lower()):
            raise PolicyError(f"unknown policy variable {variable}")
    if operator in {"Null", "Bool"} and (len(alternatives) != 1 or alternatives[0].lower() not in {"true", "false"}):
        raise PolicyError(f"condition {name} {key} is neither true nor false")
    return Condition(operator, quantifier, lower, alternatives)


def strings(value: object, what: str) -> Values:
    """A policy element that is one string, one truth value or a list of strings.

    Raises:
        PolicyError: it is something else, or empty.
    """
    items: Sequence[object] = value if isinstance(value, list) else [value]
    texts = tuple(str(item).lower() if isinstance(item, bool) else item for item in items)
    if not texts or not all(isinstance(text, str) and len(text) <= MAX_PATTERN for text in texts):
        raise PolicyError(f"{what} is not a string or a list of strings")
    return tuple(str(text) for text in texts)


def wildcard(pattern: str) -> str:
    r"""The regular expression of an IAM pattern: `*` any text, `?` one character, a backslash before either: itself."""
    parts = re.split(r"(\\[*?\\]|[*?])", pattern)
    special = {"*": r"[\s\S]*", "?": r"[\s\S]"}
    return "".join(special.get(p) or re.escape(p[1:] if p[:1] == "\\" and len(p) == 2 else p) for p in parts)


def _resolve(text: str, request: Mapping[str, Values], *, escape: bool) -> str | None:
    """`text` with its variables replaced; None, which equals nothing, when the request lacks one of them."""
    resolved: list[str] = []
    for position, part in enumerate(_VARIABLE.split(text)):
        if position % 2 == 0:
            resolved.append(part)
            continue
        found = (part,) if part in _LITERALS else request.get(part.lower(), ())
        if len(found) != 1:
            return None
        # A tag that holds a star is a star and no wildcard.
        resolved.append(re.sub(r"([*?\\])", r"\\\1", found[0]) if escape else found[0])
    return "".join(resolved)
