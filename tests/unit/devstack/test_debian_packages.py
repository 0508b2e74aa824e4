"""Packages for other kernels: what came is what was tried, or nothing is unpacked."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from devstack.machines.debian import MIRROR, MissingPartError, Wanted, ensure

APT = """#!/bin/sh
# An apt-get that knows one package, `greeting` 1.0, and leaves its file where it is run.
case "$*" in
*"download greeting"*) cp {package} . ;;
*download*) echo "E: Unable to locate package" >&2; exit 100 ;;
esac
"""


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """SHA-256 of the package that the machine's apt offers."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.invalid>\n"
        "Description: says hello\n"
    )
    (tree / "hello").write_text("hello\n")
    package = tmp_path / "greeting_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, capture_output=True)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "apt-get").write_text(APT.format(package=package))
    (binaries / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:/usr/bin:/bin")
    monkeypatch.delenv(MIRROR, raising=False)
    return hashlib.sha256(package.read_bytes()).hexdigest()


def test_a_package_is_unpacked_once(tmp_path: Path, digest: str) -> None:
    """And what was taken is written down."""
    wanted = [Wanted("greeting", {"1.0": digest})]
    place = ensure("one", wanted, home=tmp_path / "home")
    assert (place / "hello").read_text() == "hello\n"
    assert (place / "packages.txt").read_text() == "greeting 1.0\n"
    (tmp_path / "bin" / "apt-get").unlink()
    assert ensure("one", wanted, home=tmp_path / "home") == place


def test_a_tried_version_with_another_digest_is_refused(tmp_path: Path, digest: str) -> None:
    """Nothing of it is unpacked, and nothing is left that a later run would take for it."""
    assert digest
    with pytest.raises(MissingPartError, match=r"greeting 1\.0: the file's SHA-256"):
        ensure("one", [Wanted("greeting", {"1.0": "0" * 64})], home=tmp_path / "home")
    assert not list((tmp_path / "home").rglob("hello"))


def test_a_version_that_nobody_vouches_for_is_refused(
    tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a named archive without Debian's keyring only tried versions are taken; with them the digest vouches."""
    monkeypatch.setenv(MIRROR, "file:/nowhere")
    monkeypatch.setattr("devstack.machines.debian.KEYRING", tmp_path / "none")
    with pytest.raises(MissingPartError, match="nothing vouches"):
        ensure("one", [Wanted("greeting", {"0.9": digest})], home=tmp_path / "home")
    assert ensure("one", [Wanted("greeting", {"1.0": digest})], home=tmp_path / "home")


def test_a_package_that_is_not_to_be_had_is_named(tmp_path: Path, digest: str) -> None:
    """With apt's own reason."""
    assert digest
    with pytest.raises(MissingPartError, match="download farewell failed: E: Unable to locate package"):
        ensure("one", [Wanted("farewell", {})], home=tmp_path / "home")


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback of a missing program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPartError, match="no Debian or Ubuntu"):
        ensure("one", [Wanted("greeting", {})], home=tmp_path / "home")
