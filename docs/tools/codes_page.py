"""The pages of exit codes and of error codes, from the enumerations that the programs use."""

from collections.abc import Iterable, Mapping
from typing import Final

from fields import docs_of

from aws_errors.service_error import ServiceError, ServiceKind
from results_consumer.certificates import Fault
from results_consumer.errors import Check, SinkCode, SinkError
from results_consumer.output import ERRORS as RECORD_ERRORS
from results_consumer.status import JobState
from results_consumer.steps import EXPLANATIONS, PROVES, Step
from sealbatch.exits import Exit
from sealbatch.explain import explain
from wire.ledger import Failure, Notice
from wire.messages import RefusalCode, UnwrapCode
from wire.payload import ErrorCode, Outcome

EXITS: Final = """# Exit codes

The same for every verb. A script needs no other test: data is on standard output only if there is some, and talk is on standard error.

"""
AFTER_EXITS: Final = """
A reader of a pipe that has enough (`| head`) is no error. A program that a signal ended gives 128 and the signal's number, as everywhere.

In a script:

```sh
sealbatch validate examples/benefits.jsonl && echo "nothing to mend"
sealbatch validate examples/broken.jsonl > faults.jsonl || test $? -eq 8
```
"""
ERRORS: Final = """# Outcomes and error codes

Each record ends with one outcome, each job stands in one state, and whatever fails has a code. Codes do not change within a major version;
texts may.

"""
OUTCOMES: Final[dict[str, str]] = {
    Outcome.SUCCEEDED: "an answer that ended by itself",
    Outcome.TRUNCATED: "an answer that was cut at `max_tokens` or at the end of the model's context",
    Outcome.ERRORED: "no answer; `error.code` says why",
    Outcome.EXPIRED: "no answer before the job's deadline",
    Outcome.CANCELED: "no answer before the job was canceled",
}
NEXT: Final = {
    ErrorCode.EMPTY_FILE: "name the right file",
    ErrorCode.INVALID_ENCODING: "save it as UTF-8",
    ErrorCode.INVALID_JSON_LINE: "one JSON object a line; `sealbatch validate` shows the lines",
    ErrorCode.INVALID_RECORD: "`param` names the field",
    ErrorCode.LINE_TOO_LONG: "split or shorten it",
    ErrorCode.QUESTION_TOO_LARGE: "shorten it",
    ErrorCode.DUPLICATE_CUSTOM_ID: "give each line its own",
    ErrorCode.URL_MISMATCH: "`/v1/chat/completions`, or leave `url` out",
    ErrorCode.MISSING_COLUMN: "`--id-column` and `--question-column` name the columns",
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: "shorten it, or bring a model with a longer context",
    ErrorCode.DECRYPT_FAILED: "it was changed on its way, or its key is gone; submit again and tell the operator",
    ErrorCode.ENCLAVE_LOST: "`sealbatch retry`",
    ErrorCode.POISON_RECORD: "look at this record; `sealbatch retry --all` asks it again",
    ErrorCode.OUTPUT_TOO_LARGE: "a smaller `max_tokens`",
    ErrorCode.INTERNAL_ERROR: "`sealbatch retry`; if it stays, report it",
}
FAILURES: Final = {
    "decrypt_failed": "the enclave refused the chunk for good",
    "enclave_lost": "enclaves were lost with this record alone, again and again",
    "canceled": "the job was canceled before its turn",
}
NOTICES: Final = {
    "key_denied": "KMS refuses the enclave: the key's policy does not admit its image or model, or the key is disabled",
    "wrong_image": "the questions were sealed for another image than the enclave's",
    "key_invalid": "the wrapped key does not open under the key that it names",
    "kms_unavailable": "KMS does not answer; the bridge tries again by itself",
}
CERTIFICATES: Final[dict[str, str]] = {
    Fault.FORM: "it is none, or of an unknown kind",
    Fault.LINK: "it was not signed by the next one",
    Fault.PURPOSE: "it may not sign this",
    Fault.TIME: "it was not valid at that time",
}


def exit_page() -> str:
    """The page of exit codes in Markdown."""
    said = docs_of(Exit)
    return (
        EXITS
        + _table(("code", "name", "meaning"), ((str(c.value), c.name.lower(), said[c.name]) for c in Exit))
        + AFTER_EXITS
    )


def error_page() -> str:
    """The page of outcomes and error codes in Markdown."""
    states, checks, refusals, unwraps = (docs_of(kind) for kind in (JobState, Check, RefusalCode, UnwrapCode))
    parts = [
        ERRORS + "## Outcomes of a record\n",
        _named(OUTCOMES),
        "## Why a record has no answer\n\n`error.code` in the output, and `code` of `sealbatch validate`. OpenAI's names where it has them.\n",
        _table(
            ("code", "meaning", "likely to succeed when asked again", "do"), (_line_code(code) for code in ErrorCode)
        ),
        "An `expired` record carries `batch_expired` and a `canceled` one `batch_cancelled`, as OpenAI's lines do; both are asked again by\n"
        "`sealbatch retry`. With `attested: false` it is the host's word alone:\n",
        _named(_all(FAILURES, Failure.CODES)),
        "## States of a job\n",
        _table(("state", "meaning"), ((f"`{state}`", states[state.name]) for state in JobState)),
        "A stalled job says what the host says of it. A host may lie: admit an image because your own release file names it.\n",
        _named(_all(NOTICES, Notice.CODES)),
        "## Integrity checks\n\nExit code 9, with the number and the name of the check that failed. Nothing is believed of what failed one.\n",
        _table(("check", "name", "what holds"), ((str(c.value), f"`{c.name.lower()}`", checks[c.name]) for c in Check)),
        "Check 29 has steps of its own. `sealbatch verify` makes the same ones again, years later.\n",
        _table(("step", "name", "proves", "when it fails"), (_step(step) for step in Step)),
        "A certificate of the chain is refused for its\n",
        _named(CERTIFICATES),
        "## Services of AWS\n",
        _table(("kind", "exit code", "what it says"), (_service(kind) for kind in ServiceKind)),
        "## Output files\n",
        _table(("code", "exit code", "what it says"), (_sink(code) for code in SinkCode)),
        "## Between bridge and enclave\n\nLabels of [metrics](metrics.md), and words of the bridge's log: why an enclave gave a piece of work back,\n",
        _table(("code", "meaning"), ((f"`{code}`", refusals[code.name]) for code in RefusalCode)),
        "and why KMS gave it no key:\n",
        _table(("code", "meaning"), ((f"`{code}`", unwraps[code.name]) for code in UnwrapCode)),
    ]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _named(meanings: Mapping[str, str]) -> str:
    return _table(("code", "meaning"), ((f"`{code}`", text) for code, text in meanings.items()))


def _all(meanings: Mapping[str, str], codes: Iterable[str]) -> Mapping[str, str]:
    if set(meanings) != set(codes):
        raise LookupError(f"the page explains {sorted(meanings)}, and the code has {sorted(codes)}")
    return meanings


def _line_code(code: ErrorCode) -> tuple[str, ...]:
    error = RECORD_ERRORS[code]
    return f"`{code}`", error.message, "yes" if error.retryable else "no", NEXT[code]


def _step(step: Step) -> tuple[str, ...]:
    return str(step.value), f"`{step.code}`", PROVES[step], EXPLANATIONS[step]


def _service(kind: ServiceKind) -> tuple[str, ...]:
    exit_code, text = explain(ServiceError(kind, "S3", "", ""))
    return f"`{kind}`", str(exit_code.value), text.partition(": ")[2]


def _sink(code: SinkCode) -> tuple[str, ...]:
    exit_code, text = explain(SinkError(code, "FILE"))
    return f"`{code}`", str(exit_code.value), text
