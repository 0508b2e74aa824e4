"""compose.yaml: each container has what its trust allows and no more; `make compose-test` really runs it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
FILE = (ROOT / "deploy/compose/Containerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_is_root_or_writes_to_its_files(name: str) -> None:
    """Read-only, a user of its own, no capability, no way to gain one."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_enclave_has_no_network_and_no_clients_configuration() -> None:
    """Its socket and the development root are all that it shares."""
    enclave = SERVICES["enclave"]
    assert enclave["network_mode"] == "none"
    assert "networks" not in enclave
    assert {volume.partition(":")[0] for volume in enclave["volumes"]} == {"trust", "sockets"}


def test_clients_have_neither_model_nor_root_of_trust() -> None:
    """The root signs attestation: whoever has it can claim to be any image."""
    for name in ("bridge", "worker", "beat", "producer", "reader"):
        service = SERVICES[name]
        assert service["image"] == "localhost/sealbatch-client"
        assert "trust" not in {volume.partition(":")[0] for volume in service["volumes"]}
        assert "config:/config:ro" in service["volumes"]
    client = FILE.partition(" AS client\n")[2].partition("\nFROM ")[0]
    assert "model" not in client
    assert "torch" not in client
    assert "[bridge,nightly]" in client


def test_only_the_bridge_reaches_the_enclave() -> None:
    """The socket's volume is theirs alone."""
    sharing = {
        name for name, service in SERVICES.items() if any(v.startswith("sockets") for v in service.get("volumes", ()))
    }
    assert sharing == {"enclave", "bridge"}
