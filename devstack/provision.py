"""Applies deploy/template.yaml to the stand-in, as it is applied to AWS, and writes what the clients need.

moto knows every resource of the template but the bucket's policy, which demands TLS and would lock out a stand-in that
speaks plain HTTP. It does not enforce the roles' own policies; KMS's key policies are enforced by `devstack.kms`.
"""

import configparser
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3

from devstack.files import write_private
from devstack.measure import measure_model_of
from devstack.part import AwsPart
from devstack.root import ROOT_PATH

TEMPLATE: Final = Path(__file__).resolve().parents[1] / "deploy" / "template.yaml"
DEMONSTRATION: Final = Path(__file__).resolve().parents[1] / "models" / "benefits-bloom"
REGION: Final = "eu-central-1"
TENANT: Final = "benefits"
STACK: Final = "sealbatch"
ADMINISTRATOR: Final = "arn:aws:iam::123456789012:role/key-administrator"
ROLES: Final = {"producer": "ProducerRoleArn", "reader": "ReaderRoleArn", "bridge": "BridgeRoleArn"}
SESSION_SECONDS: Final = 43_200


class ProvisionError(Exception):
    """The template could not be applied; the text is the stand-in's own reason."""


def provision(endpoint: str, *, image: str, folder: Path, model: str | None = None) -> None:
    """Make the resources of `TENANT`, whose keys admit an enclave, and write configuration into `folder`.

    `image` and `model` are the enclave's PCR0 and PCR16, 96 hexadecimal digits each; without a model it is the
    demonstration's. `sealbatch.toml` names the resources, `credentials` holds a profile for each of the three roles.

    Raises:
        ProvisionError: the stand-in did not apply the template.
    """
    session = boto3.session.Session("sealbatch-owner", "sealbatch-owner", region_name=REGION)
    outputs = _apply(
        session.client("cloudformation", endpoint_url=endpoint),
        {"Tenant": TENANT, "Image": image, "Model": model or measure_model_of(DEMONSTRATION).hex()},
    )
    _spell_policies(session.client("kms", endpoint_url=endpoint), outputs)
    protect_bucket(session.client("s3", endpoint_url=endpoint), outputs["BucketName"])
    sts = session.client("sts", endpoint_url=endpoint)
    write_private(folder / "credentials", _credentials(sts, outputs))
    write_private(folder / "sealbatch.toml", _configuration(endpoint, image, folder, outputs))


@contextmanager
def provisioned(folder: Path, *, image: str, model: str | None = None) -> Iterator[AwsPart]:
    """A stand-in of AWS for the development folder `folder`, with what `provision` makes and writes."""
    aws = AwsPart(folder, folder / "aws.log")
    try:
        provision(aws.endpoint(), image=image, folder=folder, model=model)
        yield aws
    finally:
        aws.kill()


def _apply(cloudformation: Any, values: dict[str, str]) -> dict[str, str]:
    parameters = values | {"KeyAdministrator": ADMINISTRATOR}
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise ProvisionError(f"{TEMPLATE.name}: {stack['StackStatus']}: {stack.get('StackStatusReason', '')}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _spell_policies(kms: Any, outputs: dict[str, str]) -> None:
    """Make the keys' policies text, as AWS gives them: moto keeps a template's as an object, and trips over it."""
    for name in ("QuestionsKeyArn", "AnswersKeyArn"):
        policy = kms.get_key_policy(KeyId=outputs[name], PolicyName="default")["Policy"]
        kms.put_key_policy(KeyId=outputs[name], PolicyName="default", Policy=json.dumps(policy))


def protect_bucket(s3: Any, bucket: str) -> None:
    """Set what the template sets and moto leaves out when it makes a bucket from one."""
    kinds = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "jobs-end",
                    "Status": "Enabled",
                    "Filter": {},
                    "Expiration": {"Days": 90},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
                }
            ]
        },
    )
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(kinds, True))


def _credentials(sts: Any, outputs: dict[str, str]) -> bytes:
    """An AWS credentials file with a session of each role."""
    profiles = configparser.RawConfigParser()
    for role, output in ROLES.items():
        reply = sts.assume_role(RoleArn=outputs[output], RoleSessionName=role, DurationSeconds=SESSION_SECONDS)
        keys = reply["Credentials"]
        profiles[f"sealbatch-{role}"] = {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }
    text = io.StringIO()
    profiles.write(text)
    return text.getvalue().encode()


def _configuration(endpoint: str, image: str, folder: Path, outputs: dict[str, str]) -> bytes:
    settings = {
        "tenant": TENANT,
        "region": REGION,
        "bucket": outputs["BucketName"],
        "queue_url": outputs["QueueUrl"],
        "dead_letter_url": outputs["DeadLetterUrl"],
        "question_key": outputs["QuestionsKeyArn"],
        "answer_key": outputs["AnswersKeyArn"],
        "image": image,
        "endpoint_url": endpoint,
        "credentials_file": str(folder / "credentials"),
        "attestation_root": str(folder / ROOT_PATH),
    }
    # A JSON string is a TOML basic string.
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    lines += ["", "[profiles]", *(f'{role} = "sealbatch-{role}"' for role in ROLES)]
    return ("\n".join(lines) + "\n").encode()
