"""`sealbatch dev demo`: the main job from end to end, on a stack that lives as long as the demonstration."""

import json
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.box import HORIZONTALS

from devstack.part import PartError
from devstack.stack import ROOT, Stack, StackOptions
from producer.forms import InputForm
from producer.questions import read_records
from sealbatch.aws.clients import Connector
from sealbatch.client import Client
from sealbatch.config import Config
from sealbatch.exits import Exit, Stop
from sealbatch.intake import Intake
from sealbatch.job import Job
from sealbatch.questions import Questions
from sealbatch.terminal.screen import Screen, console, printable
from sealbatch.terminal.tables import make_table
from sealbatch.tickets import TicketBook
from sealbatch.verbs import jobs
from wire.payload import Params, Record

EXAMPLES: Final = ROOT / "examples"
QUESTIONS: Final = EXAMPLES / "benefits.jsonl"
OUTPUT: Final = Path("demo-answers.jsonl")
SHOWN: Final = 8
CHUNK: Final = 4
"""Records a chunk: small, so that the bar moves."""
QUESTION_WIDTH: Final = 160


def run(screen: Screen, options: StackOptions) -> Exit:
    """Start a stack, do the job, show it, stop the stack; the exit code is the job's."""
    # The bridge comes later: until then the message can be looked at where the host would look.
    with demonstration_stack(screen, replace(options, bridge=False), "demo") as stack:
        return _demonstrate(screen, stack)


@contextmanager
def demonstration_stack(screen: Screen, options: StackOptions, name: str) -> Iterator[Stack]:
    """A stack for as long as a demonstration takes.

    Raises:
        Stop: there are no examples here, or a part of the stack ended.
    """
    if not EXAMPLES.is_dir():
        raise Stop(
            Exit.CONFIGURATION,
            "the demonstration runs from a checkout, where its examples are",
            "git clone the repository, and make demo in it",
        )
    with tempfile.TemporaryDirectory(prefix=f"sealbatch-{name}-") as folder:
        stack = Stack(Path(folder) / "stack", options)
        try:
            stack.start(screen.say)
            yield stack
        except PartError as error:
            raise Stop(Exit.TEMPORARY, str(error)) from None
        finally:
            stack.stop()


def _demonstrate(screen: Screen, stack: Stack) -> Exit:
    client = Client(stack.config)
    client.tickets = TicketBook(stack.folder / "tickets.jsonl")  # in the user's own list it would stay as not found
    intake = Intake(name="demo", chunk_size=CHUNK)
    submission = jobs.submit_job(screen, client, str(QUESTIONS), Questions(QUESTIONS), intake)
    job = Job(client, submission.sent_ticket())
    screen.say(f"ticket {job.ticket}")
    seen = _peek(client.config)
    stack.start_bridge()
    jobs.wait_for(screen, job, timeout=600)
    summary = jobs.fetch_job(screen, client, job, OUTPUT, overwrite=True)
    _show(screen)
    jobs.show_summary(screen, summary, str(OUTPUT))
    _explain(screen, submission.chunks, seen)
    return jobs.exit_for(summary)


def _peek(config: Config) -> str:
    """The body of one waiting message, as whoever owns the queue reads it."""
    sqs: Any = Connector(config, config.resources.profiles.bridge).client("sqs")
    reply = sqs.receive_message(QueueUrl=config.resources.queue_url, VisibilityTimeout=0, WaitTimeSeconds=5)
    return str(reply["Messages"][0]["Body"])


def _show(screen: Screen) -> None:
    """The first answers beside their questions."""
    with QUESTIONS.open("rb") as source:
        items = read_records(source, InputForm(name=QUESTIONS.name), Params())
        questions = {item.custom_id: item.messages[-1].content for item in items if isinstance(item, Record)}
    lines = [json.loads(line) for line in OUTPUT.read_text(encoding="utf-8").splitlines()[:SHOWN]]
    rows = [
        {
            "custom_id": line["custom_id"],
            "question": textwrap.shorten(questions[line["custom_id"]], QUESTION_WIDTH, placeholder=" ..."),
            "answer": printable(_answer(line)),
        }
        for line in lines
    ]
    if not screen.quiet:
        table = make_table(("custom_id", "question", "answer"), rows, title=f"The first {len(rows)} answers")
        table.box, table.show_lines = HORIZONTALS, True
        console(stderr=True).print(table)


def _answer(line: dict[str, Any]) -> str:
    if line["response"] is None:
        return f"({line['outcome']}: {line['error']['code']})"
    return str(line["response"]["body"]["choices"][0]["message"]["content"])


def _explain(screen: Screen, chunks: int, body: str) -> None:
    """Five lines: what just happened, and what the host of it all could see."""
    inline = json.loads(body)["inline"]
    middle = inline[len(inline) // 2 :][:72]
    screen.say("")
    screen.say(
        f"1. Your questions were sealed here, {chunks} chunks under two KMS keys, and went to S3 and SQS as ciphertext."
    )
    screen.say("2. KMS gave the question key to the enclave alone, after checking its attestation document.")
    screen.say("3. The enclave opened, answered and sealed; the answer key had come to it inside the sealed questions.")
    screen.say("4. The reader checked every chunk against the ticket, and only then wrote the file.")
    screen.say(f"5. The host saw sizes, times, and lines like this one from the queue: {middle}...")
