"""`sealbatch support-bundle`: canaries lie wherever a machine has secrets, and none of them is in the archive."""

import base64
import binascii
import gzip
import io
import json
import re
import secrets
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from canary import Canary
from command import Typist

from devstack.provision import provisioned
from sealbatch.exits import Exit

NOW_US = 1_795_000_000_000_000
OURS = "2026-11-26 02:00:00,123 WARNING sealbatch.vsock_bridge "
JOURNALCTL = """#!/bin/sh
cat "$(dirname "$0")/journal"
"""


def canary(kind: str) -> str:
    """A word that is nowhere else, long enough to be found in any spelling."""
    return f"{kind}Kestrel{secrets.token_hex(10)}"


@dataclass
class Machine:
    """A user's machine with a job, a night, a journal and something that answers at the bridge's address."""

    folder: Path
    words: dict[str, str] = field(default_factory=dict)

    def plant(self, kind: str) -> str:
        """A new canary that must not be found."""
        return self.words.setdefault(kind, canary(kind))

    def lay_config(self, config: Path) -> Path:
        """The stack's configuration, and a night's with secrets in every place that may hold one."""
        path = self.folder / "user.toml"
        path.write_text(
            config.read_text()
            + f"""
[nightly]
redis_url = "redis://{self.plant("redisuser")}:{self.plant("redispassword")}@127.0.0.1:1/0"

[[schedules]]
name = "benefits"
cron = "0 2 * * *"
time_zone = "UTC"
inbox = "{self.folder}/{self.plant("inbox")}"
answers = "{self.folder}/{self.plant("answers")}"
parameters = {{max_tokens = 64, stop = ["{self.plant("stop")}"], id_column = "{self.plant("column")}"}}
tell = [
  {{webhook = "https://hooks.example/{self.plant("webhook")}"}},
  {{command = ["/bin/tell", "{self.plant("argument")}"]}},
]
"""
        )
        return path

    def lay_journal(self, ticket: str) -> None:
        """Lines of ours with what should not be in them, lines of others, and a forged one."""
        (self.folder / "bin").mkdir()
        program = self.folder / "bin" / "journalctl"
        program.write_text(JOURNALCTL)
        program.chmod(0o755)
        secret = self.words["secretkey"]
        session = "arn:aws:sts::123456789012:assumed-role/bridge/"
        texts = [
            f"{OURS}queue not read error=AccessDenied: ticket={ticket}",
            f"{OURS}a fault: {secret} {secret.encode().hex()} {base64.b64encode(b'x' + secret.encode()).decode()}",
            f"{OURS}tokens: {self.words['servetoken']} {self.words['ownservetoken'].encode().hex()}",
            f"{OURS}a login: {session}{self.plant('session')} AKIA{'Q' * 16} sb1-{'a' * 48}",
            f"{OURS}a key: {base64.b64encode(secrets.token_bytes(48)).decode()}A1b",
            "Traceback (most recent call last):",
            f"ValueError: {self.plant('traceback')}",
            f"{self.plant('foreign')} says something",
        ]
        entries = [{"MESSAGE": text, "_PID": "77", "_SYSTEMD_UNIT": "sealbatch-bridge.service"} for text in texts]
        systemd = {"SYSLOG_IDENTIFIER": "systemd", "MESSAGE": "sealbatch-bridge.service: Main process exited"}
        entries += [systemd | {"_PID": "1"}, systemd | {"_PID": "77", "MESSAGE": self.plant("forged")}]
        lines = [json.dumps(entry | {"__REALTIME_TIMESTAMP": str(NOW_US)}) for entry in entries]
        lines += [json.dumps({"MESSAGE": list(self.plant("binary").encode()), "__REALTIME_TIMESTAMP": "1"})]
        lines += ["{no json", self.plant("nojson")]
        (self.folder / "bin" / "journal").write_text("\n".join(lines) + "\n")

    def page(self, path: str) -> bytes:
        """What answers at the bridge's address: figures of a bridge, and what is none of its."""
        if path == "/healthz":
            said = {"healthy": False, "loop_age": 1, "enclaves": {"vsock://16:5005": "engine down"}}
            said["enclaves"] |= {self.plant("enclave"): "ready", "vsock://17:5005": self.plant("state")}
            return json.dumps(said | {self.plant("key"): self.plant("value")}).encode()
        return (
            "# HELP sealbatch_in_flight Messages held\n"
            "# TYPE sealbatch_in_flight gauge\n"
            "sealbatch_in_flight 3.0\n"
            'sealbatch_enclave_ready{enclave="vsock://16:5005"} 1.0\n'
            f'other_total{{x="{self.plant("othermetric")}"}} 1\n'
            f'sealbatch_enclave_ready{{enclave="{self.plant("enclave")}"}} 1\n'
            f'sealbatch_records_total{{outcome="{self.plant("outcome")}"}} 1\n'
            f'sealbatch_in_flight{{question="What of {self.plant("label")}?"}} 1\n'
            f"# {self.plant('comment')}\n<html>{self.plant('html')}</html>\n"
        ).encode()


class Bundle:
    """An archive, unpacked."""

    def __init__(self, path: Path) -> None:
        self.packed = path.read_bytes()
        self.tar = gzip.decompress(self.packed)
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as archive:
            self.files = {
                entry.name.partition("/")[2]: data.read()
                for entry in archive
                if (data := archive.extractfile(entry)) is not None
            }

    def layers(self) -> Iterator[bytes]:
        """All of it, and what is in it if anything is packed or encoded once more."""
        yield self.packed
        yield self.tar
        for data in self.files.values():
            yield data
            for text in re.findall(rb"[A-Za-z0-9+/_-]{16,}", data):
                for shift in range(4):
                    part = text[shift:]
                    part = part[: len(part) // 4 * 4].translate(bytes.maketrans(b"-_", b"+/"))
                    try:
                        yield base64.b64decode(part)
                    except binascii.Error:
                        continue
            for found in re.finditer(rb"\x1f\x8b", data):
                yield gzip.decompress(data[found.start() :])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Typist, str]]:
    """With a job that waits in the queue."""
    folder = tmp_path_factory.mktemp("support")
    machine = Machine(folder)
    with provisioned(folder, image="5" * 96):
        credentials = Path(tomllib.loads((folder / "sealbatch.toml").read_text())["credentials_file"])
        secret = re.findall(r"aws_secret_access_key *= *(\S+)", credentials.read_text())[0]
        machine.words["stacksecret"] = secret
        typist = Typist(folder, machine.lay_config(folder / "sealbatch.toml"))
        typist.environment |= {
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "SEALBATCH_DEV_HOME": str(folder / "dev"),
            "AWS_SECRET_ACCESS_KEY": machine.plant("secretkey"),
            "AWS_SESSION_TOKEN": machine.plant("sessiontoken"),
            "SEALBATCH_SERVE_TOKEN": machine.plant("servetoken"),
            "SEALBATCH_SOMETHING": machine.plant("variable"),
        }
        (folder / ".aws").mkdir()
        (folder / ".aws" / "config").write_text(f"[default]\naws_secret_access_key = {machine.plant('homesecret')}\n")
        questions = folder / f"{machine.plant('filename')}.jsonl"
        question = {"custom_id": machine.plant("customid"), "question": f"What of {machine.plant('question')}?"}
        questions.write_text(json.dumps(question) + "\n")
        done = typist.type("submit", "--idempotency-key", machine.plant("idempotency"), str(questions))
        assert done.returncode == 0, done.stderr.decode()
        ticket = done.stdout.decode().strip()
        machine.words["ticket"] = ticket
        machine.words["secretfile"] = (folder / ".local/state/sealbatch/producer.secret").read_bytes().hex()
        token = folder / ".local" / "state" / "sealbatch" / "serve.token"
        token.write_text(f"{machine.plant('ownservetoken')}\n")
        machine.lay_journal(ticket)
        (folder / "dev" / "log").mkdir(parents=True)
        (folder / "dev" / "log" / "bridge.log").write_text(f"{OURS}said: by us\n{machine.plant('devlog')}\n")
        yield machine, typist, ticket


@pytest.fixture(scope="module")
def bridge(machine: tuple[Machine, Typist, str]) -> Iterator[str]:
    """HOST:PORT of what answers in the bridge's place."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = machine[0].page(self.path)
            self.send_response(503 if self.path == "/healthz" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def made(machine: tuple[Machine, Typist, str], bridge: str) -> tuple[Machine, Bundle, list[dict[str, str]], str]:
    """The bundle, what the verb listed and what it said."""
    planted, typist, _ = machine
    done = typist.type("support-bundle", "-o", "bundle.tar.gz", "--health", bridge)
    assert done.returncode == Exit.OK, done.stderr.decode()
    path = planted.folder / "bundle.tar.gz"
    assert path.stat().st_mode & 0o077 == 0
    return planted, Bundle(path), list(map(json.loads, done.stdout.splitlines())), done.stderr.decode()


def test_no_canary_is_in_the_bundle(made: tuple[Machine, Bundle, list[dict[str, str]], str]) -> None:
    """Neither as text, in hexadecimal, in base64, nor packed within; and each would be found if it were."""
    machine, bundle, _, _ = made
    assert len(machine.words) > 30, machine.words.keys()
    cage = Canary(machine.words.values())
    for word in machine.words.values():
        assert cage.find(b"x" + base64.b64encode(b"yy" + word.encode())) == {word}
    found = {word for layer in bundle.layers() for word in cage.find(layer)}
    assert {kind for kind, word in machine.words.items() if word in found} == set()


def test_the_bundle_helps(made: tuple[Machine, Bundle, list[dict[str, str]], str]) -> None:
    """What is wrong, how far the job is, what the bridge says, and what the units said."""
    machine, bundle, _, _ = made
    ticket = machine.words["ticket"]
    files = {name: data.decode() for name, data in bundle.files.items()}
    assert json.loads(files["versions.json"])["packages"]["boto3"]
    config = json.loads(files["configuration.json"])
    # Its folder was shown as well, and may be a person's name.
    assert (config["tenant"], config["source"]) == ("benefits", "user.toml")
    assert (config["nightly"]["redis_url"], config["schedules"][0]["tell"]) == ("redis://(set)", ["webhook", "command"])
    assert config["schedules"][0]["parameters"] == {"max_tokens": 64, "stop": "(set)", "id_column": "(set)"}
    assert "SEALBATCH_SOMETHING" in files["environment.txt"].splitlines()
    found = {row["check"]: row["status"] for row in map(json.loads, files["doctor.jsonl"].splitlines())}
    assert (found["redis"], found["queue retention"]) == ("error", "ok")
    assert json.loads(files["queues.json"])["queue"]["ApproximateNumberOfMessages"] == 1
    job = json.loads(files["jobs.jsonl"])
    assert (job["state"], job["total"], job["answered"]) == ("queued", 1, 0)
    assert ticket.startswith(f"sb1-{job['job']}")
    health = json.loads(files["health.json"])
    assert health == {"healthy": False, "loop_age": 1.0, "enclaves": {"vsock://16:5005": "engine down"}}
    assert [line for line in files["metrics.txt"].splitlines() if line[0] != "#"] == [
        "sealbatch_in_flight 3.0",
        'sealbatch_enclave_ready{enclave="vsock://16:5005"} 1.0',
    ]
    journal = files["journal.txt"].splitlines()
    assert len(journal) == 7
    assert journal[0].endswith(f"{OURS}queue not read error=AccessDenied: ticket=[removed]")
    assert journal[1].endswith(f"{OURS}a fault: [removed] [removed] {journal[1].rpartition(' ')[2]}")
    assert journal[2].endswith(f"{OURS}tokens: [removed] [removed]")
    assert journal[3].endswith("arn:aws:sts::********9012:assumed-role/bridge/[removed] [removed] sb1-[removed]")
    assert journal[4].endswith(f"{OURS}a key: [removed]")
    assert journal[5].endswith("systemd sealbatch-bridge.service: Main process exited")
    assert journal[6] == "(lines left out, too long or of another form: 7)"
    assert files["development-bridge.log"].splitlines() == [
        f"{OURS}said: by us",
        "(lines left out, too long or of another form: 1)",
    ]


def test_the_verb_says_what_is_in_it_and_asks_to_look(made: tuple[Machine, Bundle, list[dict[str, str]], str]) -> None:
    """Each file with its size, the same list inside, and the command that shows all of it."""
    _, bundle, rows, said = made
    assert {row["file"] for row in rows if row["bytes"] is not None} == set(bundle.files) - {"README.txt"}
    assert all(row["bytes"] in {None, len(bundle.files.get(row["file"], b""))} and row["about"] for row in rows)
    for row in rows:
        assert f"{row['file']}: {row['about']}" in bundle.files["README.txt"].decode()
    assert "sent to nobody; look at it first" in said
    assert "next: tar -xzOf bundle.tar.gz | less" in said


def test_a_bundle_is_made_where_everything_is_wrong(tmp_path: Path) -> None:
    """A configuration that cannot be read, no journal, no bridge: each is said, and the rest is there."""
    config = tmp_path / "sealbatch.toml"
    config.write_text('tenant = "Not A Tenant"\n')
    typist = Typist(tmp_path, config, {"PATH": str(tmp_path)})
    done = typist.type("support-bundle", "--health", "127.0.0.1:1")
    assert done.returncode == Exit.OK, done.stderr.decode()
    rows = {row["file"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert "sealbatch.toml:1: tenant" in rows["configuration.json"]["about"]
    assert "Not A" not in rows["configuration.json"]["about"]
    assert rows["journal.txt"]["about"] == "there is no journalctl on this machine"
    assert "no bridge answers at 127.0.0.1:1" in rows["metrics.txt"]["about"]
    assert rows["versions.json"]["bytes"] > 100


def test_a_folder_that_is_missing_is_named_before_anything_is_collected(tmp_path: Path) -> None:
    """After all was collected, a file was named that nobody had typed, and the bundle was lost."""
    done = Typist(tmp_path).type("support-bundle", "-o", str(tmp_path / "gone" / "bundle.tar.gz"))
    assert done.returncode == Exit.USAGE
    assert f"the folder {tmp_path / 'gone'} does not exist" in done.stderr.decode()


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    """Another's bundle, or anything else."""
    (tmp_path / "there.tar.gz").write_text("mine")
    done = Typist(tmp_path).type("support-bundle", "-o", "there.tar.gz")
    assert done.returncode == Exit.USAGE
    assert (tmp_path / "there.tar.gz").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
