"""The one step of compose.yaml that no program of ours does: applies the template, writes the configuration.

The stand-in of AWS forgets all when it ends, so this runs once after each start of it. The schedule's inbox and answers
lie in the volume that the nightly containers share.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from devstack.files import write_private
from devstack.measure import measure, measure_model_of
from devstack.provision import provision
from devstack.root import ROOT_PATH
from devstack.stack import TENANT

PATIENCE: Final = 60.0
CONFIG: Final = Path("/config")
NIGHT: Final = Path("/night")
TRUST: Final = Path("/root-of-trust")
MODEL: Final = Path("/model")


def main() -> int:
    """Wait for the stand-in, make the tenant's resources, write `sealbatch.toml`."""
    parser = argparse.ArgumentParser(prog="devstack.compose", description=__doc__)
    parser.add_argument("--endpoint", required=True, help="URL of the AWS stand-in")
    parser.add_argument("--redis", required=True, help="URL of Redis")
    options = parser.parse_args()
    _await(options.endpoint)
    for name in ("inbox", "answers"):
        (NIGHT / name).mkdir(mode=0o700, exist_ok=True)
    root = CONFIG / ROOT_PATH
    root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(TRUST / ROOT_PATH, root)
    image, model = measure(MODEL)[0].hex(), measure_model_of(MODEL).hex()
    provision(options.endpoint, tenant=TENANT, image=image, folder=CONFIG, model=model)
    _add_schedule(options.redis)
    sys.stdout.write(f"keys admit image {image[:16]}... and nobody else\n")
    return 0


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


def _add_schedule(redis: str) -> None:
    path, secret = CONFIG / "sealbatch.toml", CONFIG / "secret"
    if not secret.exists():
        write_private(secret, os.urandom(32))
    schedule = {
        "name": "night",
        "cron": "0 2 * * *",
        "time_zone": "UTC",
        "inbox": str(NIGHT / "inbox"),
        "answers": str(NIGHT / "answers"),
        "settle": "5s",
    }
    # Top-level settings stand before the first table.
    text = f"secret_file = {json.dumps(str(secret))}\n" + path.read_text(encoding="utf-8")
    text += f"\n[nightly]\nredis_url = {json.dumps(redis)}\n\n[[schedules]]\n"
    text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in schedule.items())
    write_private(path, text.encode())


if __name__ == "__main__":
    sys.exit(main())
