"""What a release consists of: bills of what is pinned, sums that check, wheels for their machines, one commit."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import hatch_build
from releasing import build
from releasing.sbom import BillError, Subject, image_bill, package_bill, read_inputs

ROOT = Path(__file__).resolve().parents[3]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
SUBJECT = Subject("1.2.3", "ab" * 20, 1_795_000_000)


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    """The package's, which its schema has admitted."""
    found: dict[str, Any] = json.loads(package_bill(SUBJECT, CONSTRAINTS))
    return found


def test_the_package_is_of_its_pins(bill: dict[str, Any]) -> None:
    """What all roles share is required, what a role adds is optional and says whose it is, the rest is not there."""
    lines = [line.split("==") for line in CONSTRAINTS.splitlines()[1:]]
    pins = {name.lower().replace("_", "-"): version for name, version in lines}
    parts = {part["name"]: part for part in bill["components"]}
    needed = {"cbor2", "cryptography", "cffi", "msgpack"}
    assert needed <= {name for name, part in parts.items() if part["scope"] == "required"}
    roles = {name: prop["value"] for name, part in parts.items() for prop in part.get("properties", ())}
    assert (roles["typer"], roles["boto3"], roles["celery"], roles["torch"]) == (
        "auditor",
        "asker",
        "nightly",
        "enclave",
    )
    assert (parts["celery"]["scope"], parts["torch"]["scope"]) == ("optional", "optional")
    assert parts.keys().isdisjoint({"moto", "pytest", "mypy"})
    assert [name for name in parts if name in pins and parts[name]["version"] != pins[name]] == []
    assert {part["purl"] for part in parts.values() if part["name"] == "boto3"} == {f"pkg:pypi/boto3@{pins['boto3']}"}


def test_a_bill_says_what_needs_what(bill: dict[str, Any]) -> None:
    """The graph begins at the package, and leads to parts of the bill alone."""
    graph = {node["ref"]: set(node.get("dependsOn", ())) for node in bill["dependencies"]}
    assert "botocore" in graph["boto3"]
    assert {"boto3", "typer"} <= graph["sealbatch"]
    assert "sealbatch" not in {part["name"] for part in bill["components"]}
    assert set().union(*graph.values()) <= {part["bom-ref"] for part in bill["components"]}


def test_the_same_commit_has_the_same_bills() -> None:
    """Time and serial number are the commit's; another commit has another number."""
    one = package_bill(SUBJECT, CONSTRAINTS)
    assert one == package_bill(SUBJECT, CONSTRAINTS)
    other = json.loads(package_bill(Subject("1.2.3", "cd" * 20, 1_795_000_000), CONSTRAINTS))
    assert other["serialNumber"] != json.loads(one)["serialNumber"]
    assert json.loads(one)["metadata"]["timestamp"] == "2026-11-18T11:06:40+00:00"


def test_a_bill_of_other_versions_is_refused() -> None:
    """It would say of the release what is not so."""
    changed = re.sub(r"^boto3==.*$", "boto3==0.0.1", CONSTRAINTS, flags=re.MULTILINE)
    with pytest.raises(BillError, match=r"boto3 .* is installed, and constraints.txt says 0\.0\.1"):
        package_bill(SUBJECT, changed)


def test_the_image_is_of_its_inputs() -> None:
    """Every pinned file with its SHA-256."""
    inputs = read_inputs(ROOT / "sealbatch" / "image" / "inputs.json")
    parts = json.loads(image_bill(SUBJECT, inputs))["components"]
    named = {(part["bom-ref"], part["hashes"][0]["content"]) for part in parts}
    assert named == {(pin["file"], pin["sha256"]) for kind in ("debian", "wheels") for pin in inputs[kind]}
    assert {part["purl"].partition("/")[0] for part in parts} == {"pkg:deb", "pkg:pypi"}


def test_the_sums_check_and_a_difference_is_found(tmp_path: Path) -> None:
    """By `sha256sum`, as a user does it; one byte, or one file, is a difference."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.whl").write_bytes(b"a")
        (tmp_path / name / "b.eif").write_bytes(b"b")
        build.write_sums(tmp_path / name)
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / name, check=True)
    assert build.differences(tmp_path / "one", tmp_path / "other") == []
    (tmp_path / "other" / "b.eif").write_bytes(b"c")
    (tmp_path / "one" / "a.whl").unlink()
    assert build.differences(tmp_path / "one", tmp_path / "other") == ["a.whl", "b.eif"]
    assert subprocess.run(["sha256sum", "--check"], cwd=tmp_path / "other", check=False, input=b"").returncode != 0


def test_what_is_not_committed_is_not_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could make the same release; what git does not know is no part of it anyway."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "unknown").write_text("x")
    commit, moment = build.head()
    assert (len(commit), moment > 1_700_000_000) == (40, True)
    (tmp_path / "file").write_text("two")
    with pytest.raises(build.ReleaseError, match="1 files differ from the commit, file first"):
        build.head()


def test_wheels_are_for_the_machines_that_they_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled part for any Python 3 on this kind of machine; without it, when asked, for all."""
    hook: Any = object.__new__(hatch_build.NativeBuildHook)
    monkeypatch.setattr(hatch_build.NativeBuildHook, "target_name", "wheel")
    monkeypatch.setattr(hatch_build.NativeBuildHook, "root", str(ROOT))
    monkeypatch.setattr(hatch_build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(hatch_build.sysconfig, "get_platform", lambda: "linux-x86_64")
    monkeypatch.setattr(hatch_build.shutil, "which", lambda _: "/usr/bin/g++")
    monkeypatch.setattr(hatch_build, "compile_library", lambda *_: None)
    made: dict[str, Any] = {"artifacts": []}
    hook.initialize("standard", made)
    assert made == {
        "artifacts": ["enclave_worker/native/libbloom.so"],
        "tag": "py3-none-linux_x86_64",
        "pure_python": False,
    }
    monkeypatch.setenv("SEALBATCH_COMPILED", "0")
    made = {"artifacts": []}
    hook.initialize("standard", made)
    assert made == {"artifacts": []}


def test_hooks_and_forms_can_be_used() -> None:
    """Hooks take tools that `make lint` installs and none from elsewhere; forms have what GitHub asks of them."""
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    tools = {hook["entry"].split()[0] for hook in repository["hooks"]}
    assert tools == {f".venv/bin/{name}" for name in ("ruff", "mypy", "lint-imports", "cfn-lint")}
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 2
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert form.keys() >= {"name", "description", "body"}
        ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 1
        assert all(part["attributes"]["label"] for part in form["body"] if part["type"] != "markdown")
