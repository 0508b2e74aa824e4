"""compose.yaml: each container has what its trust allows and no more; `make compose-test` really runs it."""

import configparser
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.compose import PARTS, add_schedule, hand_out
from devstack.root import ROOT_PATH
from sealbatch.config import load_config
from sealbatch.nightly.plan import read_plan

ROOT = Path(__file__).resolve().parents[3]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
FILE = (ROOT / "deploy/compose/Containerfile").read_text()
ARN = "arn:aws:kms:eu-central-1:123456789012:key/"


def volumes(name: str) -> set[str]:
    """The volumes that a service shares with others."""
    return {volume.partition(":")[0] for volume in SERVICES[name].get("volumes", ())}


def stage(name: str) -> str:
    """What the Containerfile does for a target."""
    return FILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_is_root_or_writes_to_its_files(name: str) -> None:
    """Read-only, a user of its own, no capability, no way to gain one, nothing in the environment."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "environment" not in service


def test_no_network_leads_out() -> None:
    """And none is shared by all: Redis takes orders for the workers, and the bridge is not to give any."""
    networks = yaml.safe_load((ROOT / "compose.yaml").read_text())["networks"]
    assert all(network == {"internal": True} for network in networks.values())
    assert SERVICES["redis"]["networks"] == SERVICES["beat"]["networks"] == ["nights"]
    assert SERVICES["bridge"]["networks"] == SERVICES["reader"]["networks"] == ["cloud"]


def test_the_enclave_has_no_network_and_no_clients_configuration() -> None:
    """Its socket and the development root are all that it shares, and of AWS's libraries it has none."""
    enclave = SERVICES["enclave"]
    assert enclave["network_mode"] == "none"
    assert "networks" not in enclave
    assert volumes("enclave") == {"trust", "sockets"}
    assert "sealbatch[enclave] " in stage("enclave-packages")


def test_the_model_stack_is_the_pinned_one() -> None:
    """An unpinned torch would be the newest, with gigabytes for another processor."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [torch] = [pin for pin in extras["enclave"] if pin.startswith("torch==")]
    assert f"ARG TORCH={torch}\n" in FILE


def test_whatever_ends_can_be_started_again() -> None:
    """Podman starts nothing again that depends on what has ended, so the images wait, for what is written last."""
    assert not [name for name, service in SERVICES.items() if "depends_on" in service]
    for name in ("client", "bridge"):
        assert "until [ -e /config/sealbatch.toml ]" in stage(name)
    assert f"until [ -e /root-of-trust/{Path(ROOT_PATH).parent} ]" in stage("enclave")
    assert {name for name, service in SERVICES.items() if service.get("restart") != "on-failure"} == {
        "aws",  # it would have forgotten all
        "provision",
        "producer",
        "reader",
    }


def test_clients_have_neither_model_nor_root_of_trust() -> None:
    """The root signs attestation: whoever has it can claim to be any image."""
    for name in ("bridge", "worker", "beat", "producer", "reader"):
        service = SERVICES[name]
        assert service["image"] == f"localhost/sealbatch-{'bridge' if name == 'bridge' else 'client'}"
        assert "trust" not in volumes(name)
    for image, role in {"client": "nightly", "bridge": "bridge"}.items():
        made = stage(f"{image}-packages") + stage(image)
        assert f"sealbatch[{role}] " in made
        assert "model" not in made
        assert "torch" not in made


def test_only_the_bridge_reaches_the_enclave() -> None:
    """The socket's volume is theirs alone."""
    assert {name for name in SERVICES if "sockets" in volumes(name)} == {"enclave", "bridge"}


def test_each_client_has_its_own_configuration() -> None:
    """Only whoever writes them sees more than one."""
    assert {name: volumes(name) & PARTS.keys() for name in SERVICES if volumes(name) & PARTS.keys()} == {
        "provision": PARTS.keys(),
        "producer": {"asker"},
        "worker": {"asker"},
        "beat": {"asker"},
        "reader": {"reader"},
        "bridge": {"bridge"},
    }
    for name in ("bridge", "worker", "beat", "producer", "reader"):
        assert any(volume.endswith(":/config:ro") for volume in SERVICES[name]["volumes"])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What `provision` writes."""
    folder = tmp_path / "made"
    folder.mkdir()
    settings = {"tenant": "benefits", "bucket": "b", "question_key": f"{ARN}q", "answer_key": f"{ARN}a"}
    settings |= {"queue_url": "http://aws:4566/1/q", "image": "a" * 96, "credentials_file": f"{folder}/credentials"}
    text = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
    (folder / "sealbatch.toml").write_text(text + '\n[profiles]\nproducer = "sealbatch-producer"\n')
    roles = ("producer", "reader", "bridge")
    (folder / "credentials").write_text(
        "".join(f"[sealbatch-{role}]\naws_access_key_id = {role}\n\n" for role in roles)
    )
    return folder


def test_nobody_is_handed_anothers_credentials(made: Path, tmp_path: Path) -> None:
    """The bridge can neither seal nor open, the reader cannot seal; each file is its owner's alone."""
    root, config = tmp_path / "root.pem", tmp_path / "config"
    root.write_text("root")
    for part in PARTS:
        (config / part).mkdir(parents=True)
    night = tmp_path / "night"
    night.mkdir()
    add_schedule(made, config / "asker", "redis://redis:6379/0", night)
    hand_out(made, root, config)
    for part, roles in PARTS.items():
        profiles = configparser.RawConfigParser()
        profiles.read(config / part / "credentials")
        assert profiles.sections() == [f"sealbatch-{role}" for role in roles]
        text = (config / part / "sealbatch.toml").read_text()
        assert 'credentials_file = "/config/credentials"' in text
        assert str(made) not in text
        assert all(file.stat().st_mode & 0o077 == 0 for file in (config / part).iterdir())
        assert ("redis" in text) == ("secret_file" in text) == (config / part / "secret").exists() == (part == "asker")


def test_the_schedule_is_one(made: Path, tmp_path: Path) -> None:
    """What the worker and beat read; a second run keeps the secret, by which idempotency keys are hidden."""
    night = tmp_path / "night"
    night.mkdir()
    add_schedule(made, made, "redis://redis:6379/0", night)
    secret = (made / "secret").read_bytes()
    plan = read_plan(load_config(made / "asker.toml", (), {}))
    assert plan.schedule("night").inbox == str(night / "inbox")
    assert plan.config.resources.secret_file == "/config/secret"
    assert {path.name for path in night.iterdir()} == {"inbox", "answers"}
    add_schedule(made, made, "redis://redis:6379/0", night)
    assert (made / "secret").read_bytes() == secret
