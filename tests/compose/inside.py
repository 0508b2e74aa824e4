"""What a container may do, seen from the inside: read from standard input by its Python, answers with one JSON object.

Everything is tried or read from the kernel; nothing is taken from compose.yaml.
"""

import importlib.util
import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path

ELSEWHERE = "203.0.113.7"  # of TEST-NET-3 in RFC 5737
MODULES = ("torch", "transformers", "boto3", "celery", "moto", "pip")


def status() -> dict[str, str]:
    """Of process 1, which runs what the image runs."""
    lines = Path("/proc/1/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def writable() -> list[str]:
    """Folders of a disk in which a file can be made: mount points and folders near the root, the topmost alone.

    What lies in memory (tmpfs) is left out: engines add some of their own, and nothing of it outlives a container.
    """
    mounts = {fields[1]: fields[2] for fields in map(str.split, Path("/proc/self/mounts").read_text().splitlines())}
    near = {str(path) for path in (*Path("/").glob("*"), *Path("/").glob("*/*")) if path.is_dir()}
    found: list[str] = []
    for folder in sorted({"/", *near, *mounts}):
        kind = next(mounts[str(at)] for at in (Path(folder), *Path(folder).parents) if str(at) in mounts)
        below = any(Path(folder).is_relative_to(one) for one in found)
        if kind not in {"tmpfs", "proc", "sysfs", "devpts", "mqueue"} and not below and can_write(folder):
            found.append(folder)
    return found


def can_write(folder: str) -> bool:
    """By trying it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def has_a_way_out() -> bool:
    """Whether the kernel has a route to the rest of the world; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((ELSEWHERE, 443))
        except OSError:
            return False
        return True


def reaches(host: str, port: int) -> bool:
    """Whether a connection is made, or refused by somebody who is there."""
    try:
        with socket.create_connection((host, port), timeout=3):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def executes_from_tmp() -> bool:
    """Whether a program that was written to /tmp runs."""
    path = Path("/tmp/executable")
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    try:
        return subprocess.run([str(path)], check=False).returncode == 0
    except PermissionError:
        return False
    finally:
        path.unlink()


def profiles(path: Path) -> list[str]:
    """The names of the credentials that lie there."""
    try:
        return [line.strip("[]\n") for line in path.open() if line.startswith("[")]
    except OSError:
        return []


process = status()
print(  # noqa: T201 - the answer
    json.dumps(
        {
            "uids": process["Uid"].split(),
            "capabilities": sorted({process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}),
            "no_new_privileges": process["NoNewPrivs"],
            "writable": writable(),
            "executes_from_tmp": executes_from_tmp(),
            "interfaces": sorted(path.name for path in Path("/sys/class/net").glob("*")),
            "way_out": has_a_way_out(),
            "reaches": {
                "aws": reaches("aws", 4566),
                "redis": reaches("redis", 6379),
                "bridge": reaches("bridge", 9464),
            },
            "modules": [name for name in MODULES if importlib.util.find_spec(name)],
            "model": Path("/model/model.safetensors").exists(),
            "root_of_trust": Path("/root-of-trust/attestation/intermediate.key").exists(),
            "secret": Path("/config/secret").exists(),
            "credentials": profiles(Path("/config/credentials")),
            "environment": dict(os.environ),
        }
    )
)
