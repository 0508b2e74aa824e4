"""deploy/template.yaml: what moto makes of it is what it says, with instances and without."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from cfn_template import resources
from cfnlint import lint_file  # type: ignore[import-untyped]
from moto import mock_aws

from devstack.provision import ADMINISTRATOR, REGION, STACK, TEMPLATE
from producer.pins import Pin
from producer.policy_render import Principals, render_policy

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")

IMAGE, MODEL, DIGEST = "a" * 96, "b" * 96, "c" * 64


@pytest.fixture
def aws() -> Iterator[boto3.session.Session]:
    """An account in this process."""
    with mock_aws():
        yield boto3.session.Session("owner", "owner", region_name=REGION)


def make(aws: boto3.session.Session, **more: str) -> dict[str, str]:
    """The stack's resources, by their names in the template; with its outputs."""
    values = {"Tenant": "benefits", "Image": IMAGE, "Model": MODEL, "KeyAdministrator": ADMINISTRATOR, **more}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    found = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources
        if "LogicalResourceId" in resource
    }
    return found | {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture
def fleet(aws: boto3.session.Session) -> tuple[boto3.session.Session, dict[str, str]]:
    """With instances and somebody to tell."""
    ec2 = aws.client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    release = {"ReleaseBucket": "artifacts", "ReleasePrefix": "sealbatch/1.0", "ReleaseDigest": DIGEST}
    return aws, make(
        aws,
        Subnets=",".join(subnets),
        SecurityGroups=group,
        AlarmEmail="nobody@example.com",
        MaxInstances="7",
        **release,
    )


def test_cfn_lint_finds_nothing() -> None:
    """No error, no warning, no note."""
    assert [str(match) for match in lint_file(TEMPLATE)] == []


def test_without_subnets_there_is_no_instance(aws: boto3.session.Session) -> None:
    """The stack of a laptop: keys, queues, bucket, roles and nothing that costs by the hour."""
    found = make(aws)
    assert {
        "QuestionsKey",
        "AnswersKey",
        "Chunks",
        "DeadLetters",
        "Bucket",
        "ProducerRole",
        "BridgeRole",
    } <= found.keys()
    assert not {"Instances", "Template", "HostPolicy", "Idle", "Budget", "InstancesName"} & found.keys()
    assert aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_the_keys_have_the_rendered_policies(aws: boto3.session.Session) -> None:
    """What the template writes is what `policy render` writes."""
    found = make(aws)
    roles = Principals(ADMINISTRATOR, found["ProducerRoleArn"], found["ReaderRoleArn"], found["BridgeRoleArn"])
    kms = aws.client("kms")
    for purpose, key in (("question", "QuestionsKeyArn"), ("answer", "AnswersKeyArn")):
        policy: Any = kms.get_key_policy(KeyId=found[key], PolicyName="default")["Policy"]
        policy = json.loads(policy) if isinstance(policy, str) else policy
        assert policy == render_policy(purpose, roles, [Pin(IMAGE, MODEL)])  # type: ignore[arg-type]


def test_queues_and_bucket_are_as_the_template_says(aws: boto3.session.Session) -> None:
    """Retention, redrive, lifecycle."""
    found = make(aws, RetentionDays="30")
    sqs, s3 = aws.client("sqs"), aws.client("s3")
    queue = sqs.get_queue_attributes(QueueUrl=found["QueueUrl"], AttributeNames=["All"])["Attributes"]
    dead = sqs.get_queue_attributes(QueueUrl=found["DeadLetterUrl"], AttributeNames=["All"])["Attributes"]
    assert json.loads(queue["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 20}
    assert int(dead["MessageRetentionPeriod"]) > int(queue["MessageRetentionPeriod"])
    encryption = s3.get_bucket_encryption(Bucket=found["BucketName"])
    rules = encryption["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_instances_are_made_for_enclaves(fleet: tuple[boto3.session.Session, dict[str, str]]) -> None:
    """Enclave options, metadata of version 2 that goes one hop, an encrypted disk, and the digest in the user data."""
    aws, found = fleet
    versions = aws.client("ec2").describe_launch_template_versions(LaunchTemplateId=found["LaunchTemplateId"])
    data: Any = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["EnclaveOptions"] == {"Enabled": True}
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    script = base64.b64decode(data["UserData"]).decode()
    assert f'echo "{DIGEST}  SHA256SUMS" | sha256sum --check' in script
    assert "s3://artifacts/sealbatch/1.0/" in script
    assert f'question_key = "{found["QuestionsKeyArn"]}"' in script
    assert "${" not in script


def test_the_group_is_empty_by_day(fleet: tuple[boto3.session.Session, dict[str, str]]) -> None:
    """From none to as many as were allowed; its name is the one that the role and the instances know."""
    aws, found = fleet
    [group] = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == (0, 7)
    assert group["AutoScalingGroupName"] == found["InstancesName"] == f"{STACK}-instances"
    policy = aws.client("iam").get_role_policy(RoleName=found["BridgeRole"], PolicyName="sealbatch-host")
    assert f"autoScalingGroupName/{STACK}-instances" in json.dumps(policy["PolicyDocument"])


def test_each_alarm_has_its_step() -> None:
    """Moto makes neither alarms nor scaling policies, so the template itself is read."""
    parts = resources()
    for alarm, policy, adjustment in (
        ("Waiting", "StartOne", ("ExactCapacity", 1)),
        ("Idle", "EndAll", ("ExactCapacity", 0)),
        ("Old", "FollowAge", ("PercentChangeInCapacity", 25)),
    ):
        assert policy in parts[alarm]["Properties"]["AlarmActions"]
        step = parts[policy]["Properties"]
        assert (step["AdjustmentType"], step["StepAdjustments"][0]["ScalingAdjustment"]) == adjustment
    depth = parts["FollowDepth"]["Properties"]["TargetTrackingConfiguration"]
    assert depth["DisableScaleIn"] is True, "the end of a night is the idle alarm's to see: chunks in work do not wait"
    [hook] = parts["Instances"]["Properties"]["LifecycleHookSpecificationList"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert f"--lifecycle-hook-name {hook['LifecycleHookName']} " in (TEMPLATE.parent / "host/drain").read_text()
    assert parts["DeadLetterAlarm"]["Properties"]["AlarmActions"] == ["Alarms"]
    assert {"PutKeyPolicy", "CreateGrant"} <= set(
        parts["KeyAlarm"]["Properties"]["EventPattern"]["detail"]["eventName"]
    )


def test_moto_makes_all_else(fleet: tuple[boto3.session.Session, dict[str, str]]) -> None:
    """What of the template is not made here is named here, so that nothing is believed to be tested."""
    _, found = fleet
    made = {part["Type"] for name, part in resources().items() if name in found}
    assert {part["Type"] for part in resources().values()} - made == {
        "AWS::AutoScaling::ScalingPolicy",
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::Alarm",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::TopicPolicy",
    }
