"""A compose project of its own: built, run, looked into, and removed, by Docker or podman."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0
"""Seconds for a step of a running stack."""


class FailedError(Exception):
    """The stack does not do what it should."""


class Compose:
    """A project of its own, so that it meddles with no other."""

    def __init__(self) -> None:
        self.command = shlex.split(os.environ.get("COMPOSE", "")) or _find()
        self.engine = "docker" if Path(self.command[0]).name == "docker" else "podman"
        self.project = f"sealbatch-test-{os.getpid()}"
        # One image after the other: they share their first layers.
        self.environment = os.environ | {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_PARALLEL_LIMIT": "1"}

    def build(self) -> None:
        """Build all images; the builder's talk is shown."""
        options = os.environ.get("BUILD_ARGS", "")
        if self.engine == "podman":
            command = [*self.command, *([f"--podman-build-args={options}"] if options else []), "build"]
        else:
            command = [*self.command, "build", *shlex.split(options)]
        # A group of its own: the builders below it end with it, when this is interrupted.
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, start_new_session=True)
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        if status != 0:
            raise FailedError("the images cannot be built")

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a verb of compose; what it writes to its standard output."""
        return self._run([*self.command, *arguments], stdin)

    def once(self, service: str, *arguments: str, stdin: str | None = None, entrypoint: str | None = None) -> str:
        """Run a one-shot service to its end; what it writes to its standard output."""
        options = [] if entrypoint is None else ["--entrypoint", entrypoint]
        return self("--profile", "job", "run", "--rm", "-T", "--no-deps", *options, service, *arguments, stdin=stdin)

    def container(self, service: str) -> str:
        """The id of the service's running container."""
        found = self._run([self.engine, "ps", "-q", *self._labels(service)]).split()
        if len(found) != 1:
            raise FailedError(f"{service} does not run:\n{self.logs(service)}")
        return found[0]

    def inside(self, service: str, *command: str, stdin: str | None = None) -> str:
        """Run a command in the service's running container."""
        return self._run([self.engine, "exec", "-i", self.container(service), *command], stdin)

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of the service's running container."""
        return dict(json.loads(self._run([self.engine, "inspect", self.container(service)]))[0])

    def engine_does(self, verb: str, container: str) -> None:
        """`kill`, `start`, `pause` or `unpause` a container."""
        self._run([self.engine, verb, container])

    def size(self, image: str) -> int:
        """Bytes of an image."""
        return int(self._run([self.engine, "image", "inspect", "--format", "{{.Size}}", f"localhost/{image}"]))

    def remove(self) -> list[str]:
        """Remove all but the images; what is left all the same."""
        subprocess.run(
            [*self.command, "--profile", "job", "down", "-v", "--remove-orphans", "-t", "5"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            check=False,
        )
        left = []
        for kind, options in {"container": ["-a"], "volume": [], "network": []}.items():
            listing = [self.engine, kind, "ls", "-q", *options, *self._labels()]
            if names := self._run(listing).split():
                subprocess.run([self.engine, kind, "rm", "-f", *names], capture_output=True, check=False)
            left += [f"{kind} {name}" for name in self._run(listing).split()]
        return left

    def logs(self, service: str | None = None) -> str:
        """The last lines of a service, or of all."""
        lines = []
        for container in self._run([self.engine, "ps", "-aq", *self._labels(service)]).split():
            [known] = json.loads(self._run([self.engine, "inspect", container]))
            lines.append(f"--- {known['Name']}, {known['State']['Status']}, exit code {known['State']['ExitCode']}")
            said = subprocess.run(
                [self.engine, "logs", "--tail", "30", container], capture_output=True, text=True, check=False
            )
            lines += [said.stdout, said.stderr]
        return "\n".join(lines)

    def _labels(self, service: str | None = None) -> list[str]:
        labels = ["--filter", f"label=com.docker.compose.project={self.project}"]
        return labels if service is None else [*labels, "--filter", f"label=com.docker.compose.service={service}"]

    def _run(self, command: list[str], stdin: str | None = None) -> str:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=self.environment,
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FailedError(f"{shlex.join(command)} did not end within {PATIENCE:.0f} s") from None
        if done.returncode != 0:
            raise FailedError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def _find() -> list[str]:
    if shutil.which("docker") and _works("docker", "compose", "version"):
        return ["docker", "compose"]
    if shutil.which("podman") and shutil.which("podman-compose"):
        return ["podman-compose"]
    raise FailedError("neither docker compose nor podman with podman-compose is here")


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
