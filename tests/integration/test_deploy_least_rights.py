"""The policy of the keys' administrator: what the stack takes, by CloudFormation's own handlers, and no more."""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cfnlint  # type: ignore[import-untyped]
import pytest
from cfn_template import resources

from devstack.provision import TEMPLATE

POLICY = json.loads((TEMPLATE.parent / "keys-administrator.json").read_text())["Statement"]
BOUNDARY = json.loads((TEMPLATE.parent / "roles-boundary.json").read_text())["Statement"]
SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas"
BESIDE = {
    "cloudformation:*": "what `aws cloudformation deploy` calls itself",
    "ssm:GetParameters": "a parameter of the template is one of SSM's",
    "autoscaling:DeleteLifecycleHook": "the group's hooks are part of it",
    "autoscaling:PutLifecycleHook": "the group's hooks are part of it",
    "iam:TagRole": "the roles carry their tenant",
    "sns:Unsubscribe": "another address",
}
"""Actions that a handler does not name, or not for its resource, and why they are given."""
NOT_USED = (
    # Services that nothing of the template touches, and properties that it does not set.
    "elasticloadbalancing:*",
    "managed-fleets:*",
    "s3tables:*",
    "vpc-lattice:*",
    "ssm:Get[*]",
    "ec2:Get[*]",
    "*:TagQueue",
    "*:TagResource",
    "*:UntagQueue",
    "*:UntagResource",
    "autoscaling:AttachLoad*",
    "autoscaling:AttachTraffic*",
    "autoscaling:*InstanceRefresh",
    "autoscaling:DeleteNotificationConfiguration",
    "autoscaling:DeleteTags",
    "autoscaling:Detach*",
    "autoscaling:DisableMetricsCollection",
    "autoscaling:PutNotificationConfiguration",
    "autoscaling:ResumeProcesses",
    "autoscaling:SuspendProcesses",
    "iam:*GroupPolicy",
    "iam:*UserPolicy",
    "iam:*RolePermissionsBoundary",
    "iam:AttachRolePolicy",
    "iam:DetachRolePolicy",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole*",
    "kms:UpdateKeyDescription",
    "kms:DisableKeyRotation",
    "s3:CreateBucketMetadataTableConfiguration",
    "s3:Delete*",
    "s3:Put*",
    "s3:UpdateBucket*",
    "sns:PutDataProtectionPolicy",
)
USED_ALL_THE_SAME = (
    "s3:DeleteBucketPolicy",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
)


def allowed(statements: list[dict[str, Any]], action: str) -> bool:
    """Whether a statement allows it somewhere."""
    return any(fnmatchcase(action, pattern) for statement in statements for pattern in listed(statement["Action"]))


def listed(value: Any) -> list[Any]:
    """One, or many."""
    return value if isinstance(value, list) else [value]


def of_keys(name: str) -> Iterator[dict[str, Any]]:
    """The statements of a key's policy that allow."""
    for statement in resources()[name]["Properties"]["KeyPolicy"]["Statement"]:
        if statement["Effect"] == "Allow":
            yield statement


@pytest.fixture(scope="module")
def handlers() -> dict[str, set[str]]:
    """What CloudFormation calls to make, read, change and end each type of the template, by its public schemas."""
    files = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())
    found = {}
    for kind in sorted({resource["Type"] for resource in resources().values()}):
        schema = json.loads((SCHEMAS / "resources" / f"{files[kind]}.json").read_text())
        found[kind] = {
            action
            for verb, handler in schema["handlers"].items()
            if verb != "list"
            for action in handler["permissions"]
        }
    return found


def test_it_may_do_what_the_stack_takes(handlers: dict[str, set[str]]) -> None:
    """By its own policy; on keys by theirs."""
    keys = [statement for name in ("QuestionsKey", "AnswersKey") for statement in of_keys(name)]
    administers = [one for one in keys if one["Sid"] == "AdministratorsManageAndDoNotUse"]
    missing = []
    for kind, actions in handlers.items():
        for action in sorted(actions):
            unused = any(fnmatchcase(action, pattern) for pattern in NOT_USED) and action not in USED_ALL_THE_SAME
            given = allowed(POLICY, action) or (action.startswith("kms:") and allowed(administers, action))
            if not (given or unused):
                missing.append(f"{kind}: {action}")
    assert missing == []


def test_it_may_do_nothing_else(handlers: dict[str, set[str]]) -> None:
    """Each action is one that a handler calls, or that is said why; and no wildcard is wider than a read."""
    called = set().union(*handlers.values())
    for statement in POLICY:
        for action in listed(statement["Action"]):
            known = action in called or any(fnmatchcase(one, action) for one in called)
            assert known or any(fnmatchcase(action, pattern) for pattern in BESIDE), action
            if "*" in action:
                assert action.partition(":")[2].startswith(("Describe", "Get")), action


def test_it_has_no_way_to_more() -> None:
    """No role without the boundary, none but those three, none of its own name, and none passed but to instances."""
    for statement in POLICY:
        actions = listed(statement["Action"])
        if any(action.startswith("iam:") for action in actions):
            assert all("role/sealbatch-*" not in name and name != "*" for name in listed(statement["Resource"]))
        if {"iam:CreateRole", "iam:PutRolePolicy"} & set(actions):
            [pinned] = statement["Condition"]["ArnLike"].values()
            assert pinned == "arn:*:iam::${aws:PrincipalAccount}:policy/sealbatch-boundary"
        if "iam:PassRole" in actions:
            assert statement["Resource"].endswith("role/sealbatch-BridgeRole-*")
            assert "iam:PassedToService" in statement["Condition"]["StringLike"]
    forbidden = ("CreatePolicyVersion", "DeleteRolePermissionsBoundary", "AttachRolePolicy", "UpdateAssumeRolePolicy")
    assert not any(allowed(POLICY, f"iam:{action}") for action in forbidden)
    assert not any(allowed(POLICY, action) for action in ("kms:Decrypt", "kms:PutKeyPolicy", "s3:GetObject"))


def test_the_boundary_is_as_wide_as_the_roles() -> None:
    """By their own policies and the keys'; not one action more."""
    actions = set()
    for resource in resources().values():
        if resource["Type"] == "AWS::IAM::Policy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                actions.update(listed(statement["Action"]))
    for name in ("QuestionsKey", "AnswersKey"):
        for statement in of_keys(name):
            if statement["Sid"] != "AdministratorsManageAndDoNotUse":
                actions.update(listed(statement["Action"]))
    assert set(BOUNDARY[0]["Action"]) == actions
    roles = [one for one in resources().values() if one["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 3
    assert all("RolesBoundary" in role["Properties"]["PermissionsBoundary"] for role in roles)
