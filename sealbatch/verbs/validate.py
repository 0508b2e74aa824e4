"""`sealbatch validate`: every fault of an input with its line; nothing is sent, and AWS is not asked."""

from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o
from sealbatch.verbs import questions as q

EXAMPLES = """\
sealbatch validate questions.jsonl
sealbatch validate mail.csv --question-column text --id-column case"""


@ends_well
def command(
    context: typer.Context,
    file: q.INPUT,
    *,
    kind: q.FORMAT = "auto",
    columns: q.Columns,
    max_errors: Annotated[int, typer.Option(metavar="N", min=1, help="Show so many problems at most.")] = 20,
    as_json: o.JSON = False,
) -> None:
    """Check a file of questions, and name every fault by its line.

    Nothing is sealed or sent, and AWS is not asked. The exit code is 8 if a line is invalid.
    """
    from sealbatch.validation import validate

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    with screen.progress() as tell:
        report = validate(columns.of(file, kind), max_problems=max_errors, progress=tell)
    q.show_notes(screen, report)
    if not report.valid:
        q.show_problems(screen, file, report)
        raise Stop(Exit.INPUT_INVALID, f"{file}: {report.problem_count:,} invalid, {report.records:,} valid")
    screen.say(f"{file}: {report.records:,} records, {report.bytes:,} bytes, the largest {report.largest:,}")
    screen.next_step(f"sealbatch run {file} -o answers.jsonl")
