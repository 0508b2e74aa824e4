"""AWS's `nitro-cli`: the program that starts, lists and ends enclaves. Its JSON and errors are those of version 1.5."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = "nitro-cli"
TIMEOUT: Final = 1200.0
"""Seconds. nitro-cli itself waits for a large image for minutes: one for each 6 GiB of image, and more for memory."""
RUNNING: Final = "RUNNING"
DEBUG: Final = "DEBUG_MODE"
MAX_SHOWN: Final = 400

_CODE: Final = re.compile(r"\[ (E[0-9]{2}) \]\s*([^\n]*)")
_NEXT: Final = {
    "E18": "run it as root, or as a member of the group `ne`",
    "E19": "enable enclave options for the instance, and see that its kernel has made /dev/nitro_enclaves",
    "E21": "see /etc/nitro_enclaves/allocator.yaml, and restart nitro-enclaves-allocator",
    "E22": "`sealbatch enclave size` writes cpu_count; then restart nitro-enclaves-allocator",
    "E26": "`sealbatch enclave size` says how much memory the image needs",
    "E27": "end other enclaves, or raise memory_mib and restart nitro-enclaves-allocator",
    "E35": "restart nitro-enclaves-allocator: the large pages that were set aside are not there",
    "E36": "see the image with `sealbatch image measure`; `--debug` shows its console",
    "E39": "see the other lines of nitro-cli with `nitro-cli describe-enclaves`",
}
_LAST: Final = {"E39": 1, "E38": 1}
"""They report that another process failed, which has said why itself."""


class NitroError(Exception):
    """nitro-cli is not there, or refused; the text has its code, its reason and what to do."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Enclave:
    """One enclave as nitro-cli describes it; `pcr0` is what nitro-cli measured of the file, if it says so."""

    name: str
    identity: str
    cid: int
    cpus: int
    memory_mib: int
    state: str
    debug: bool
    pcr0: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """An enclave to be started; `cid` None leaves the number to nitro-cli."""

    eif: Path
    name: str
    memory_mib: int
    cpus: int
    cid: int | None
    debug: bool = False


def describe() -> list[Enclave]:
    """All enclaves of this parent.

    Raises:
        NitroError: nitro-cli is not there or refuses.
    """
    value = _call(["describe-enclaves"])
    if not isinstance(value, list):
        raise NitroError("nitro-cli describe-enclaves gave no list")
    return [_enclave(entry) for entry in value]


def run(order: Order) -> Enclave:
    """Start an enclave and give its description.

    Raises:
        NitroError: nitro-cli is not there or refuses.
    """
    words = ["--eif-path", str(order.eif), "--enclave-name", order.name]
    words += ["--memory", str(order.memory_mib), "--cpu-count", str(order.cpus)]
    words += [] if order.cid is None else ["--enclave-cid", str(order.cid)]
    words += ["--debug-mode"] if order.debug else []
    started = _enclave(_call(["run-enclave", *words]))
    return find(started.name) or started


def terminate(identity: str) -> None:
    """End an enclave.

    Raises:
        NitroError: nitro-cli is not there, refuses, or does not say that it ended.
    """
    value = _call(["terminate-enclave", "--enclave-id", identity])
    if not isinstance(value, dict) or value.get("Terminated") is not True:
        raise NitroError(f"nitro-cli does not say that {identity} ended")


def find(name: str) -> Enclave | None:
    """The enclave of that name.

    Raises:
        NitroError: nitro-cli is not there or refuses.
    """
    return next((enclave for enclave in describe() if enclave.name == name), None)


def _call(words: Sequence[str]) -> Any:
    try:
        done = subprocess.run(
            [PROGRAM, *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise NitroError("nitro-cli is not installed: it comes with the package aws-nitro-enclaves-cli") from None
    except PermissionError:
        raise NitroError(f"nitro-cli may not be run; {_NEXT['E18']}") from None
    except subprocess.TimeoutExpired:
        raise NitroError(f"nitro-cli {words[0]} did not end within {TIMEOUT:.0f} s") from None
    if done.returncode:
        raise _refusal(words[0], done.returncode, done.stderr.decode(errors="replace"))
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise NitroError(f"nitro-cli {words[0]} gave no JSON") from None


def _refusal(verb: str, status: int, said: str) -> NitroError:
    found = _CODE.findall(said)
    if not found:
        lines = said.strip().splitlines() or ["it gave no reason"]
        return NitroError(f"nitro-cli {verb} ended with code {status}: {lines[0][:MAX_SHOWN]}")
    code, reason = min(found, key=lambda one: _LAST.get(one[0], 0))
    step = _NEXT.get(code, f"`nitro-cli explain --error-code {code}` says more")
    return NitroError(f"nitro-cli {verb}: {code}: {reason.strip()[:MAX_SHOWN]}; {step}", code)


def _enclave(value: Any) -> Enclave:
    try:
        return Enclave(
            name=str(value.get("EnclaveName", "")),
            identity=str(value["EnclaveID"]),
            cid=int(value["EnclaveCID"]),
            cpus=int(value["NumberOfCPUs"]),
            memory_mib=int(value["MemoryMiB"]),
            # What `run-enclave` gives has neither.
            state=str(value.get("State", RUNNING)),
            debug=str(value.get("Flags", "NONE")) != "NONE",
            pcr0=(value.get("Measurements") or {}).get("PCR0"),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NitroError("nitro-cli described an enclave otherwise than version 1.5 does") from None
