"""Credentials, region and clock, the queues, the bucket and the keys, as AWS shows them."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from aws_errors.mapped import error_code
from aws_errors.service_error import ServiceError
from producer.key_guard import read_findings
from producer.pins import Pin
from producer.policy_lint import Severity
from sealbatch.aws.clock import MAX_SKEW, TOLERANCE, seconds_ahead
from sealbatch.config import NO_FILE, Config
from sealbatch.doctor.finding import Finding, Status, judged, not_seen
from wire.keys import Purpose

AWS_ERRORS: Final = (BotoCoreError, ClientError)
MIN_RETENTION: Final = 345_600
"""Seconds: a queue that waits over a long weekend loses nothing."""
MIN_RECEIVES: Final = 5
"""Throttled and interrupted receipts count too."""


def check_credentials(role: str, sts: Any) -> Iterator[Finding]:
    """Who a role's credentials are, and how far the clock is from AWS's."""
    name = f"credentials {role}"
    try:
        reply = sts.get_caller_identity()
    except ClientError as error:
        yield Finding(
            name, Status.ERROR, f"AWS refuses them ({error_code(error)})", f"log in again, or correct profiles.{role}"
        )
        yield from _clock(error.response)
    except BotoCoreError as error:
        yield Finding(
            name,
            Status.ERROR,
            f"there are none ({type(error).__name__})",
            f"log in, or set profiles.{role} to a profile",
        )
    else:
        yield Finding(name, Status.OK, str(reply["Arn"]))
        yield from _clock(reply)


def _clock(reply: Any) -> Iterator[Finding]:
    try:
        off = seconds_ahead(reply["ResponseMetadata"]["HTTPHeaders"]["date"], time.time())
    except (KeyError, TypeError, ValueError):
        return
    status = Status.ERROR if abs(off) > MAX_SKEW else Status.WARNING
    found = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} AWS's"
    yield judged("clock", abs(off) <= TOLERANCE, found, "set the clock; on EC2 chrony with 169.254.169.123", status)


def check_region(config: Config) -> Iterator[Finding]:
    """One region for everything: keys, queue and bucket."""
    resources = config.resources
    arns = (("question_key", resources.question_key), ("answer_key", resources.answer_key))
    region = resources.region
    if region is None:
        yield Finding("region", Status.WARNING, "not configured: AWS's own variables choose", "set region")
        return
    wrong = [name for name, arn in arns if arn is not None and arn.split(":")[3] != region]
    queue = resources.queue_url or ""
    if ".amazonaws.com" in queue and f".{region}." not in queue:
        wrong.append("queue_url")
    found = f"{', '.join(wrong)} of another region than {region}" if wrong else region
    yield judged("region", not wrong, found, "name the region of the keys and the queue")


def check_queues(config: Config, sqs: Any) -> Iterator[Finding]:
    """Attributes of the queue and its dead-letter queue."""
    resources = config.resources
    try:
        queue = sqs.get_queue_attributes(QueueUrl=resources.queue_url, AttributeNames=["All"])["Attributes"]
    except AWS_ERRORS as error:
        yield not_seen("queue", error, "sqs:GetQueueAttributes")
        return
    retention = int(queue["MessageRetentionPeriod"])
    yield judged(
        "queue retention", retention >= MIN_RETENTION, _days(retention), "set MessageRetentionPeriod to 4 days or more"
    )
    sealed = queue.get("SqsManagedSseEnabled") == "true" or "KmsMasterKeyId" in queue
    yield judged("queue encryption", sealed, "on" if sealed else "off", "set SqsManagedSseEnabled", Status.WARNING)
    yield from _redrive(queue)
    if resources.dead_letter_url is None:
        yield Finding(
            "dead letters",
            Status.WARNING,
            "no dead_letter_url is configured",
            "set it, or `sealbatch dlq` sees nothing",
        )
        return
    try:
        dead = sqs.get_queue_attributes(QueueUrl=resources.dead_letter_url, AttributeNames=["All"])["Attributes"]
    except AWS_ERRORS as error:
        yield not_seen("dead letters", error, "sqs:GetQueueAttributes")
        return
    yield from _dead_letters(queue, dead, retention)


def _redrive(queue: Any) -> Iterator[Finding]:
    policy = json.loads(queue.get("RedrivePolicy") or "{}")
    receives = int(policy.get("maxReceiveCount", 0))
    found = f"after {receives} receipts" if policy else "none: a chunk that always fails comes for ever"
    mend = "set a RedrivePolicy with maxReceiveCount 20, as deploy/template.yaml does"
    yield judged("queue redrive", receives >= MIN_RECEIVES, found, mend)


def _dead_letters(queue: Any, dead: Any, retention: int) -> Iterator[Finding]:
    target = json.loads(queue.get("RedrivePolicy") or "{}").get("deadLetterTargetArn")
    if target is not None:
        same = target == dead["QueueArn"]
        found = "the queue's own" if same else "dead_letter_url is not where the queue's messages go"
        yield judged("dead-letter target", same, found, f"set dead_letter_url to the URL of {target}")
    kept = int(dead["MessageRetentionPeriod"])
    # A message keeps the time at which it was first sent.
    mend = f"set its MessageRetentionPeriod above the queue's ({retention}): age counts from the first sending"
    yield judged("dead-letter retention", kept > retention, _days(kept), mend)
    waiting = int(dead.get("ApproximateNumberOfMessages", 0))
    yield judged("dead letters", not waiting, f"{waiting} waiting", "look with `sealbatch dlq ls`", Status.WARNING)


def check_bucket(config: Config, s3: Any) -> Iterator[Finding]:
    """Settings of the bucket."""
    bucket = config.resources.bucket
    looks = (
        ("bucket versioning", s3.get_bucket_versioning, _versioned, Status.ERROR, "enable versioning"),
        ("bucket encryption", s3.get_bucket_encryption, lambda _: True, Status.WARNING, "set a default encryption"),
        ("bucket public access", s3.get_public_access_block, _closed, Status.ERROR, "block all four kinds of it"),
        (
            "bucket lifecycle",
            s3.get_bucket_lifecycle_configuration,
            _expires,
            Status.WARNING,
            "let objects and their old versions expire",
        ),
        ("bucket TLS only", s3.get_bucket_policy, _tls_only, Status.WARNING, "deny s3:* without aws:SecureTransport"),
    )
    for name, look, well, status, mend in looks:
        try:
            holds = well(look(Bucket=bucket))
        except AWS_ERRORS as error:
            code = error_code(error) if isinstance(error, ClientError) else ""
            if not (code.startswith(("NoSuch", "ServerSide")) and code != "NoSuchBucket"):
                yield not_seen(name, error, "the s3:Get… rights of deploy/template.yaml's bridge role")
                continue
            holds = False
        yield judged(name, holds, "on" if holds else "off", f"{mend}, as deploy/template.yaml does", status)


def _versioned(reply: Any) -> bool:
    return bool(reply.get("Status") == "Enabled")


def _closed(reply: Any) -> bool:
    return all(reply["PublicAccessBlockConfiguration"].values())


def _expires(reply: Any) -> bool:
    """Sealed objects end some day, and what was deleted does not stay as an old version for ever."""
    rules = [rule for rule in reply["Rules"] if rule.get("Status") == "Enabled"]
    return all(any(kind in rule for rule in rules) for kind in ("Expiration", "NoncurrentVersionExpiration"))


def _tls_only(reply: Any) -> bool:
    statements = json.loads(reply["Policy"]).get("Statement", [])
    return any(
        item.get("Effect") == "Deny" and item.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
        for item in statements
    )


def check_keys(config: Config, kms: Any, pins: Sequence[Pin]) -> Iterator[Finding]:
    """Policies, grants and origin of both keys, against the registers of the release."""
    keys: tuple[tuple[Purpose, str | None], ...] = (
        ("question", config.resources.question_key),
        ("answer", config.resources.answer_key),
    )
    for purpose, arn in keys:
        name = f"{purpose} key"
        if arn is None:
            yield Finding(name, Status.ERROR, f"{purpose}_key is not configured", f"set {purpose}_key")
            continue
        try:
            found = read_findings(kms, arn, purpose, pins)
        except ServiceError as error:
            denied = error.kind.value == "denied"
            status = Status.SKIPPED if denied else Status.ERROR
            yield Finding(name, status, str(error), "run doctor as the producer" if denied else "check the key's ARN")
            continue
        if not found:
            yield Finding(name, Status.OK, "admits the release and nobody else" if pins else "no finding")
        for one in found:
            status = Status.ERROR if one.severity is Severity.ERROR else Status.WARNING
            mend = "let the key's administrator put what `sealbatch policy render` writes"
            yield Finding(f"{name} {one.rule}", status, f"{one.where}: {one.message}", mend)


def required(config: Config, names: Sequence[str]) -> Iterator[Finding]:
    """Settings without which nothing else can be looked at."""
    if config.source == NO_FILE and config.missing(names):
        mend = "put your operator's sealbatch.toml here; to try it out: sealbatch dev up"
        yield Finding("configuration", Status.ERROR, NO_FILE, mend)
        return
    for name in config.missing(names):
        yield Finding(
            "configuration", Status.ERROR, f"{name} is not set in {config.source}", f"set {name}, or use --set {name}=…"
        )


def _days(seconds: int) -> str:
    return f"{seconds / 86_400:g} days"
