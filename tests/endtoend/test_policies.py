"""Key policies from the user's side: linted where they stand, demanded at submit, rendered for a release."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from command import Typist

from devstack.provision import ADMINISTRATOR
from devstack.stack import Stack


@pytest.fixture
def kms(stack: Stack) -> Any:
    """KMS with the rights of whoever administers the keys."""
    session = boto3.session.Session("root", "root", region_name="eu-central-1")
    return session.client("kms", endpoint_url=stack.endpoint)


@pytest.fixture
def loosened(stack: Stack, kms: Any) -> Iterator[str]:
    """The questions key with a second image in its policy, until the test ends; that image."""
    arn, other = tomllib.loads(stack.config.read_text())["question_key"], "ab" * 48
    policy = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    image = json.loads(stack.release.read_text())["pcrs"]["0"]
    changed = json.loads(policy)
    for statement in changed["Statement"]:
        if statement["Sid"] == "NobodyElseOpensQuestions":
            statement["Condition"]["StringNotEqualsIgnoreCase"]["kms:RecipientAttestation:PCR0"] = [image, other]
    second = json.loads(json.dumps(changed["Statement"]).replace(f'"{image}"', f'"{other}"'))
    opens = next(item for item in second if item["Sid"].startswith("TheAttestedImage"))
    changed["Statement"].append(opens | {"Sid": "Old"})
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(changed))
    yield other
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=policy)


def test_the_deployed_policies_are_linted_without_a_finding(typist: Typist, stack: Stack) -> None:
    """The keys of deploy/template.yaml, as their KMS gives them."""
    done = typist.type("policy", "lint", "--release", str(stack.release))
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    assert b"question, answer: no errors, 0 warnings" in done.stderr


def test_submit_refuses_a_key_that_admits_another_image(typist: Typist, stack: Stack, loosened: str) -> None:
    """Nothing is sealed, the other image is named, and lint says the same."""
    image = json.loads(stack.release.read_text())["pcrs"]["0"]
    (typist.folder / "in.jsonl").write_text('{"custom_id":"a","question":"How many days?"}\n')
    done = typist.type("submit", "in.jsonl", "--require-pcr0", image)
    assert (done.returncode, done.stdout) == (9, b"")
    assert f"admits the image {loosened}".encode() in done.stderr
    assert b"nothing was sealed" in done.stderr
    assert typist.type("submit", "in.jsonl", "--require-pcr0", image, "--require-pcr0", loosened).returncode == 0
    linted = typist.type("policy", "lint", "--pcr0", image)
    assert linted.returncode == 9
    (row,) = [json.loads(line) for line in linted.stdout.splitlines()]
    assert (row["key"], row["rule"], row["severity"]) == ("question", "other_image", "error")


def test_submit_demands_that_the_configured_image_is_the_required_one(typist: Typist) -> None:
    """Sealing for one image and requiring another is a mistake."""
    (typist.folder / "in.jsonl").write_text('{"custom_id":"a","question":"How many days?"}\n')
    done = typist.type("submit", "in.jsonl", "--require-pcr0", "ab" * 48)
    assert (done.returncode, b"configured image" in done.stderr) == (2, True)


def test_a_rendered_policy_is_the_deployed_one(typist: Typist, stack: Stack, kms: Any) -> None:
    """From the release of the running enclave and the roles of the stack."""
    arns = tomllib.loads(stack.config.read_text())
    iam = boto3.session.Session("root", "root", region_name="eu-central-1").client("iam", endpoint_url=stack.endpoint)
    roles = {role["RoleName"]: role["Arn"] for role in iam.list_roles()["Roles"]}
    found = {kind: next(arn for name, arn in roles.items() if f"{kind.title()}Role" in name) for kind in _KINDS}
    words = [word for kind, arn in found.items() for word in (f"--{kind}", arn)]
    for purpose in ("question", "answer"):
        done = typist.type(
            "policy", "render", purpose, "--release", str(stack.release), "--administrator", ADMINISTRATOR, *words
        )
        assert done.returncode == 0, done.stderr.decode()
        deployed = kms.get_key_policy(KeyId=arns[f"{purpose}_key"], PolicyName="default")["Policy"]
        assert json.loads(done.stdout) == json.loads(deployed)


_KINDS = ("producer", "reader", "bridge")
