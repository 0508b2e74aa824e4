"""What is typed to AWS's command line, held against AWS's own descriptions of its services; nothing is called."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import botocore.session
from botocore import xform_name
from botocore.exceptions import UnknownServiceError

_EVERYWHERE: Final = {
    "--query",
    "--output",
    "--profile",
    "--region",
    "--cli-input-json",
    "--no-cli-pager",
    "--endpoint-url",
}
_OWN: Final = {
    ("s3", "cp"): {"--recursive", "--sse", "--quiet"},
    ("s3", "ls"): {"--recursive"},
    ("s3", "mb"): set[str](),
    ("s3", "rb"): {"--force"},
    ("s3", "rm"): {"--recursive"},
    ("s3", "sync"): {"--delete", "--exclude", "--include"},
    ("configure", "set"): set[str](),
    ("configure", "export-credentials"): {"--format"},
    ("cloudformation", "deploy"): {
        "--stack-name",
        "--template-file",
        "--capabilities",
        "--parameter-overrides",
        "--no-execute-changeset",
        "--no-fail-on-empty-changeset",
        "--role-arn",
        "--tags",
    },
}
"""Commands that AWS's command line has beyond its services, with the options of them that documents may use."""


def aws_fault(words: Sequence[str]) -> str | None:
    """What is wrong with `aws WORDS...`; None if nothing is."""
    options = {word.partition("=")[0] for word in words if word.startswith("--")} - _EVERYWHERE
    bare = [word for word in words if not word.startswith("--")]
    if len(bare) < 2:
        return "aws needs a service and an operation"
    service, operation = bare[0], bare[1]
    known = _OWN.get((service, operation))
    if known is None:
        try:
            known = _waiting(service, bare[2]) if operation == "wait" else _known(service, operation)
        except UnknownServiceError:
            return f"aws has no service {service}"
    if known is None:
        return f"aws {service} has no {operation}"
    return next((f"aws {service} {operation} has no {option}" for option in sorted(options - known)), None)


@cache
def _session() -> Any:
    return botocore.session.Session()


def _known(service: str, operation: str) -> set[str] | None:
    model = _session().get_service_model("s3" if service == "s3api" else service)
    for name in model.operation_names:
        if xform_name(name, "-") == operation:
            shape = model.operation_model(name).input_shape
            options = {f"--{xform_name(member, '-')}" for member in (shape.members if shape else ())}
            return options | {option.replace("--", "--no-", 1) for option in options} | {"--max-items"}
    return None


def _waiting(service: str, waiter: str) -> set[str] | None:
    model = _session().get_waiter_model(service)
    for name in model.waiter_names:
        if xform_name(name, "-") == waiter:
            return _known(service, xform_name(model.get_waiter(name).operation, "-"))
    return None
