"""`sealbatch ask`: one question, sealed like any other, and its answer on standard output."""

import json
from io import BytesIO
from types import TracebackType
from typing import Annotated, Self

import typer

from sealbatch.exits import Exit
from sealbatch.face import Face, ends_well
from sealbatch.faults import Stop
from sealbatch.verbs import questions as q

EXAMPLES = """\
sealbatch ask "How many weeks of parental leave can I take?"
# so that nobody else on this machine can read it
sealbatch ask - < question.txt"""


class _Memory:
    """Keeps the one line of output in memory: an answer on a screen needs no file."""

    revocable = True

    def __init__(self) -> None:
        self.data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> None:
        pass


@ends_well
def command(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input.")],
    max_tokens: q.TOKENS = None,
    temperature: q.TEMPERATURE = 0.0,
    seed: q.SEED = None,
    timeout: q.TIMEOUT = None,
    as_json: q.JSON = False,
) -> None:
    """Ask one question and print its answer.

    A question on the command line is visible to the other users of this machine while the command runs; give it by
    standard input where that matters.
    """
    import sys

    from producer.forms import InputForm
    from sealbatch.clients import reader_s3
    from sealbatch.verbs import jobs

    face: Face = context.obj
    screen = face.screen(as_json=as_json, fleeting=True)
    text = sys.stdin.read().strip() if question == "-" else question
    line = json.dumps({"custom_id": "question", "question": text}).encode()
    config = face.config(screen)
    intake = jobs.Intake("question", InputForm("jsonl"), q.make_params(max_tokens, temperature, seed, None))
    ticket = jobs.submit_job(face, screen, config, BytesIO(line), intake).ticket
    if ticket is None:
        raise AssertionError("only a dry run has no ticket")
    sink = _Memory()
    with jobs.resumable(f"wait {ticket}"):
        s3 = reader_s3(config)
        jobs.wait_for(screen, config, s3, ticket, timeout=timeout)
        summary = jobs.fetch_job(screen, config, s3, ticket, sink)
    if as_json:
        screen.data(sink.data.decode().rstrip("\n"))
        raise typer.Exit(jobs.exit_for(summary))
    answer = json.loads(sink.data)
    if answer["response"] is None:
        raise Stop(jobs.exit_for(summary), f"no answer: {answer['error']['message']} ({answer['error']['code']})")
    content = answer["response"]["body"]["choices"][0]["message"]["content"]
    screen.prose(content)
    code = jobs.exit_for(summary)
    if code is not Exit.OK:
        screen.say("the answer was cut at its longest; --max-tokens allows more")
    raise typer.Exit(code)
