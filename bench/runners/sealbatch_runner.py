"""Our own engine, through the interface that the enclave drives it by."""

import time

began = time.perf_counter()

from pathlib import Path  # noqa: E402

from measure import read_task, write_result  # noqa: E402

from bench.own_engine import complete, load  # noqa: E402

task = read_task()
engine = load(Path(task["settings"]["model"]), task["precision"], task["threads"])
loaded = time.perf_counter() - began


def generate(requests):
    """Texts of the answers, and their lengths in tokens."""
    completions = complete(engine, [(request["prompt"], request["answer"]) for request in requests])
    return [{"text": completion.text, "length": completion.completion_tokens} for completion in completions]


write_result(task, loaded, generate)
