"""Reads the keys that are about to be sealed to, and refuses if anybody but the required image could open them."""

from collections.abc import Collection

from aws_errors.mapped import mapped
from producer.clients import KmsClient
from producer.errors import KeyRefused
from producer.pins import Pin
from producer.policy_lint import Finding, Severity, lint_key, lint_policy
from producer.settings import ProducerSettings
from wire.keys import Purpose


def read_findings(
    kms: KmsClient, key_arn: str, purpose: Purpose, required: Collection[Pin] = ()
) -> tuple[Finding, ...]:
    """Read a key's policy, grants and metadata, and lint them.

    Raises:
        ServiceError: KMS refuses or does not answer.
    """
    with mapped("KMS", "GetKeyPolicy", key_arn):
        policy = str(kms.get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"])
    with mapped("KMS", "DescribeKey", key_arn):
        metadata = kms.describe_key(KeyId=key_arn)["KeyMetadata"]
    with mapped("KMS", "ListGrants", key_arn):
        grants = kms.list_grants(KeyId=key_arn)["Grants"]
    return *lint_policy(policy, purpose, required), *lint_key(metadata, grants)


def require_images(kms: KmsClient, settings: ProducerSettings, required: Collection[Pin]) -> None:
    """Both keys admit nobody but the required images and the readers.

    Raises:
        KeyRefused: something else is admitted, or may be. ServiceError: KMS refuses or does not answer.
    """
    keys: tuple[tuple[Purpose, str], ...] = (("question", settings.question_key), ("answer", settings.answer_key))
    for purpose, arn in keys:
        found = read_findings(kms, arn, purpose, required)
        errors = [finding for finding in found if finding.severity is Severity.ERROR]
        if errors:
            raise KeyRefused(arn, errors)
