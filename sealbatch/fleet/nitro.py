"""AWS's `nitro-cli`: the program that starts, lists and ends enclaves. Its JSON and errors are those of version 1.5."""

import contextlib
import json
import re
import subprocess
import time
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

RETRIES: Final = (1.0, 3.0)
"""Seconds until enclaves are asked for again: one that starts, ends or is measured does not answer within 3 s."""

_CODE: Final = re.compile(r"\[ (E[0-9]{2}) \]\s*([^\n]*)(?:\nFile: '([^'\n]*)'[^\n]*)?")
_LOGS: Final = "/var/log/nitro_enclaves/nitro_enclaves.log"
_DEVICE: Final = "/dev/nitro_enclaves"
_SOCKETS: Final = "/run/nitro_enclaves"
_KERNEL: Final = "see `journalctl --dmesg --grep nitro`, and restart nitro-enclaves-allocator"
_PAGES: Final = "restart nitro-enclaves-allocator: the large pages that were set aside are not there"
_GROUP: Final = "run it as root, or as a member of the group `ne`"
_NEXT: Final = {
    "E07": f"see that {_SOCKETS} is there and the group `ne` may write to it",
    "E11": f"the enclave's process does not answer: see {_LOGS}",
    "E18": f"{_LOGS} is another user's: {_GROUP}",
    "E21": "see /etc/nitro_enclaves/allocator.yaml, and restart nitro-enclaves-allocator",
    "E22": "`sealbatch enclave size` writes cpu_count; then restart nitro-enclaves-allocator",
    "E26": "`sealbatch enclave size` says how much memory the image needs",
    "E27": "end other enclaves, or raise memory_mib and restart nitro-enclaves-allocator",
    "E28": _KERNEL,
    "E29": _KERNEL,
    "E31": _KERNEL,
    "E32": _KERNEL,
    "E33": "another enclave may have its context ID: name one with `--cid`",
    "E35": _PAGES,
    "E36": "see the image with `sealbatch image measure`; `--debug` shows its console",
    "E38": f"see {_LOGS}",
    "E39": f"an enclave's process does not answer: see {_LOGS}, and whether it belongs to another user",
    "E42": _PAGES,
    "E56": f"see that {_LOGS} may be written: {_GROUP}",
    "E59": "the certificate that signed the image is not valid, or not any more: sign and publish the release again",
}
_UNANSWERED: Final = ("E38", "E39")
"""They report that another process failed, which has said why itself, or does not answer just now."""


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
    value = _ask()
    if not isinstance(value, list):
        raise NitroError("nitro-cli describe-enclaves gave no list")
    return [_enclave(entry) for entry in value]


def run(order: Order) -> Enclave:
    """Start an enclave and give its description. One that was started although nitro-cli failed is ended again.

    Raises:
        NitroError: nitro-cli is not there or refuses.
    """
    words = ["--eif-path", str(order.eif), "--enclave-name", order.name]
    words += ["--memory", str(order.memory_mib), "--cpu-count", str(order.cpus)]
    words += [] if order.cid is None else ["--enclave-cid", str(order.cid)]
    words += ["--debug-mode"] if order.debug else []
    try:
        started = _enclave(_call(["run-enclave", *words]))
    except (NitroError, KeyboardInterrupt):
        with contextlib.suppress(NitroError):
            if (left := find(order.name)) is not None:
                terminate(left.identity)
        raise
    # It runs, whatever becomes of a second look.
    with contextlib.suppress(NitroError):
        return find(started.name) or started
    return started


def terminate(identity: str) -> None:
    """End an enclave, or find that it has ended by itself.

    Raises:
        NitroError: nitro-cli is not there, refuses, or does not say that it ended.
    """
    try:
        value = _call(["terminate-enclave", "--enclave-id", identity])
    except NitroError:
        with contextlib.suppress(NitroError):
            if all(one.identity != identity for one in describe()):
                return
        raise
    if not isinstance(value, dict) or value.get("Terminated") is not True:
        raise NitroError(f"nitro-cli does not say that {identity} ended")


def find(name: str) -> Enclave | None:
    """The enclave of that name.

    Raises:
        NitroError: nitro-cli is not there or refuses.
    """
    return next((enclave for enclave in describe() if enclave.name == name), None)


def _ask() -> Any:
    for pause in RETRIES:
        try:
            return _call(["describe-enclaves"])
        except NitroError as error:
            if error.code not in _UNANSWERED:
                raise
        time.sleep(pause)
    return _call(["describe-enclaves"])


def _call(words: Sequence[str]) -> Any:
    try:
        done = subprocess.run(
            [PROGRAM, *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise NitroError("nitro-cli is not installed: it comes with the package aws-nitro-enclaves-cli") from None
    except PermissionError:
        raise NitroError(f"nitro-cli may not be run; {_GROUP}") from None
    except subprocess.TimeoutExpired:
        raise NitroError(f"nitro-cli {words[0]} did not end within {TIMEOUT:.0f} s; see {_LOGS}") from None
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        raise _refusal(words[0], done.returncode, said)
    try:
        return json.loads(done.stdout)
    except ValueError:
        # E00 ends with 0.
        raise _refusal(words[0], 0, said or "it gave no JSON") from None


def _refusal(verb: str, status: int, said: str) -> NitroError:
    found = _CODE.findall(said)
    if not found:
        lines = said.strip().splitlines() or ["it gave no reason"]
        return NitroError(f"nitro-cli {verb} ended with code {status}: {lines[0][:MAX_SHOWN]}")
    code, reason, file = min(found, key=lambda one: one[0] in _UNANSWERED)
    step = _file_step(file) if file else _NEXT.get(code, f"`nitro-cli explain --error-code {code}` says more")
    what = f"{reason.strip()[:MAX_SHOWN]} ({file})" if file else reason.strip()[:MAX_SHOWN]
    return NitroError(f"nitro-cli {verb}: {code}: {what}; {step}", code)


def _file_step(file: str) -> str:
    """What to do about a file that nitro-cli cannot open, read or write."""
    if file == _DEVICE:
        return f"enable enclave options for the instance, see that its kernel has made the device, and {_GROUP}"
    if file.startswith("/sys/"):
        return "is its kernel's module loaded? `modprobe nitro_enclaves`, and restart nitro-enclaves-allocator"
    return f"see that it is there, and that this user may use it, or {_GROUP}"


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
