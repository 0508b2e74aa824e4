"""`sealbatch ask`: one question, sealed like any other, and its answer on standard output."""

from io import BytesIO
from typing import Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.verbs import options as o
from sealbatch.verbs.asking import Sampling

EXAMPLES = """\
sealbatch ask "How many weeks of parental leave can I take?"
# so that nobody else on this machine can read it
sealbatch ask - < question.txt"""


@ends_well
def command(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input.")],
    *,
    sampling: Sampling,
    timeout: o.TIMEOUT = None,
    as_json: o.JSON = False,
) -> None:
    """Ask one question and print its answer.

    A question on the command line is visible to the other users of this machine while the command runs; give it by
    standard input where that matters.
    """
    import sys

    from sealbatch.job import Job
    from sealbatch.questions import Questions
    from sealbatch.result import Result
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen(as_json=as_json, fleeting=True)
    text = sys.stdin.read().strip() if question == "-" else question
    questions = Questions([{"custom_id": "question", "question": text}])
    client = face.client(screen)
    sent = jobs.submit_job(screen, client, "question", questions, sampling.intake())
    job = Job(client, sent.sent_ticket())
    line = BytesIO()
    with jobs.sent(job.ticket):
        jobs.wait_for(screen, job, timeout=timeout)
        summary = jobs.fetch_job(screen, client, job, line)
    code = jobs.exit_for(summary)
    if as_json:
        screen.data(line.getvalue().decode().rstrip("\n"))
        raise typer.Exit(code)
    result = Result.of_line(line.getvalue())
    if result.answer is None:
        raise Stop(code, f"no answer: {result.error_message} ({result.error_code})")
    screen.prose(result.answer)
    if code is not Exit.OK:
        screen.say("the answer was cut at its longest; --max-tokens allows more")
    screen.next_step("sealbatch run questions.jsonl -o answers.jsonl", "many at a time")
    raise typer.Exit(code)
