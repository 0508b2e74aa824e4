"""Builds compose.yaml's images, answers questions through the running stack, and looks at what each container may do.

Needs `docker compose`, or podman and podman-compose. Containers, volumes and networks are removed at the end, whatever
happened; the images stay, as after any build.

  COMPOSE=...     the command, with its options: what `docker compose` or `podman-compose` is called here
  BUILD_ARGS=...  options of its build, such as --build-arg TORCH=torch==2.13.0+cpu
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project import PATIENCE, ROOT, Compose, FailedError

EXAMPLES = ROOT / "examples/benefits.jsonl"
QUESTIONS = 66
RUNNING = ("aws", "redis", "enclave", "bridge", "worker", "beat")
ONCE = ("producer", "reader")
ASKER = {"writable": ["/night"], "secret": True, "credentials": ["sealbatch-producer", "sealbatch-reader"]}
EXPECTED: dict[str, dict[str, Any]] = {
    "aws": {"writable": ["/root-of-trust"], "root_of_trust": True, "modules": ["boto3", "moto"]},
    "redis": {"modules": ["boto3", "moto"], "reaches": ["redis"]},
    "enclave": {
        "writable": ["/root-of-trust", "/sockets"],
        "root_of_trust": True,
        "model": True,
        "modules": ["torch"],
        "interfaces": ["lo"],
        "reaches": [],
    },
    "bridge": {"writable": ["/sockets"], "credentials": ["sealbatch-bridge"], "modules": ["boto3"]},
    "worker": {**ASKER, "reaches": ["aws", "bridge", "redis"]},
    "beat": {**ASKER, "reaches": ["redis"]},
    "producer": {**ASKER, "reaches": ["aws", "bridge", "redis"]},
    "reader": {"credentials": ["sealbatch-reader"]},
}
"""What is different from `USUAL`."""
USUAL: dict[str, Any] = {
    "uids": ["10001"] * 4,
    "capabilities": ["0" * 16],
    "no_new_privileges": "1",
    "writable": [],
    "executes_from_tmp": False,
    "way_out": False,
    "reaches": ["aws", "bridge"],
    "modules": ["boto3", "celery"],
    "model": False,
    "root_of_trust": False,
    "secret": False,
    "credentials": [],
}


def main() -> int:
    """Build, run, ask, look, remove; 0 if all is as it should be."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        compose = Compose()
    except FailedError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    try:
        check(compose)
    except FailedError as failure:
        print(f"FAILED: {failure}\n{compose.logs()}", file=sys.stderr)
        return 1
    finally:
        if left := compose.remove():
            print(f"could not be removed: {', '.join(left)}", file=sys.stderr)
    return 0


def check(compose: Compose) -> None:
    """Everything, in order; each step says how long it took."""
    step("built", compose.build)
    for image in ("client", "bridge", "stand-in", "enclave"):
        print(f"  sealbatch-{image}: {compose.size(f'sealbatch-{image}') / 1e6:.0f} MB")
    step("started", lambda: compose("up", "-d"))
    step(f"{QUESTIONS} questions answered", lambda: job(compose))
    step("containers looked at", lambda: look(compose))
    step("a night's answers delivered", lambda: night(compose))
    step("answered although the bridge was restarted with chunks in flight", lambda: restarted_bridge(compose))
    step("answered although the enclave was killed with chunks in flight", lambda: killed_enclave(compose))
    step("a night's answers delivered although Redis was killed in it", lambda: killed_redis(compose))
    nothing_leaks(compose)


def step(name: str, body: Callable[[], object]) -> None:
    """Do it and say how long it took."""
    began = time.monotonic()
    body()
    print(f"{name} in {time.monotonic() - began:.0f} s", flush=True)


def job(compose: Compose) -> None:
    """Submit, wait, fetch, each in a container of its own."""
    collect(compose, submit(compose))


def submit(compose: Compose) -> str:
    """Submit the examples; the ticket."""
    return compose.once("producer", "submit", "/examples/benefits.jsonl").strip().splitlines()[-1].strip()


def collect(compose: Compose, ticket: str) -> None:
    """Wait for a job and read its answers."""
    compose.once("reader", "wait", ticket, "--timeout", str(int(PATIENCE)))
    lines = [json.loads(line) for line in compose.once("reader", "fetch", ticket, "-o", "-").splitlines()]
    answered(lines)


def answered(lines: list[dict[str, Any]], times: int = 1) -> None:
    """Each question has its answer, so many times."""
    names = sorted(json.loads(line)["custom_id"] for line in EXAMPLES.read_text().splitlines())
    if sorted(line["custom_id"] for line in lines) != sorted(names * times):
        raise FailedError(f"{len(lines)} answers of {len(names) * times}")
    if bad := [line["custom_id"] for line in lines if line["outcome"] not in {"succeeded", "truncated"}]:
        raise FailedError(f"without an answer: {', '.join(bad)}")


def look(compose: Compose) -> None:
    """Each container has what its trust allows, and no more."""
    probe = (Path(__file__).parent / "inside.py").read_text()
    for service in (*RUNNING, *ONCE):
        if service in RUNNING:
            text = compose.inside(service, "python3", "-", stdin=probe)
            look_from_outside(service, compose.inspect(service))
        else:
            text = compose.once(service, "-", stdin=probe, entrypoint="python3")
        seen = json.loads(text)
        seen["reaches"] = sorted(name for name, reached in seen["reaches"].items() if reached)
        for name, value in (USUAL | EXPECTED[service]).items():
            if seen[name] != value:
                raise FailedError(f"{service}: {name} is {seen[name]}, not {value}")


def look_from_outside(service: str, known: dict[str, Any]) -> None:
    """What the engine itself says of a running container."""
    host = known["HostConfig"]
    seen = {
        "read-only": host["ReadonlyRootfs"],
        "user": known["Config"]["User"],
        "privileged": host["Privileged"],
        "without a network": host["NetworkMode"] == "none",
        "mounts of the host": [mount for mount in known["Mounts"] if mount["Type"] == "bind"],
        "devices of the host": host["Devices"] or [],
    }
    right = {"read-only": True, "user": "10001:10001", "privileged": False, "without a network": service == "enclave"}
    if wrong := {name: value for name, value in seen.items() if value != right.get(name, [])}:
        raise FailedError(f"{service}: {wrong}")


def nothing_leaks(compose: Compose) -> None:
    """Neither credentials nor the producer's secret in what the engine tells of a container; no question in a log."""
    files = compose.inside("worker", "sh", "-c", "cat /config/credentials; base64 -w0 /config/secret")
    secrets = [line.rpartition(" ")[2] for line in files.splitlines() if len(line.rpartition(" ")[2]) >= 20]
    lines = [json.loads(line) for line in EXAMPLES.read_text().splitlines()]
    questions = [line["question"] for line in lines if "question" in line]
    logs = compose.logs()
    for service in RUNNING:
        told = json.dumps(compose.inspect(service))
        if any(secret in told for secret in secrets):
            raise FailedError(f"{service}: a secret is in what `inspect` tells")
    if not secrets or not questions or any(text in logs for text in (*secrets, *questions)):
        raise FailedError("a secret or a question is in a log")


def night(compose: Compose) -> None:
    """A file in the inbox becomes a file of answers."""
    begin_night(compose)
    end_night(compose, 1)


def begin_night(compose: Compose) -> None:
    """Put the examples into the inbox and do not wait for the hour."""
    compose.once("producer", "schedule", "drop", "night", "/examples/benefits.jsonl")
    compose.once("producer", "schedule", "run-now", "night")


def end_night(compose: Compose, runs: int) -> None:
    """See the answers of so many nights."""
    find = "find /night/answers -name '*.answers.jsonl' -exec cat {} +"

    def delivered() -> list[str]:
        return compose.inside("worker", "sh", "-c", find).splitlines()

    until(lambda: len(delivered()) >= QUESTIONS * runs, "the answers of the night")
    answered([json.loads(line) for line in delivered()], runs)


def restarted_bridge(compose: Compose) -> None:
    """SIGTERM and a new start: what the enclave works on comes again from the queue."""
    with frozen(compose, "enclave"):
        ticket = submit(compose)
        until(lambda: in_flight(compose) > 0, "chunks in flight")
        compose("stop", "bridge")
        compose("start", "bridge")
    collect(compose, ticket)


def killed_enclave(compose: Compose) -> None:
    """SIGKILL and a new start: a new enclave, another key pair, a model loaded anew."""
    with frozen(compose, "enclave"):
        ticket = submit(compose)
        until(lambda: in_flight(compose) > 0, "chunks in flight")
    replace(compose, "enclave")
    collect(compose, ticket)


def killed_redis(compose: Compose) -> None:
    """SIGKILL and a new start, with nothing kept: worker and beat go on."""
    with frozen(compose, "enclave"):
        begin_night(compose)
        until(lambda: in_flight(compose) > 0, "chunks in flight")
        replace(compose, "redis")
    end_night(compose, 2)


def replace(compose: Compose, service: str) -> None:
    """Kill a container and start it again, as somebody who sees that it is gone."""
    container = compose.container(service)
    compose.engine_does("kill", container)
    compose.engine_does("start", container)


@contextmanager
def frozen(compose: Compose, service: str) -> Iterator[None]:
    """Hold a service's processes where they are."""
    container = compose.container(service)
    compose.engine_does("pause", container)
    try:
        yield
    finally:
        compose.engine_does("unpause", container)


def in_flight(compose: Compose) -> float:
    """Messages that the bridge holds, by its own metric."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
    lines = compose.inside("bridge", "python3", "-c", ask).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("sealbatch_in_flight "))


def until(met: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        if time.monotonic() > deadline:
            raise FailedError(f"{what} did not come within {PATIENCE:.0f} s")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
