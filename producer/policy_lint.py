"""Finds in a KMS key's policy what lets anybody but the attested image, or the reader, open what is sealed to it."""

import enum
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from producer.pins import Pin
from producer.policy_statements import (
    ATTESTATION,
    IMAGE_KEYS,
    MODEL_KEYS,
    PolicyFormError,
    Statement,
    Test,
    parse_statements,
)
from wire.keys import Purpose

DECRYPT: Final = "kms:Decrypt"
GENERATE: Final = "kms:GenerateDataKey"
ATTESTABLE: Final = frozenset(
    {"kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair", "kms:GenerateRandom"}
)
"""The operations that take an attestation document; a condition on one never holds in another."""
MUST_BE_DENIED: Final = {
    "reencrypt": ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    "grant": ("kms:CreateGrant",),
    "replica": ("kms:ReplicateKey",),
    "import": ("kms:ImportKeyMaterial",),
    "encrypt": ("kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext"),
}
_WAYS: Final = {
    "reencrypt": "moves a wrapped key to another key, past every condition on Decrypt",
    "grant": "hands Decrypt to somebody whom the policy does not name",
    "replica": "makes the key anew in another region, with a policy of its own",
    "import": "puts key material there that somebody knows",
    "encrypt": "makes wrapped keys that no producer asked for",
}
_TENANT: Final = "${aws:PrincipalTag/tenant}"
_PCR: Final = re.compile(r"[0-9a-fA-F]{96}")
_CONTEXT: Final = "kms:encryptioncontext:sealbatch:"


class Severity(enum.StrEnum):
    """An error lets somebody in; a warning is worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its rule, the statement or fact that it is about, and what it means."""

    rule: str
    severity: Severity
    where: str
    message: str


def lint_policy(text: str, purpose: Purpose, required: Collection[Pin] = ()) -> tuple[Finding, ...]:
    """Lint the policy of a questions key or an answers key; `required` are the only enclaves that may be admitted."""
    try:
        statements = parse_statements(text)
    except PolicyFormError as error:
        return (_error("form", "policy", str(error)),)
    findings = [*_everywhere(statements), *_missing_denials(statements)]
    findings += _questions(statements, required) if purpose == "question" else _answers(statements)
    return tuple(findings)


def lint_key(metadata: Mapping[str, Any], grants: Collection[Any]) -> tuple[Finding, ...]:
    """Lint what `DescribeKey` and `ListGrants` say about a key: what a policy cannot show."""
    facts = (
        (metadata.get("Origin") == "AWS_KMS", "origin", "the key's material was not made by KMS: somebody may know it"),
        (metadata.get("KeyManager") == "CUSTOMER", "manager", "not a customer managed key: its policy is not yours"),
        (not metadata.get("MultiRegion"), "multi_region", "a multi-Region key: a replica has a policy of its own"),
        (metadata.get("KeySpec") == "SYMMETRIC_DEFAULT", "spec", "not a symmetric key"),
        (bool(metadata.get("Enabled")), "disabled", "the key is disabled"),
        (not grants, "grants", f"{len(grants)} grants stand beside the policy"),
    )
    return tuple(_error(rule, "key", message) for holds, rule, message in facts if not holds)


def _denied_but(statement: Statement) -> frozenset[str] | None:
    """The images that a Deny of unattested decryption leaves; None if the statement is none."""
    if statement.allows or not statement.about_everybody() or not statement.covers(DECRYPT):
        return None
    if len(statement.tests) != 1 or statement.tests[0].key not in IMAGE_KEYS or not statement.tests[0].excludes:
        return None
    return frozenset(value.lower() for value in statement.tests[0].values)


def _everywhere(statements: tuple[Statement, ...]) -> Iterator[Finding]:
    """What is wrong in a policy of either key."""
    for statement in statements:
        yield from _attestation_tests(statement)
        if not statement.allows:
            continue
        if statement.excluded:
            yield _error("not_action", statement.name, "allows all but some actions, those of the future included")
        elif statement.covers("kms:AnythingAtAll"):
            yield _error("all_actions", statement.name, "allows kms:*, and with it decryption and grants")
        uses = statement.covers(DECRYPT) or statement.covers(GENERATE)
        if statement.about_everybody() and uses:
            yield _error("everybody", statement.name, "lets every principal use the key")
        if uses and any(name.endswith(":root") or name.isdigit() for name in statement.principals):
            yield _error("root", statement.name, "hands the decision to the account's own policies (root statement)")
        ways = [action for actions in MUST_BE_DENIED.values() for action in actions if statement.covers(action)]
        if ways and not statement.excluded and not statement.covers("kms:AnythingAtAll"):
            yield _error("allowed_way", statement.name, f"allows {ways[0]}")


def _attestation_tests(statement: Statement) -> Iterator[Finding]:
    tests = [test for test in statement.tests if test.key.startswith(ATTESTATION)]
    for test in tests:
        yield from _attestation_test(statement, test)
    unattestable = [a for a in statement.actions if "*" not in a and not _among(a, ATTESTABLE)]
    if tests and unattestable and not statement.excluded:
        yield _error(
            "cannot_attest",
            statement.name,
            f"puts attestation on {unattestable[0]}, which takes no attestation document",
        )
    if statement.allows and tests and not any(test.key in IMAGE_KEYS for test in tests):
        yield _error("pcr0_not_pinned", statement.name, "pins other registers than PCR0: a debug enclave has those too")


def _attestation_test(statement: Statement, test: Test) -> Iterator[Finding]:
    if statement.allows and not test.pins:
        yield _error("operator", statement.name, f"{test.operator} on attestation can hold for what is not named")
    for value in test.values if test.key in IMAGE_KEYS | MODEL_KEYS else ():
        image = test.key in IMAGE_KEYS
        if _PCR.fullmatch(value) is None:
            yield _error(
                "pcr0_form" if image else "pcr16_form", statement.name, "a register is not 96 hexadecimal digits"
            )
        elif not value.strip("0") and image:
            yield _error("debug", statement.name, "admits an all-zero PCR0, which is every enclave in debug mode")
        elif not value.strip("0"):
            yield _error("unmeasured", statement.name, "admits an all-zero PCR16: an enclave that measured no model")


def _missing_denials(statements: tuple[Statement, ...]) -> Iterator[Finding]:
    denials = [s for s in statements if not s.allows and s.about_everybody() and not s.tests]
    for rule, actions in MUST_BE_DENIED.items():
        for action in actions:
            if not any(denial.covers(action) for denial in denials):
                yield _error(rule, "policy", f"{action} is not denied to everybody: it {_WAYS[rule]}")


def _questions(statements: tuple[Statement, ...], required: Collection[Pin]) -> Iterator[Finding]:
    """What is wrong in the policy of a key for questions: decryption is for attested images alone."""
    for statement in (s for s in statements if s.allows and s.covers(DECRYPT)):
        pinned = statement.pinned_images()
        if pinned is None:
            yield _error("unattested", statement.name, "allows Decrypt without a pinned PCR0")
        else:
            yield from _pairs(statement, pinned)
            yield from _models(statement, pinned, required)
        yield from _bound(statement, "question")
    yield from _generates(statements, "question")
    if not any(_denied_but(statement) is not None for statement in statements):
        yield _error("no_deny", "policy", "no Deny stops unattested Decrypt: an account's own policies may allow it")
    images = admitted_images(statements)
    wanted = {pin.image.lower() for pin in required}
    for image in sorted(images - wanted if wanted and images is not None else ()):
        yield _error("other_image", "policy", f"admits the image {image}, which is not required")
    if wanted and images is not None and not images & wanted:
        yield _error("image_missing", "policy", "admits none of the required images")
    if wanted and images is None:
        yield _error("other_image", "policy", "admits callers whatever they attest")


def admitted_images(statements: tuple[Statement, ...]) -> frozenset[str] | None:
    """PCR0 values that the policy lets decrypt; None if something lets in a caller whatever it attests."""
    admitted: frozenset[str] | None = frozenset()
    for statement in statements:
        if statement.allows and statement.covers(DECRYPT):
            pinned = statement.pinned_images()
            admitted = None if pinned is None or admitted is None else admitted | pinned
    for statement in statements:
        bound = _denied_but(statement)
        if bound is not None:
            admitted = bound if admitted is None else admitted & bound
    return admitted


def _pairs(statement: Statement, pinned: frozenset[str]) -> Iterator[Finding]:
    """The image that KMS attests must be the image that the producer demanded, a statement a release."""
    demanded = {value.lower() for test in statement.about(f"{_CONTEXT}image") if test.pins for value in test.values}
    if demanded != pinned or len(pinned) != 1:
        yield _error(
            "rollback", statement.name, "does not tie sealbatch:image to one attested PCR0: an old image opens new jobs"
        )


def _models(statement: Statement, images: frozenset[str], required: Collection[Pin]) -> Iterator[Finding]:
    """Of a required image, only the models that are required with it."""
    pins = [pin for pin in required if pin.image.lower() in images]
    wanted = {pin.model.lower() for pin in pins if pin.model is not None}
    if not wanted or any(pin.model is None for pin in pins):
        return
    models = statement.pinned_models()
    if models is None:
        yield _error("any_model", statement.name, "does not pin PCR16: the host may load any model into the image")
    for model in sorted(models - wanted if models else ()):
        yield _error("other_model", statement.name, f"admits the model measured as {model}, which is not required")


def _answers(statements: tuple[Statement, ...]) -> Iterator[Finding]:
    """What is wrong in the policy of a key for answers: decryption is for readers of the tenant."""
    for statement in (s for s in statements if s.allows and s.covers(DECRYPT)):
        yield from _bound(statement, "answer")
    yield from _generates(statements, "answer")


def _generates(statements: tuple[Statement, ...], purpose: Purpose) -> Iterator[Finding]:
    for statement in (s for s in statements if s.allows and s.covers(GENERATE)):
        yield from _bound(statement, purpose)


def _bound(statement: Statement, purpose: Purpose) -> Iterator[Finding]:
    """Use of a key is bound to its purpose and to the caller's own tenant."""
    purposes = [test for test in statement.about(f"{_CONTEXT}purpose") if test.pins and test.values == (purpose,)]
    if not purposes:
        yield _error("purpose", statement.name, f"does not demand sealbatch:purpose {purpose}")
    tenants = [test for test in statement.about(f"{_CONTEXT}tenant") if test.pins]
    if not tenants:
        yield _error("tenant", statement.name, "does not demand a sealbatch:tenant: other tenants' keys open too")
    elif any(test.values != (_TENANT,) for test in tenants):
        yield Finding("tenant", Severity.WARNING, statement.name, "names tenants instead of the caller's own tag")


def _among(action: str, actions: Collection[str]) -> bool:
    return action.lower() in {name.lower() for name in actions}


def _error(rule: str, where: str, message: str) -> Finding:
    return Finding(rule, Severity.ERROR, where, message)
