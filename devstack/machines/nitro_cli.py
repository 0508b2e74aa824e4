"""AWS's `nitro-cli`, as far as `sealbatch enclave` uses it, with virtual machines for enclaves.

Options, JSON and refusals are those of version 1.5 (aws-nitro-enclaves-cli, `src/common/json_output.rs` and
`document_errors.rs`). There is no debug mode: the console of every enclave lies in `console.log` of its folder.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

# `describe-enclaves` is called once a second while an enclave boots, so it imports nothing of ours.

EIF_FACTOR: Final = 4
MIB: Final = 2**20
PATIENCE: Final = 120.0
POLL: Final = 0.05
DESCRIPTION: Final = "enclave.json"


def main() -> int:
    """Answer one call; the exit code is nitro-cli's."""
    parser = argparse.ArgumentParser(prog="nitro-cli", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="where the enclaves' folders lie")
    parser.add_argument("--dev", type=Path, required=True, help="the development folder whose root signs documents")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run-enclave")
    run.add_argument("--eif-path", required=True, type=Path)
    run.add_argument("--memory", required=True, type=int)
    run.add_argument("--cpu-count", required=True, type=int)
    run.add_argument("--enclave-cid", type=int, default=16)
    run.add_argument("--enclave-name", required=True)
    verbs.add_parser("describe-enclaves")
    verbs.add_parser("terminate-enclave").add_argument("--enclave-id", required=True)
    options = parser.parse_args()
    match options.verb:
        case "run-enclave":
            return _run(options)
        case "describe-enclaves":
            print(json.dumps([_described(place) for place in _running(options.state)], indent=2))  # noqa: T201
            return 0
        case _:
            return _terminate(options.state, options.enclave_id)


def _run(options: argparse.Namespace) -> int:
    from sealbatch.image.eif import EifError, read_image

    rule = EIF_FACTOR * -(-options.eif_path.stat().st_size // MIB)
    if options.memory < rule:
        asked = f"User provided `memory` is {options.memory} MB, but based on the EIF file size, the minimum memory"
        return _refuse("E26", f"Insufficient memory requested. {asked} should be {rule} MB")
    try:
        with options.eif_path.open("rb") as file:
            pcrs = read_image(file).pcrs
    except EifError as error:
        return _refuse("E36", f"Enclave boot failure. {error}")
    place = options.state / options.enclave_name
    if place in _running(options.state):
        return _refuse("E36", f"Enclave boot failure. {options.enclave_name} is running already")
    place.mkdir(parents=True, exist_ok=True)
    for left in place.iterdir():
        left.unlink()
    told = {"image": str(options.eif_path.resolve()), "memory_mib": options.memory, "cpus": options.cpu_count}
    (place / "guest.json").write_text(json.dumps(told | {"cid": options.enclave_cid}))
    process = _start(place, options.dev)
    described = {
        "EnclaveName": options.enclave_name,
        "EnclaveID": f"i-{secrets.token_hex(8)}0-enc{secrets.token_hex(8)}",
        "ProcessID": process.pid,
        "EnclaveCID": options.enclave_cid,
        "NumberOfCPUs": options.cpu_count,
        "CPUIDs": list(range(1, options.cpu_count + 1)),
        "MemoryMiB": options.memory,
    }
    measured = {f"PCR{index}": pcr.hex() for index, pcr in pcrs.items()}
    state = {"State": "RUNNING", "Flags": "NONE", "Measurements": {"HashAlgorithm": "Sha384 { ... }"} | measured}
    deadline = time.monotonic() + PATIENCE
    while not (place / "running").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            return _refuse("E36", f"Enclave boot failure. {place / 'process.log'} says why")
        time.sleep(POLL)
    (place / DESCRIPTION).write_text(json.dumps(described | state))
    print(json.dumps(described, indent=2))  # noqa: T201
    return 0


def _start(place: Path, development: Path) -> subprocess.Popen[bytes]:
    """The enclave's own process, which outlives this one."""
    with (place / "process.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "devstack.machines.enclave_process", str(place), str(development)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _terminate(state: Path, identity: str) -> int:
    place = next((place for place in _running(state) if _described(place)["EnclaveID"] == identity), None)
    if place is None:
        return _refuse("E39", "Enclave process connection failure.")
    described = _described(place)
    os.kill(described["ProcessID"], signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while place in _running(state):
        if time.monotonic() > deadline:
            return _refuse("E39", "Enclave process connection failure. It does not end.")
        time.sleep(POLL)
    told = {"EnclaveName": described["EnclaveName"], "EnclaveID": identity, "Terminated": True}
    print(json.dumps(told, indent=2))  # noqa: T201
    return 0


def _running(state: Path) -> list[Path]:
    """The folders of the enclaves whose process lives."""
    places = sorted(path.parent for path in state.glob(f"*/{DESCRIPTION}"))
    return [place for place in places if _lives(_described(place)["ProcessID"], place)]


def _lives(pid: int, place: Path) -> bool:
    """Whether that process is the enclave's; one that ended and was not reaped has no command line any more."""
    try:
        return str(place).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _described(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / DESCRIPTION).read_text())
    return found


def _refuse(code: str, reason: str) -> int:
    print(f"[ {code} ] {reason}", file=sys.stderr)  # noqa: T201
    return int(code[1:])


if __name__ == "__main__":
    sys.exit(main())
