"""What every runner shares: reads its task, measures itself, writes one result. Standard library only."""

import argparse
import ctypes
import json
import os
import platform
import struct
import time
from importlib import metadata
from pathlib import Path

PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
"""Numbers of the system call."""
HARDWARE, INSTRUCTIONS = 0, 1
INHERIT, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6


def read_task():
    """The task: model folder, requests, warm-up, threads, precision and the engine's own settings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", type=Path)
    return json.loads(parser.parse_args().task.read_text())


def write_result(task, load, generate):
    """Warm up, run, check that every answer has its length, and write what was measured.

    `generate` takes requests and returns one object for each: `length` in tokens, and `tokens` or `text`.
    """
    requests = task["requests"]
    generate(task["warmup"])
    before = read_counter(COUNTER)
    began, busy = time.perf_counter(), time.process_time()
    answers = generate(requests)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    after = read_counter(COUNTER)
    wrong = sum(answer["length"] != request["answer"] for request, answer in zip(requests, answers, strict=True))
    if wrong:
        raise SystemExit(f"Error: {wrong} answers are not as long as asked")
    result = {
        "seconds": seconds,
        "cpu_s": busy,
        "tokens": sum(answer["length"] for answer in answers),
        "load_s": load,
        "rss_mb": kibibytes("/proc/self/status", "VmHWM") / 1024,
        "pss_mb": kibibytes("/proc/self/smaps_rollup", "Pss") / 1024,
        "instructions": None if before is None else after - before,
        "versions": {name: metadata.version(name) for name in task["packages"]},
        "answers": answers,
    }
    Path(task["result"]).write_text(json.dumps(result))


def with_tokens(rows):
    """Answers in token ids as `write_result` takes them."""
    return [{"tokens": [int(token) for token in row], "length": len(row)} for row in rows]


def kibibytes(file, field):
    """A field of a file of the kernel's about this process."""
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def open_counter():
    """A counter of instructions in user space of this process, or None where there is none.

    It counts the threads that are started from here on too.
    """
    number = PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        return None
    attributes = struct.pack(
        "=IIQQQQQ", HARDWARE, 112, INSTRUCTIONS, 0, 0, 0, INHERIT | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
    )
    attributes = ctypes.create_string_buffer(attributes.ljust(112, b"\0"), 112)
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(number, attributes, 0, -1, -1, 0)
    return None if descriptor < 0 else descriptor


def read_counter(descriptor):
    """What has been counted."""
    return None if descriptor is None else struct.unpack("=Q", os.read(descriptor, 8))[0]


COUNTER = open_counter()
