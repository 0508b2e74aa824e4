"""A stand-in of AWS's `nitro-cli` 1.5: its options, JSON and errors as documented, and no enclave behind it.

Answers follow aws-nitro-enclaves-cli, `src/common/json_output.rs` and `document_errors.rs`; exit codes are the errors'
numbers. State lies in the folder that `NITRO_STANDIN` names: `pool.json` is what the allocator set aside,
`enclaves.json` what runs, `calls` what was typed; `fault.json` ({"verb", "stderr", "status"}) is answered once instead.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

PARENT = "i-0abc12345def67890"
HELP = "For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#{code}"
LOG = (
    "If you open a support ticket, please provide the error log found at "
    '"/var/log/nitro_enclaves/err2026-11-26T02:00:00.log"'
)
REASONS = {
    "E22": "Insufficient CPUs available in the pool. User provided `cpu-count` is {0}, which is more than the "
    "configured CPU pool size.\nYou can increase the CPU pool size by editing the `cpu_count` value from "
    "'/etc/nitro_enclaves/allocator.yaml' and then enable the nitro-enclaves-allocator.service.",
    "E26": "Insufficient memory requested. User provided `memory` is {0} MB, but based on the EIF file size, the "
    "minimum memory should be {1} MB",
    "E27": "Insufficient memory available. User provided `memory` is {0} MB, which is more than the available hugepage "
    "memory.\nYou can increase the available memory by editing the `memory_mib` value from "
    "'/etc/nitro_enclaves/allocator.yaml' and then restart the nitro-enclaves-allocator.service.",
    "E39": "Enclave process connection failure. Such error appears when the enclave manager fails to connect to "
    "at least one enclave process for retrieving the description information.",
}
FOLDER = Path(os.environ.get("NITRO_STANDIN", "."))


def main() -> int:
    """Answer one call."""
    with (FOLDER / "calls").open("a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    options = parser().parse_args()
    fault = FOLDER / "fault.json"
    if fault.exists() and json.loads(fault.read_text())["verb"] == options.verb:
        said = json.loads(fault.read_text())
        fault.unlink()
        print(said["stderr"], file=sys.stderr)
        return int(said["status"])
    match options.verb:
        case "run-enclave":
            return run(options)
        case "describe-enclaves":
            print(json.dumps(enclaves(), indent=2))
            return 0
        case _:
            return terminate(options)


def parser() -> argparse.ArgumentParser:
    """The options that are used here, as the real one takes them."""
    parser = argparse.ArgumentParser(prog="nitro-cli")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run-enclave")
    run.add_argument("--eif-path", required=True, type=Path)
    run.add_argument("--memory", required=True, type=int)
    run.add_argument("--cpu-count", required=True, type=int)
    run.add_argument("--enclave-cid", type=int, default=10)
    run.add_argument("--enclave-name")
    run.add_argument("--debug-mode", action="store_true")
    verbs.add_parser("describe-enclaves")
    verbs.add_parser("terminate-enclave").add_argument("--enclave-id", required=True)
    return parser


def run(options: argparse.Namespace) -> int:
    """Check as the real one does, and say that it runs."""
    pool = json.loads((FOLDER / "pool.json").read_text())
    rule = 4 * -(-options.eif_path.stat().st_size // 2**20)
    if options.cpu_count > pool["cpus"]:
        return fail("E22", options.cpu_count)
    print("Start allocating memory...", file=sys.stderr)
    if options.memory < rule:
        return fail("E26", options.memory, rule)
    if options.memory > pool["memory_mib"]:
        return fail("E27", options.memory)
    running = enclaves()
    cpus = [2 * number + 1 for number in range(options.cpu_count)]
    told = {
        "EnclaveName": options.enclave_name or options.eif_path.stem,
        "EnclaveID": f"{PARENT}-enc{len(running) + 0x193A7C0A7B1E81A:016x}",
        "ProcessID": 4242,
        "EnclaveCID": options.enclave_cid,
        "NumberOfCPUs": options.cpu_count,
        "CPUIDs": cpus,
        "MemoryMiB": options.memory,
    }
    state = {"State": "RUNNING", "Flags": "DEBUG_MODE" if options.debug_mode else "NONE"}
    measured = {"HashAlgorithm": "Sha384 { ... }", "PCR0": hashlib.sha384(options.eif_path.read_bytes()).hexdigest()}
    keep([*running, {**told, **state, "Measurements": measured}])
    print(
        f"Started enclave with enclave-cid: {options.enclave_cid}, memory: {options.memory} MiB, cpu-ids: {cpus}",
        file=sys.stderr,
    )
    print(json.dumps(told, indent=2))
    return 0


def terminate(options: argparse.Namespace) -> int:
    """End one."""
    running = enclaves()
    gone = [enclave for enclave in running if enclave["EnclaveID"] == options.enclave_id]
    if not gone:
        return fail("E39")
    keep([enclave for enclave in running if enclave not in gone])
    print(f"Successfully terminated enclave {options.enclave_id}.", file=sys.stderr)
    told = {"EnclaveName": gone[0]["EnclaveName"], "EnclaveID": options.enclave_id, "Terminated": True}
    print(json.dumps(told, indent=2))
    return 0


def fail(code: str, *values: object) -> int:
    """The enclave's own process says why, then the caller says that it failed; the exit code is the caller's."""
    said = [(code, REASONS[code].format(*values))]
    if code != "E39":
        print(f"[ {code} ] {said[0][1]}\n\n{HELP.format(code=code)}\n\n{LOG}", file=sys.stderr)
    print("Failed connections: 1", file=sys.stderr)
    print(f"[ E39 ] {REASONS['E39']}\n\n{HELP.format(code='E39')}\n\n{LOG}", file=sys.stderr)
    return 39


def enclaves() -> list[dict[str, Any]]:
    """What runs."""
    path = FOLDER / "enclaves.json"
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def keep(running: list[dict[str, Any]]) -> None:
    """Note what runs; whole or not at all."""
    part = FOLDER / "enclaves.part"
    part.write_text(json.dumps(running))
    part.replace(FOLDER / "enclaves.json")


if __name__ == "__main__":
    sys.exit(main())
