"""Evaluate a KMS key policy for one call, as IAM does within an account.

Only the key policy is looked at. So a statement that allows the account (its root) allows the root user and nobody
else here, where AWS would ask the callers' identity policies too: stricter than AWS, never laxer. In a Deny the
account stands for everybody in it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from devstack.conditions import Condition, PolicyError, Values, parse_conditions, strings, wildcard

MAX_POLICY: Final = 32 * 1024  # KMS's own limit
ATTESTED_ACTIONS: Final = frozenset(
    {"kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair", "kms:GenerateRandom"}
)

_ELEMENTS: Final = frozenset({"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"})
_ACCOUNT: Final = re.compile(r"(?:arn:aws[a-z-]*:iam::)?([0-9]{12})(?::root)?")


class Decision(StrEnum):
    """What a policy says about a call."""

    ALLOW = "allow"
    IMPLICIT_DENY = "implicit deny"
    EXPLICIT_DENY = "explicit deny"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `arn` is the user or role (`aws:PrincipalArn`), `session` the assumed-role session if there is one."""

    account: str
    arn: str
    session: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The ARN that AWS names in its errors and logs."""
        return self.session or self.arn


@dataclass(frozen=True, slots=True)
class Call:
    """One call on a key. `pcrs` are those of a *verified* attestation document, None when the call had none."""

    action: str  # "kms:Decrypt"
    key_arn: str
    caller: Caller
    context: Mapping[str, str] = field(default_factory=dict)
    pcrs: Mapping[int, bytes] | None = None


@dataclass(frozen=True, slots=True)
class _Statement:
    allows: bool
    principals: Values
    actions: Values
    excludes: bool  # NotAction
    resources: Values
    conditions: tuple[Condition, ...]

    def applies(self, call: Call, keys: Mapping[str, Values]) -> bool:
        named = any(re.fullmatch(wildcard(a), call.action, re.IGNORECASE) for a in self.actions)
        return (
            named != self.excludes
            and any(re.fullmatch(wildcard(r), call.key_arn) for r in self.resources)
            and any(self._names(principal, call.caller) for principal in self.principals)
            and all(condition.holds(keys) for condition in self.conditions)
        )

    def _names(self, principal: str, caller: Caller) -> bool:
        if principal == "*":
            return True
        account = _ACCOUNT.fullmatch(principal)
        if account is None:
            return principal in {caller.arn, caller.session}
        return account[1] == caller.account and (not self.allows or caller.arn.endswith(":root"))


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """A parsed key policy."""

    statements: tuple[_Statement, ...]

    def evaluate(self, call: Call) -> Decision:
        """Decide: an applicable Deny wins, then an applicable Allow, and otherwise nobody was asked in."""
        keys = _condition_keys(call)
        effects = {statement.allows for statement in self.statements if statement.applies(call, keys)}
        if False in effects:
            return Decision.EXPLICIT_DENY
        return Decision.ALLOW if True in effects else Decision.IMPLICIT_DENY


def parse_policy(text: str) -> KeyPolicy:
    """Read a key policy's JSON.

    Raises:
        PolicyError: it is malformed, or holds an element, operator, condition key or variable not known here.
    """
    if len(text) > MAX_POLICY:
        raise PolicyError("the policy is too long")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError("the policy is not JSON") from error
    if not isinstance(document, dict) or not document.keys() <= {"Version", "Id", "Statement"}:
        raise PolicyError("the policy is not an object of Version, Id and Statement")
    if document.get("Version") != "2012-10-17":  # the older version has no policy variables
        raise PolicyError("the policy's Version is not 2012-10-17")
    statements = document.get("Statement")
    return KeyPolicy(tuple(_statement(s) for s in (statements if isinstance(statements, list) else [statements])))


def _statement(value: object) -> _Statement:
    if not isinstance(value, dict):
        raise PolicyError("a statement is not an object")
    if unknown := value.keys() - _ELEMENTS:  # NotPrincipal and NotResource among them
        raise PolicyError(f"unknown statement element {min(map(str, unknown))}")
    if value.get("Effect") not in {"Allow", "Deny"}:
        raise PolicyError("a statement's Effect is neither Allow nor Deny")
    if ("Action" in value) == ("NotAction" in value):
        raise PolicyError("a statement needs one of Action and NotAction")
    return _Statement(
        allows=value["Effect"] == "Allow",
        principals=_principals(value.get("Principal")),
        actions=strings(value.get("Action", value.get("NotAction")), "Action"),
        excludes="NotAction" in value,
        resources=strings(value.get("Resource"), "Resource"),
        conditions=parse_conditions(value.get("Condition", {})),
    )


def _principals(value: object) -> Values:
    if value == "*":
        return ("*",)
    if not isinstance(value, dict) or not value or not value.keys() <= {"AWS", "Service"}:
        raise PolicyError("Principal is neither * nor an object of AWS and Service")
    names = strings(value["AWS"], "Principal") if "AWS" in value else ()
    if any("*" in name and name != "*" for name in names):
        raise PolicyError("a principal holds a wildcard")  # IAM takes none within an ARN
    return names


def _condition_keys(call: Call) -> dict[str, Values]:
    caller = call.caller
    keys: dict[str, Values] = {"aws:principalarn": (caller.arn,), "kms:calleraccount": (caller.account,)}
    for name, value in caller.tags.items():
        keys[f"aws:principaltag/{name}".lower()] = (value,)
    for name, value in call.context.items():
        key = f"kms:encryptioncontext:{name}".lower()
        keys[key] = (*keys.get(key, ()), value)
    if call.context:
        keys["kms:encryptioncontextkeys"] = tuple(call.context)
    if call.pcrs is not None and call.action in ATTESTED_ACTIONS:
        for index, pcr in call.pcrs.items():
            keys[f"kms:recipientattestation:pcr{index}"] = (pcr.hex(),)
        keys["kms:recipientattestation:imagesha384"] = (call.pcrs[0].hex(),)
    return keys
