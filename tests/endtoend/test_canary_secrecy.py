"""200 questions with unique marks go through the real processes, and no mark is found where it must not be."""

import json
import os
import secrets
import signal
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from canary import Canary
from command import Typist

from devstack.stack import Stack, StackOptions

COUNT = 200
ASKED = ("How many weeks of parental leave can I take?", "How much is my yearly deductible?", "Are braces covered?")


class Evidence:
    """Everything of a stack that anybody but the enclave and the reader could look at."""

    def __init__(self, stack: Stack) -> None:
        settings = tomllib.loads(stack.config.read_text())
        session = boto3.session.Session("root", "root", region_name=settings["region"])
        self._stack = stack
        self._queue_url = settings["queue_url"]
        self.sqs: Any = session.client("sqs", endpoint_url=stack.endpoint)
        self.bucket: Any = session.resource("s3", endpoint_url=stack.endpoint).Bucket(settings["bucket"])

    def messages(self) -> list[bytes]:
        """Bodies of all waiting messages, which stay where they are."""
        bodies: dict[str, bytes] = {}
        while True:
            reply = self.sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10, VisibilityTimeout=600)
            if not reply.get("Messages"):
                break
            for message in reply["Messages"]:
                bodies[message["ReceiptHandle"]] = message["Body"].encode()
        for handle in bodies:
            self.sqs.change_message_visibility(QueueUrl=self._queue_url, ReceiptHandle=handle, VisibilityTimeout=0)
        return list(bodies.values())

    def objects(self) -> Iterator[bytes]:
        """Keys and bodies of all objects."""
        for item in self.bucket.objects.all():
            yield item.key.encode() + b"\n" + item.get()["Body"].read()

    def files(self, *folders: Path) -> Iterator[Path]:
        """All files that the stack and the user's commands wrote."""
        for folder in (self._stack.folder, *folders):
            yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def marks(number: int) -> tuple[str, str]:
    """What is unique in a question: a word of its text and its custom_id."""
    return f"kestrel{secrets.token_hex(8)}", f"osprey-{number}-{secrets.token_hex(8)}"


def found_in(canary: Canary, blobs: Iterable[bytes]) -> set[str]:
    """The words in any of the blobs."""
    return {word for blob in blobs for word in canary.find(blob)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, whose bridge is started by the test."""
    with Stack(tmp_path_factory.mktemp("canary") / "stack", StackOptions(bridge=False)) as stack:
        yield stack


def test_no_question_and_no_answer_is_seen_outside_enclave_and_reader(stack: Stack, tmp_path: Path) -> None:
    """Not in queue, bucket, logs, files, nor in the memory of bridge and stand-in; but where the test plants it."""
    typist = Typist(tmp_path / "home", stack.config)
    scratch = tmp_path / "scratch"
    for folder in (typist.folder, scratch):
        folder.mkdir()
    typist.environment["TMPDIR"] = str(scratch)
    words = [marks(number) for number in range(COUNT)]
    questions = [
        json.dumps({"custom_id": name, "question": f"I am {word}. {ASKED[n % len(ASKED)]}", "max_tokens": 60})
        for n, (word, name) in enumerate(words)
    ]
    source = "\n".join(questions).encode()
    canary = Canary(word for pair in words for word in pair)
    evidence = Evidence(stack)

    # Sealed and sent, not yet received.
    ticket = typist.type("submit", "-", "--chunk-size", "10", stdin=source).stdout.decode().strip()
    bodies = evidence.messages()
    assert len(bodies) == COUNT // 10
    assert found_in(canary, bodies) == set()
    assert found_in(canary, evidence.objects()) == set()

    # Under way: the bridge is stopped in the middle and its memory read.
    bridge = stack.start_bridge()
    prefix = bodies[0].decode()
    job = json.loads(prefix)["job"]
    while not list(evidence.bucket.objects.filter(Prefix=f"benefits/{job}/answers/")):
        stack.part("enclave").check()
    os.kill(bridge.pid, signal.SIGSTOP)
    assert canary.find_in_process(bridge.pid) == set()
    os.kill(bridge.pid, signal.SIGCONT)

    # Answered and opened.
    assert typist.type("wait", ticket, "--timeout", "120").returncode == 0
    fetched = typist.type("fetch", ticket, "-o", "-")
    assert fetched.returncode == 0, fetched.stderr.decode()
    lines = [json.loads(line) for line in fetched.stdout.splitlines()]
    assert [line["custom_id"] for line in lines] == [name for _, name in words]
    answers = {line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}
    assert all(len(answer) > 20 for answer in answers)
    everything = Canary([word for pair in words for word in pair] + sorted(answers))
    assert everything.find(fetched.stderr) == set()
    assert found_in(everything, evidence.objects()) == set()
    for path in evidence.files(typist.folder, scratch):
        assert everything.find_in_file(path) == set(), path
    for name in ("bridge", "aws"):
        assert everything.find_in_process(stack.part(name).pid) == set(), name

    # The proof that the search would have found something: in the enclave it does, and where it is planted.
    assert everything.find_in_process(stack.part("enclave").pid)
    planted = words[7][0]
    evidence.sqs.send_message(QueueUrl=evidence._queue_url, MessageBody=f"see {planted}")
    evidence.bucket.put_object(Key="planted", Body=planted.encode().hex().encode())
    (stack.folder / "log" / "planted.log").write_text(planted)
    assert found_in(everything, evidence.objects()) == {planted}
    assert set().union(*(everything.find_in_file(path) for path in evidence.files())) == {planted}
    assert everything.find_in_process(stack.part("aws").pid) == {planted}
