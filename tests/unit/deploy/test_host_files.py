"""What an instance runs of deploy/: its units, how it drains, and that it starts nothing that it has not verified."""

import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cfn_template import resources

from sealbatch.fleet.allocator import ALLOCATOR

ROOT = Path(__file__).resolve().parents[3]
HOST = ROOT / "deploy" / "host"
UNITS = sorted(HOST.glob("*.service"))
EXPOSURE = 25
"""In tenths, as systemd-analyze counts: 2.5 of 10."""


class _Unit(configparser.RawConfigParser):
    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, comment_prefixes=("#",), delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(path)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_take_away_what_nobody_needs(path: Path) -> None:
    """And start programs that the user data has put there."""
    service = dict(_Unit(path)["Service"])
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["LimitCORE"] == "0"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ExecStart"].startswith(("/opt/sealbatch/venv/bin/sealbatch ", "/usr/local/libexec/sealbatch-drain"))
    users = {"sealbatch-drain": None, "sealbatch-sweep@": "%i"}
    assert service.get("User") == users.get(path.stem, "sealbatch")


def test_the_enclave_has_no_network_and_the_bridge_no_device() -> None:
    """Vsock is no network of systemd's; AF_INET is not there."""
    enclave, bridge = (dict(_Unit(HOST / f"sealbatch-{name}.service")["Service"]) for name in ("enclave", "bridge"))
    assert "AF_INET" not in enclave["RestrictAddressFamilies"]
    assert enclave["IPAddressDeny"] == "any"
    assert bridge["PrivateDevices"] == "yes"
    # Else systemd ends nitro-cli's process of the enclave before its chunks are done.
    assert enclave["KillMode"] == "mixed"
    grace = re.search(r"--grace (\d+)", bridge["ExecStart"])
    assert grace is not None
    assert int(bridge["TimeoutStopSec"]) > int(grace[1])


def test_one_sweep_for_each_who_submits() -> None:
    """With that person's tickets and configuration, which it can read and nothing else; it never forces."""
    service = dict(_Unit(HOST / "sealbatch-sweep@.service")["Service"])
    words = service["ExecStart"].split()[1:]
    assert words == ["sweep", "--all", "--every", "10m"]
    # An option that does not exist is refused before help is given.
    subprocess.run([sys.executable, "-m", "sealbatch", *words, "--help"], capture_output=True, cwd=ROOT, check=True)
    assert service["ProtectHome"] == "read-only"
    assert "ReadWritePaths" not in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """Beside AWS's own allocator unit, with programs where the units name them."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    base = "[Service]\nType=oneshot\nExecStart=/bin/true\nRemainAfterExit=true\n"
    (tmp_path / "nitro-enclaves-allocator.service").write_text(base)
    shutil.copytree(HOST / "nitro-enclaves-allocator.service.d", tmp_path / "nitro-enclaves-allocator.service.d")
    for path in UNITS:
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={program}", path.read_text(), flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text)
    names = [str(tmp_path / path.name) for path in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "sealbatch" in line or "allocator" in line]
    assert (done.returncode, ours) == (0, []), done.stderr
    security = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", *names]
    assert subprocess.run(security, capture_output=True, check=False).returncode == 0


def stub(folder: Path, name: str, body: str) -> None:
    """A program of that name that notes how it was called."""
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/calls\n{body}\n')
    path.chmod(0o755)


def run(script: str, folder: Path, **more: str) -> tuple[int, list[str], str]:
    """Exit code, calls, and what was said."""
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}:/usr/bin:/bin", **more},
        cwd=folder,
        timeout=60,
        check=False,
    )
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stdout + done.stderr


def test_an_instance_that_is_to_end_lets_its_chunks_end(tmp_path: Path) -> None:
    """It waits for its group's word, survives metadata that does not answer, stops, and only then says so."""
    stub(
        tmp_path,
        "curl",
        f"""case "$*" in
*api/token) echo T;;
*target-lifecycle-state) echo x >> {tmp_path}/asked
  case $(wc -l < {tmp_path}/asked) in 1) echo InService;; 2) exit 7;; *) echo Terminated;; esac;;
*instance-id) echo i-1;;
esac""",
    )
    stub(tmp_path, "systemctl", "")
    stub(tmp_path, "aws", "")
    code, calls, said = run(f"GROUP=g REGION=r {HOST}/drain", tmp_path, DRAIN_POLL="0.01")
    assert code == 0, said
    acts = [call for call in calls if not call.startswith("curl")]
    assert acts[:2] == ["systemctl stop sealbatch-bridge.service", "systemctl stop sealbatch-enclave.service"]
    assert acts[2].startswith("aws autoscaling complete-lifecycle-action --region r --auto-scaling-group-name g")
    assert acts[2].endswith("--instance-id i-1")
    assert len((tmp_path / "asked").read_text().split()) == 3


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A new instance: a release in a bucket, and programs that note what is asked of them."""
    release = tmp_path / "bucket"
    for name in ("sealbatch.eif", "pcrs.json", "release.pub", "wheels/x.whl", "model/manifest.json"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text(name)
    shutil.copytree(HOST, release / "host")
    files = sorted(str(path.relative_to(release)) for path in release.rglob("*") if path.is_file())
    sums = "".join(f"{hashlib.sha256((release / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    (release / "SHA256SUMS").write_text(sums)
    root = tmp_path / "root"
    for name in ("run", "etc/systemd/system", "etc/nitro_enclaves", "usr/local/libexec", "opt/sealbatch"):
        (root / name).mkdir(parents=True)
    stub(tmp_path, "aws", f'cp -r {release}/. "${{@: -1}}"')
    stub(tmp_path, "python3.11", f'mkdir -p "$3/bin"; cp {tmp_path}/pip {tmp_path}/sealbatch "$3/bin/"')
    for name in ("dnf", "pip", "sealbatch", "useradd", "systemctl", "shutdown"):
        stub(tmp_path, name, "")
    return tmp_path


def user_data(folder: Path) -> str:
    """The script as an instance gets it, with this folder for a root."""
    text = resources()["Template"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    digest = hashlib.sha256((folder / "bucket/SHA256SUMS").read_bytes()).hexdigest()
    text = text.replace("${ReleaseDigest}", digest)
    text = re.sub(r"\$\{([A-Za-z:.]+)\}", lambda match: match[1].replace(":", ""), text)
    return re.sub(r"(?<![\w.])/(opt|etc|run|usr/local)/", rf"{folder}/root/\1/", text)


def test_an_instance_starts_what_was_named(instance: Path) -> None:
    """Size, units, then the services; the configuration demands the release's signature."""
    code, calls, said = run(user_data(instance), instance)
    assert code == 0, said
    started = [call.split()[0] for call in calls]
    assert started == ["aws", "dnf", "python3.11", "pip", "useradd", "sealbatch", "systemctl", "systemctl"]
    assert f"-o {instance}/root{ALLOCATOR}" in next(call for call in calls if call.startswith("sealbatch"))
    assert calls[-1].endswith("nitro-enclaves-allocator sealbatch-enclave sealbatch-bridge sealbatch-drain")
    root = instance / "root/etc"
    assert 'release_key = "' in (root / "sealbatch/sealbatch.toml").read_text()
    assert (root / "sealbatch/drain.conf").read_text() == "GROUP=AWSStackName-instances\nREGION=AWSRegion\n"
    assert {path.name for path in (root / "systemd/system").iterdir()} >= {path.name for path in UNITS}


@pytest.mark.parametrize("fault", ["sums", "file", "more", "gone"])
def test_an_instance_starts_nothing_else(instance: Path, fault: str) -> None:
    """Another list, another byte, a file that nobody named, a file that is gone: it ends and has installed nothing."""
    script, release = user_data(instance), instance / "bucket"
    match fault:
        case "sums":
            (release / "sealbatch.eif").write_text("other")
            other = hashlib.sha256(b"other").hexdigest()
            sums = (release / "SHA256SUMS").read_text()
            (release / "SHA256SUMS").write_text(re.sub(r"\w+(?=  sealbatch.eif)", other, sums))
        case "file":
            (release / "sealbatch.eif").write_text("other")
        case "more":
            (release / "wheels/y.whl").write_text("y")
        case "gone":
            (release / "pcrs.json").unlink()
    code, calls, said = run(script, instance)
    assert code != 0
    assert "cannot start" in said
    assert [call.split()[0] for call in calls] == ["aws", "shutdown"]
