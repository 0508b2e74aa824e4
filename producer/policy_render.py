"""Writes the policies of the two KMS keys from the images that are released; deploy/template.yaml holds the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from producer.pins import Pin
from wire.keys import Purpose

_ADMINISTRATION: Final = (
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
)
_WAYS_AROUND: Final = (
    "kms:CreateGrant",
    "kms:Encrypt",
    "kms:GenerateDataKeyPair*",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ImportKeyMaterial",
    "kms:ReEncrypt*",
    "kms:ReplicateKey",
)
_LOOKING: Final = ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListGrants")
_PCR0: Final = "kms:RecipientAttestation:PCR0"
_PCR16: Final = "kms:RecipientAttestation:PCR16"
_CONTEXT: Final = "kms:EncryptionContext:sealbatch:"


@dataclass(frozen=True, slots=True)
class Principals:
    """ARNs of the roles that a key's policy names."""

    administrator: str
    producer: str
    reader: str
    bridge: str


def render_policy(purpose: Purpose, principals: Principals, pins: Sequence[Pin]) -> dict[str, Any]:
    """The policy of the questions key or the answers key; `pins` are the enclaves that may open questions.

    Raises:
        ValueError: no image is named for the questions key.
    """
    if purpose == "question" and not pins:
        raise ValueError("at least one image is needed")
    use = _questions(principals, pins) if purpose == "question" else _answers(principals)
    plural = "Question" if purpose == "question" else "Answer"
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow("AdministratorsManageAndDoNotUse", principals.administrator, list(_ADMINISTRATION)),
            _allow("ProducersReadThisPolicy", principals.producer, list(_LOOKING)),
            _allow(
                f"ProducersMake{plural}KeysForTheirTenant",
                principals.producer,
                "kms:GenerateDataKey",
                {"StringEquals": _own(purpose)},
            ),
            *use,
            {
                "Sid": "NoWayAroundThisPolicy",
                "Effect": "Deny",
                "Principal": "*",
                "Action": list(_WAYS_AROUND),
                "Resource": "*",
            },
        ],
    }


def _questions(principals: Principals, pins: Sequence[Pin]) -> list[dict[str, Any]]:
    # A statement a release: in one statement with two images, either could open what was sealed for the other, and
    # with two models, one image's model could be loaded into the other.
    statements = [
        _allow(
            "TheAttestedImageOpensQuestionsThatDemandIt" + (str(number) if number else ""),
            principals.bridge,
            "kms:Decrypt",
            {
                "StringEqualsIgnoreCase": {_PCR0: pin.image} | ({} if pin.model is None else {_PCR16: pin.model}),
                "StringEquals": {f"{_CONTEXT}image": pin.image} | _own("question"),
            },
        )
        for number, pin in enumerate(pins)
    ]
    denials = [_deny_others("NobodyElseOpensQuestions", _PCR0, [pin.image for pin in pins])]
    models = [pin.model for pin in pins if pin.model is not None]
    if len(models) == len(pins):
        denials.append(_deny_others("NobodyOpensQuestionsWithAnotherModel", _PCR16, models))
    return [*statements, *denials]


def _deny_others(sid: str, register: str, values: Sequence[str]) -> dict[str, Any]:
    distinct = list(dict.fromkeys(values))
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": {"StringNotEqualsIgnoreCase": {register: distinct[0] if len(distinct) == 1 else distinct}},
    }


def _answers(principals: Principals) -> list[dict[str, Any]]:
    condition = {"StringEquals": _own("answer")}
    return [_allow("ReadersOpenAnswersOfTheirTenant", principals.reader, "kms:Decrypt", condition)]


def _own(purpose: Purpose) -> dict[str, str]:
    return {f"{_CONTEXT}purpose": purpose, f"{_CONTEXT}tenant": "${aws:PrincipalTag/tenant}"}


def _allow(
    sid: str, principal: str, action: str | list[str], condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": action,
        "Resource": "*",
    }
    return statement if condition is None else statement | {"Condition": condition}
