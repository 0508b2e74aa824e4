"""`sealbatch policy`: lints and writes the policies of the two KMS keys."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.terminal.help import make_group, verb
from sealbatch.verbs import options as o
from sealbatch.verbs import trust as t

if TYPE_CHECKING:
    from producer.pins import Pin
    from producer.policy_lint import Finding
    from sealbatch.terminal.screen import Screen

app = make_group(
    "The policies of the two KMS keys: who may open what.",
    """\
sealbatch policy lint --release sealbatch-1.0.json
sealbatch policy render answer --administrator ARN --producer ARN --reader ARN""",
)

LINT_EXAMPLES = """\
sealbatch policy lint
# no other image may open a question
sealbatch policy lint --release sealbatch-1.0.json
sealbatch policy lint key.json --purpose question --pcr0 0b24..."""
RENDER_EXAMPLES = """\
sealbatch policy render question --release sealbatch-1.0.json \\
    --administrator ARN --producer ARN --bridge ARN > questions.json
sealbatch policy render answer \\
    --administrator ARN --producer ARN --reader ARN > answers.json"""

Purpose = Literal["question", "answer"]
PURPOSE = Annotated[Purpose | None, typer.Option(metavar="question|answer", help="Which key FILE's policy is of.")]
FILE = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A policy; without one, the configured keys' own.")]
_role = partial(typer.Option, metavar="ARN", show_default=False, rich_help_panel="Who may do what")


@verb(app, LINT_EXAMPLES)
@ends_well
def lint(
    context: typer.Context,
    file: FILE = None,
    purpose: PURPOSE = None,
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
    as_json: o.JSON = False,
) -> None:
    """Find what lets others open what is sealed.

    Looks at a key's policy, grants and origin. With --pcr0 or --release, any other image that the policy admits is a
    finding too. The exit code is 9 if there is an error.
    """
    from producer.policy_lint import Severity

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    required = t.pins(face, pcr0, release)
    if file is None:
        found = _lint_keys(face, screen, required)
    elif purpose is None:
        raise Stop(Exit.USAGE, "--purpose: say which key the policy is of, question or answer")
    else:
        found = _lint_file(file, purpose, required)
    rows = [
        {"key": key, "severity": str(f.severity), "rule": f.rule, "where": f.where, "message": f.message}
        for key, findings in found
        for f in findings
    ]
    screen.rows(("key", "severity", "rule", "where", "message"), rows)
    errors = sum(row["severity"] == Severity.ERROR for row in rows)
    if errors:
        raise Stop(Exit.INTEGRITY, f"{errors} errors, {len(rows) - errors} warnings")
    screen.say(f"{', '.join(key for key, _ in found)}: no errors, {len(rows)} warnings")
    pin = release[0] if release else pcr0[0] if pcr0 else "pcrs.json"
    screen.next_step(f"sealbatch submit questions.jsonl --require-pcr0 {pin}")


def _lint_file(file: Path, purpose: Purpose, required: "Sequence[Pin]") -> "list[tuple[str, Sequence[Finding]]]":
    from producer.policy_lint import lint_policy
    from producer.policy_statements import MAX_POLICY

    try:
        text = file.read_text(encoding="utf-8")[: MAX_POLICY + 1]
    except UnicodeDecodeError:
        raise Stop(Exit.USAGE, f"{file} is not UTF-8") from None
    return [(str(file), lint_policy(text, purpose, required))]


def _lint_keys(face: Face, screen: "Screen", required: "Sequence[Pin]") -> "list[tuple[str, Sequence[Finding]]]":
    need("asker")
    from producer.key_guard import read_findings
    from sealbatch.aws.clients import producer_clients

    config = face.config(screen)
    settings, kms = config.producer(), producer_clients(config).kms
    keys: tuple[tuple[Purpose, str], ...] = (("question", settings.question_key), ("answer", settings.answer_key))
    return [(purpose, read_findings(kms, arn, purpose, required)) for purpose, arn in keys]


@verb(app, RENDER_EXAMPLES)
@ends_well
def render(
    context: typer.Context,
    purpose: Annotated[Purpose, typer.Argument(metavar="question|answer", help="Which key the policy is for.")],
    administrator: Annotated[str, _role(help="Who may change the policy; it opens nothing.")],
    producer: Annotated[str, _role(help="The role that seals.")],
    reader: Annotated[str, _role(help="The role that opens answers: for the answers key.")] = "",
    bridge: Annotated[str, _role(help="The parent's role, by which the enclave asks: for the questions key.")] = "",
    pcr0: t.PCR0 = None,
    release: t.RELEASE = None,
) -> None:
    """Write a key's policy to standard output."""
    from producer.policy_lint import lint_policy
    from producer.policy_render import Principals, render_policy

    face: Face = context.obj
    named = t.pins(face, pcr0, release)
    missing = ("bridge", bridge) if purpose == "question" else ("reader", reader)
    if not missing[1]:
        raise Stop(Exit.USAGE, f"--{missing[0]} is needed for the {purpose}s key")
    try:
        policy = render_policy(purpose, Principals(administrator, producer, reader, bridge), named)
    except ValueError:
        raise Stop(Exit.USAGE, "--pcr0 or --release is needed: which images may open questions?") from None
    text = json.dumps(policy, indent=2)
    findings = lint_policy(text, purpose, named)
    if findings:
        raise Stop(Exit.USAGE, f"these roles make no good policy: {findings[0].where}: {findings[0].message}")
    screen = face.screen()
    screen.data(text)
    screen.next_step(f"sealbatch policy lint FILE --purpose {purpose}", "where it is kept")
