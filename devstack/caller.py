"""Who signed a request: the role behind its access key, with the role's tags, as moto's STS and IAM know them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from devstack.policy import Caller

PARTITION: Final = "aws"
_CREDENTIAL: Final = re.compile(r"Credential=([^/]{1,128})/\d{8}/([a-z0-9-]{1,32})/")


def region_of(environ: Mapping[str, Any]) -> str | None:
    """The region that a request was signed for; None if it was not signed."""
    match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return match and match[2]


def caller_of(environ: Mapping[str, Any]) -> Caller:
    """The caller. Whoever holds no role's key counts as the account itself, as its owner would come."""
    match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    account = DEFAULT_ACCOUNT_ID
    session = match and sts_backends[account][PARTITION].get_assumed_role_from_access_key(match[1])
    if not session:
        return Caller(account, f"arn:aws:iam::{account}:root")
    role = iam_backends[account][PARTITION].get_role_by_arn(session.role_arn)
    tags = {tag["Key"]: tag["Value"] for tag in iam_backends[account][PARTITION].list_role_tags(role.name, None)[0]}
    return Caller(account, session.role_arn, session.arn, tags)
