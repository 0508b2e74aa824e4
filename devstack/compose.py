"""The one step of compose.yaml that no program of ours does: applies the template, writes each client's configuration.

Who asks has the producer's and the reader's credentials and the schedules; the reader and the bridge have their own
and nothing else. The schedule's inbox and answers lie in the volume that the nightly containers share.
"""

import argparse
import configparser
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import boto3
from botocore.exceptions import ClientError

from devstack.files import write_private
from devstack.measure import measure, measure_model_of
from devstack.nightly import night_config
from devstack.provision import REGION, STACK, provision
from devstack.root import ROOT_PATH

PATIENCE: Final = 60.0
CONFIG: Final = Path("/config")
NIGHT: Final = Path("/night")
TRUST: Final = Path("/root-of-trust")
MODEL: Final = Path("/model")
PARTS: Final = {"asker": ("producer", "reader"), "reader": ("reader",), "bridge": ("bridge",)}
"""Folders below `/config`, each the `/config` of a container, and the roles whose credentials lie in it."""


def main() -> int:
    """Wait for the stand-in, make the tenant's resources, write what each client reads."""
    parser = argparse.ArgumentParser(prog="devstack.compose", description=__doc__)
    parser.add_argument("--endpoint", required=True, help="URL of the AWS stand-in")
    parser.add_argument("--redis", required=True, help="URL of Redis")
    options = parser.parse_args()
    _await(options.endpoint)
    if is_made(options.endpoint):
        sys.stdout.write("everything is there already\n")
        return 0
    image, model = measure(MODEL)[0].hex(), measure_model_of(MODEL).hex()
    with tempfile.TemporaryDirectory() as scratch:
        provision(options.endpoint, image=image, folder=Path(scratch), model=model)
        add_schedule(Path(scratch), CONFIG / "asker", options.redis)
        hand_out(Path(scratch), TRUST / ROOT_PATH, CONFIG)
    sys.stdout.write(f"keys admit image {image[:16]}... and nobody else\n")
    return 0


def is_made(endpoint: str) -> bool:
    """Whether the stand-in has the stack: container engines run this again whenever they start what depends on it."""
    session = boto3.session.Session("sealbatch-owner", "sealbatch-owner", region_name=REGION)
    try:
        session.client("cloudformation", endpoint_url=endpoint).describe_stacks(StackName=STACK)
    except ClientError:
        return False
    return True


def add_schedule(made: Path, asker: Path, redis: str, night: Path = NIGHT) -> None:
    """Make the asker's configuration of all clients' in `made`: with a schedule, and with a secret in `asker`."""
    for name in ("inbox", "answers"):
        (night / name).mkdir(mode=0o700, exist_ok=True)
    if not (asker / "secret").exists():
        write_private(asker / "secret", os.urandom(32))
    schedule = {
        "name": "night",
        "cron": "0 2 * * *",
        "time_zone": "UTC",
        "inbox": str(night / "inbox"),
        "answers": str(night / "answers"),
        "settle": "5s",
    }
    text = night_config(made / "sealbatch.toml", CONFIG / "secret", [schedule], redis_url=redis)
    write_private(made / "asker.toml", text.encode())


def hand_out(made: Path, root: Path, config: Path) -> None:
    """Give each of `PARTS` below `config` what was made in the folder `made`, and the attestation's root certificate.

    The configuration comes last: a container that waits for it finds all.
    """
    for part, roles in PARTS.items():
        folder = config / part
        own = made / f"{part}.toml"
        text = (own if own.exists() else made / "sealbatch.toml").read_text(encoding="utf-8")
        (folder / ROOT_PATH).parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(root, folder / ROOT_PATH)
        _copy_credentials(made / "credentials", folder / "credentials", roles)
        write_private(folder / "sealbatch.toml", text.replace(f'"{made}/', f'"{CONFIG}/').encode())


def _await(endpoint: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(endpoint, timeout=PATIENCE):  # noqa: S310 - the compose file's own URL
                return
        except (URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _copy_credentials(source: Path, target: Path, roles: Collection[str]) -> None:
    profiles = configparser.RawConfigParser()
    profiles.read(source)
    for section in profiles.sections():
        if section.removeprefix("sealbatch-") not in roles:
            profiles.remove_section(section)
    text = io.StringIO()
    profiles.write(text)
    write_private(target, text.getvalue().encode())


if __name__ == "__main__":
    sys.exit(main())
