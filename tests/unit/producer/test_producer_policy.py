"""Key policies: what is rendered has no finding and does in the evaluator what it says; every rule finds its fault."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.policy import Call, Caller, Decision, parse_policy
from producer.pins import Pin
from producer.policy_lint import Finding, Severity, admitted_images, lint_key, lint_policy
from producer.policy_render import Principals, render_policy
from producer.policy_statements import parse_statements
from wire.keys import Purpose, encryption_context

TEMPLATE = Path(__file__).resolve().parents[3] / "deploy" / "template.yaml"
ROLE = "arn:aws:iam::123456789012:role/"
PRINCIPALS = Principals(*(ROLE + name for name in ("administrator", "producer", "reader", "bridge")))
ONE, TWO = "0123456789abcdef" * 6, "fedcba9876543210" * 6
MODEL, OTHER = "ab" * 48, "cd" * 48
JOB = "abcdefghijklmnop"
Policy = dict[str, Any]


def rendered(purpose: Purpose = "question", *images: str) -> Policy:
    """A fresh policy."""
    return copy.deepcopy(render_policy(purpose, PRINCIPALS, [Pin(image) for image in images or (ONE,)]))


def statement(policy: Policy, sid: str) -> dict[str, Any]:
    """The statement whose Sid begins so."""
    return next(item for item in policy["Statement"] if item["Sid"].startswith(sid))


def rules(policy: Policy, purpose: Purpose = "question", *required: str) -> set[str]:
    """The rules that find something."""
    return {finding.rule for finding in lint_policy(json.dumps(policy), purpose, [Pin(image) for image in required])}


@pytest.mark.parametrize("purpose", ["question", "answer"])
def test_a_rendered_policy_has_no_finding(purpose: Purpose) -> None:
    """With one release and with two."""
    for images in ((ONE,), (ONE, TWO)):
        assert rules(rendered(purpose, *images), purpose, *images) == set()
    assert rules(rendered(purpose), purpose) == set()


def test_the_template_holds_what_is_rendered() -> None:
    """One source of truth: the policies of deploy/template.yaml are the rendered ones, statement for statement."""

    class Loader(yaml.SafeLoader):
        """CloudFormation's short forms."""

    names = {
        "KeyAdministrator": PRINCIPALS.administrator,
        "ProducerRole.Arn": PRINCIPALS.producer,
        "ReaderRole.Arn": PRINCIPALS.reader,
        "BridgeRole.Arn": PRINCIPALS.bridge,
        "Image": ONE,
        "Model": MODEL,
    }
    for tag in ("!Ref", "!GetAtt", "!Sub"):
        Loader.add_constructor(tag, lambda _, node: names.get(node.value, node.value))
    Loader.add_multi_constructor("!", lambda *_: "no part of a policy")
    resources = yaml.load(TEMPLATE.read_text(), Loader)["Resources"]  # noqa: S506 - a SafeLoader
    for name, purpose in (("QuestionsKey", "question"), ("AnswersKey", "answer")):
        wanted = render_policy(purpose, PRINCIPALS, [Pin(ONE, MODEL)])  # type: ignore[arg-type]
        assert resources[name]["Properties"]["KeyPolicy"] == wanted


def call(action: str, role: str, purpose: Purpose, image: str, attested: str | None = None, tenant: str = "a") -> Call:
    """A call of a role that is tagged with the tenant `a`."""
    context = encryption_context(purpose, tenant, JOB, image)
    pcrs = None if attested is None else {0: bytes.fromhex(attested)}
    return Call(f"kms:{action}", "arn:key", Caller("123456789012", ROLE + role, tags={"tenant": "a"}), context, pcrs)


DECISIONS = [
    ("question", call("Decrypt", "bridge", "question", ONE, ONE), Decision.ALLOW),
    ("question", call("Decrypt", "bridge", "question", TWO, TWO), Decision.ALLOW),
    ("question", call("Decrypt", "bridge", "question", ONE, TWO), Decision.IMPLICIT_DENY),
    ("question", call("Decrypt", "bridge", "question", TWO, ONE), Decision.IMPLICIT_DENY),
    ("question", call("Decrypt", "bridge", "question", ONE), Decision.EXPLICIT_DENY),
    ("question", call("Decrypt", "bridge", "question", ONE, "ab" * 48), Decision.EXPLICIT_DENY),
    ("question", call("Decrypt", "bridge", "question", ONE, "00" * 48), Decision.EXPLICIT_DENY),
    ("question", call("Decrypt", "bridge", "question", ONE, ONE, tenant="b"), Decision.IMPLICIT_DENY),
    ("question", call("Decrypt", "bridge", "answer", ONE, ONE), Decision.IMPLICIT_DENY),
    ("question", call("Decrypt", "producer", "question", ONE), Decision.EXPLICIT_DENY),
    ("question", call("Decrypt", "administrator", "question", ONE), Decision.EXPLICIT_DENY),
    ("question", call("GenerateDataKey", "producer", "question", ONE), Decision.ALLOW),
    ("question", call("GenerateDataKey", "producer", "question", ONE, tenant="b"), Decision.IMPLICIT_DENY),
    ("question", call("GenerateDataKey", "bridge", "question", ONE, ONE), Decision.IMPLICIT_DENY),
    ("question", call("ReEncryptFrom", "administrator", "question", ONE), Decision.EXPLICIT_DENY),
    ("question", call("CreateGrant", "administrator", "question", ONE), Decision.EXPLICIT_DENY),
    ("question", call("ReplicateKey", "administrator", "question", ONE), Decision.EXPLICIT_DENY),
    ("question", call("GetKeyPolicy", "producer", "question", ONE), Decision.ALLOW),
    ("answer", call("Decrypt", "reader", "answer", ONE), Decision.ALLOW),
    ("answer", call("Decrypt", "reader", "answer", ONE, tenant="b"), Decision.IMPLICIT_DENY),
    ("answer", call("Decrypt", "bridge", "answer", ONE, ONE), Decision.IMPLICIT_DENY),
    ("answer", call("GenerateDataKey", "producer", "answer", ONE), Decision.ALLOW),
    ("answer", call("GenerateDataKey", "bridge", "answer", ONE, ONE), Decision.IMPLICIT_DENY),
    ("answer", call("Encrypt", "producer", "answer", ONE), Decision.EXPLICIT_DENY),
]


@pytest.mark.parametrize(("purpose", "asked", "decision"), DECISIONS)
def test_the_rendered_policies_decide_as_they_say(purpose: Purpose, asked: Call, decision: Decision) -> None:
    """Evaluated as the local KMS evaluates them, for two releases at a time."""
    policy = parse_policy(json.dumps(rendered(purpose, ONE, TWO)))
    assert policy.evaluate(asked) is decision


def _drop(*sids: str) -> Callable[[Policy], None]:
    def change(policy: Policy) -> None:
        policy["Statement"] = [item for item in policy["Statement"] if not item["Sid"].startswith(sids)]

    return change


def _set(sid: str, **values: Any) -> Callable[[Policy], None]:
    return lambda policy: statement(policy, sid).update(values)


def _condition(sid: str, operator: str, key: str, value: Any) -> Callable[[Policy], None]:
    def change(policy: Policy) -> None:
        condition = statement(policy, sid)["Condition"]
        for keys in condition.values():
            keys.pop(key, None)
        if value is not None:
            condition.setdefault(operator, {})[key] = value

    return change


def _add(**values: Any) -> Callable[[Policy], None]:
    base = {"Sid": "Added", "Effect": "Allow", "Principal": {"AWS": ROLE + "other"}, "Resource": "*"}
    return lambda policy: policy["Statement"].append(base | values)


def _deny(action: str) -> Callable[[Policy], None]:
    return lambda policy: statement(policy, "NoWay")["Action"].remove(action)


PCR0, IMAGE = "kms:RecipientAttestation:PCR0", "kms:EncryptionContext:sealbatch:image"
OPENS, NOBODY = "TheAttestedImage", "NobodyElse"
TENANT, PURPOSE = "kms:EncryptionContext:sealbatch:tenant", "kms:EncryptionContext:sealbatch:purpose"

FAULTS: list[tuple[str, Callable[[Policy], Any]]] = [
    ("form", lambda policy: policy.update(Version="2008-10-17")),
    ("form", _add(Action="kms:Decrypt", NotPrincipal={"AWS": "*"})),
    ("form", _add()),
    ("unattested", _condition(OPENS, "", PCR0, None)),
    ("unattested", _add(Action="kms:Decrypt")),
    ("unattested", _add(Action="kms:De*")),
    ("unattested", _condition(OPENS, "StringNotEqualsIgnoreCase", PCR0, ONE)),
    ("operator", _condition(OPENS, "StringLike", PCR0, ONE)),
    ("operator", _condition(OPENS, "StringEqualsIfExists", PCR0, ONE)),
    ("operator", _condition(OPENS, "ForAllValues:StringEquals", PCR0, ONE)),
    ("pcr0_not_pinned", lambda policy: (
        _condition(OPENS, "", PCR0, None)(policy),
        _condition(OPENS, "StringEquals", "kms:RecipientAttestation:PCR8", ONE)(policy),
    )),
    ("pcr0_form", _condition(OPENS, "StringEquals", PCR0, "abc")),
    ("debug", _condition(OPENS, "StringEquals", PCR0, "0" * 96)),
    ("debug", _set(NOBODY, Condition={"StringNotEqualsIgnoreCase": {PCR0: [ONE, "0" * 96]}})),
    ("cannot_attest", _add(Action=["kms:Encrypt"], Condition={"StringEquals": {PCR0: ONE}})),
    ("cannot_attest", _set(NOBODY, Action=["kms:Decrypt", "kms:ReEncryptFrom"])),
    ("no_deny", _drop(NOBODY)),
    ("no_deny", _set(NOBODY, Principal={"AWS": ROLE + "other"})),
    ("no_deny", _condition(NOBODY, "Bool", "aws:MultiFactorAuthPresent", "false")),
    ("rollback", _condition(OPENS, "StringEquals", IMAGE, None)),
    ("rollback", _condition(OPENS, "StringEquals", IMAGE, TWO)),
    ("rollback", lambda policy: (
        _condition(OPENS, "StringEquals", IMAGE, [ONE, TWO])(policy),
        _condition(OPENS, "StringEqualsIgnoreCase", PCR0, [ONE, TWO])(policy),
    )),
    ("purpose", _condition(OPENS, "StringEquals", PURPOSE, None)),
    ("purpose", _condition("ProducersMake", "StringEquals", PURPOSE, "answer")),
    ("tenant", _condition(OPENS, "StringEquals", TENANT, None)),
    ("tenant", _condition("ProducersMake", "StringEquals", TENANT, "a")),
    ("reencrypt", _deny("kms:ReEncrypt*")),
    ("grant", _deny("kms:CreateGrant")),
    ("replica", _deny("kms:ReplicateKey")),
    ("import", _deny("kms:ImportKeyMaterial")),
    ("encrypt", _deny("kms:Encrypt")),
    ("grant", _set("NoWay", Condition={"StringEquals": {"aws:PrincipalArn": "x"}})),
    ("grant", _set("NoWay", Principal={"AWS": ROLE + "other"})),
    ("allowed_way", _add(Action="kms:CreateGrant")),
    ("all_actions", _add(Action="kms:*")),
    ("all_actions", _add(Action="*")),
    ("not_action", _add(NotAction="kms:Decrypt")),
    ("root", _add(Action="kms:*", Principal={"AWS": "arn:aws:iam::123456789012:root"})),
    ("root", _add(Action="kms:*", Principal={"AWS": "123456789012"})),
    ("everybody", _add(Action="kms:GenerateDataKey", Principal="*")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "change"), FAULTS, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(FAULTS)])
def test_each_rule_finds_its_fault(rule: str, change: Callable[[Policy], Any]) -> None:
    """A good policy with one fault has a finding of that rule."""
    policy = rendered()
    change(policy)
    assert rule in rules(policy)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("purpose", _condition("Readers", "StringEquals", PURPOSE, None)),
        ("tenant", _condition("Readers", "StringEquals", TENANT, None)),
        ("purpose", _condition("ProducersMake", "StringEquals", PURPOSE, "question")),
        ("all_actions", _add(Action="kms:*")),
        ("encrypt", _deny("kms:Encrypt")),
    ],
)
def test_the_answers_key_is_linted_by_its_own_rules(rule: str, change: Callable[[Policy], Any]) -> None:
    """Readers need no attestation, and must be of the tenant."""
    policy = rendered("answer")
    change(policy)
    assert rule in rules(policy, "answer")


def test_a_policy_that_admits_another_image_than_the_required_is_found() -> None:
    """An old release that was not taken out, none of the required ones, and anybody."""
    assert rules(rendered("question", ONE, TWO), "question", ONE) == {"other_image"}
    assert rules(rendered("question", TWO), "question", ONE) == {"other_image", "image_missing"}
    policy = rendered()
    _drop(NOBODY)(policy)
    _add(Action="kms:Decrypt")(policy)
    assert "other_image" in rules(policy, "question", ONE)
    assert rules(rendered(), "question", ONE.upper()) == set()


def test_a_deny_bounds_what_loose_statements_admit() -> None:
    """What counts is who can decrypt at last."""
    policy = rendered("question", ONE, TWO)
    assert admitted_images(parse_statements(json.dumps(policy))) == {ONE, TWO}
    statement(policy, NOBODY)["Condition"]["StringNotEqualsIgnoreCase"][PCR0] = ONE
    assert admitted_images(parse_statements(json.dumps(policy))) == {ONE}
    _add(Action="kms:Decrypt")(policy)
    assert admitted_images(parse_statements(json.dumps(policy))) == {ONE}
    _drop(NOBODY)(policy)
    assert admitted_images(parse_statements(json.dumps(policy))) is None


def with_models(*pins: Pin) -> Policy:
    """A policy of enclaves whose models are pinned too."""
    return copy.deepcopy(render_policy("question", PRINCIPALS, pins))


def decide(policy: Policy, image: str, model: str | None) -> Decision:
    """What the policy says to the bridge with an enclave of this image that measured this model."""
    asked = call("Decrypt", "bridge", "question", image, image)
    if asked.pcrs is not None and model is not None:
        asked = replace(asked, pcrs={**asked.pcrs, 16: bytes.fromhex(model)})
    return parse_policy(json.dumps(policy)).evaluate(asked)


def test_an_image_opens_questions_with_its_releases_model_and_no_other() -> None:
    """One statement a release: a model of one release, loaded into the image of another, opens nothing."""
    policy = with_models(Pin(ONE, MODEL), Pin(TWO, OTHER))
    allowed = [(ONE, MODEL), (TWO, OTHER)]
    for image in (ONE, TWO):
        for model in (MODEL, OTHER, "ef" * 48, "00" * 48, None):
            assert (decide(policy, image, model) is Decision.ALLOW) == ((image, model) in allowed)
    assert decide(policy, ONE, None) is Decision.EXPLICIT_DENY
    assert decide(policy, ONE, OTHER) is Decision.IMPLICIT_DENY
    pins = [Pin(ONE, MODEL), Pin(TWO, OTHER)]
    assert not lint_policy(json.dumps(policy), "question", pins)


def test_a_required_model_must_be_pinned() -> None:
    """The host may load any model into an image whose statement pins none; one that is not required is named."""

    def found(policy: Policy, *pins: Pin) -> set[str]:
        return {finding.rule for finding in lint_policy(json.dumps(policy), "question", pins)}

    assert found(rendered(), Pin(ONE, MODEL)) == {"any_model"}
    assert found(with_models(Pin(ONE, OTHER)), Pin(ONE, MODEL)) == {"other_model"}
    assert found(with_models(Pin(ONE, MODEL), Pin(ONE, OTHER)), Pin(ONE, MODEL)) == {"other_model"}
    assert found(with_models(Pin(ONE, MODEL)), Pin(ONE, MODEL.upper())) == set()
    assert found(with_models(Pin(ONE, MODEL)), Pin(ONE)) == set()
    assert found(with_models(Pin(ONE, "00" * 48)), Pin(ONE)) == {"unmeasured"}
    assert found(with_models(Pin(ONE, "short")), Pin(ONE)) == {"pcr16_form"}


GOOD_KEY = {
    "Origin": "AWS_KMS",
    "KeyManager": "CUSTOMER",
    "MultiRegion": False,
    "KeySpec": "SYMMETRIC_DEFAULT",
    "Enabled": True,
}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("origin", {"Origin": "EXTERNAL"}),
        ("origin", {"Origin": "EXTERNAL_KEY_STORE"}),
        ("manager", {"KeyManager": "AWS"}),
        ("multi_region", {"MultiRegion": True}),
        ("spec", {"KeySpec": "RSA_2048"}),
        ("disabled", {"Enabled": False}),
    ],
)
def test_what_a_policy_cannot_show_is_found_in_the_key(rule: str, changes: dict[str, Any]) -> None:
    """Origin, manager, replicas, state."""
    assert lint_key(GOOD_KEY, []) == ()
    assert [finding.rule for finding in lint_key(GOOD_KEY | changes, [])] == [rule]


def test_grants_are_findings() -> None:
    """A grant gives Decrypt beside every policy."""
    (found,) = lint_key(GOOD_KEY, [{"GrantId": "1"}])
    assert found == Finding("grants", Severity.ERROR, "key", "1 grants stand beside the policy")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Version":"2012-10-17","Statement":[1]}', "x" * 40_000])
def test_what_is_no_policy_is_one_finding(text: str) -> None:
    """Nothing that is not understood passes."""
    assert [finding.rule for finding in lint_policy(text, "question")] == ["form"]
