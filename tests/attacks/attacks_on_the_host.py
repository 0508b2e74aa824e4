"""What root on the host can do beside the protocol: look, change the model, start it otherwise, make it crash."""

import contextlib
import io
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from enclave_parent import Parent, RunningEnclave
from hostile import Accepted, Stage, Verdict
from question_factory import Keys, record
from registry import attack
from scripted_engine import ScriptedEngine

from devstack.cms import envelop
from devstack.measure import measure
from devstack.nsm import SoftwareNsm
from devstack.stack import MODEL
from enclave_worker.attestor import AttestorError, own_image
from enclave_worker.keyring import Keyring
from enclave_worker.manifest import ModelError, load_manifest
from wire.envelope import parse_questions
from wire.errors import SealError
from wire.messages import Answer, Refusal

ORACLE = int(os.environ.get("SEALBATCH_ORACLE", "2000"))
"""How often the enclave is asked with mutated CMS; `make attack` sets 100,000."""


@attack("read the enclave's console")
def console(stage: Stage) -> Verdict:
    """All that enclave, engine and stand-in print, after a job, a refusal and a crash of the connection."""
    stage.answered(2)
    found = stage.leaks()
    if found:
        raise Accepted(f"a question stands in {found[0]}")
    return Verdict("ids, counts and codes", "no content in logs, frames, objects")


@attack("ask for a core dump of the enclave")
def core_dump(stage: Stage) -> Verdict:
    """The limit of both of its processes, as the kernel has it."""
    import psutil

    enclave = psutil.Process(stage.stack.part("enclave").pid)
    for process in (enclave, *enclave.children(recursive=True)):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        if line.split()[4:6] != ["0", "0"]:
            raise Accepted(f"process {process.pid} would write a core file")
    return Verdict("the kernel writes none, for either process", "RLIMIT_CORE 0, hard")


@contextlib.contextmanager
def captured_logs() -> Iterator[io.StringIO]:
    """Everything that is logged in this process meanwhile."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


@attack("crash generation with a question in the traceback")
def crash(stage: Stage) -> Verdict:
    """An engine that fails with an error that quotes the question."""
    keyset, word = Keys(), "kestrelpoison"
    engine = ScriptedEngine()
    engine.poison = word.encode()
    errors = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        captured_logs() as logs,
        contextlib.redirect_stderr(errors),
        RunningEnclave(Path(folder), engine) as enclave,
    ):
        parent = Parent(enclave, keyset)
        parent.work(1, keyset, [record(0, f"a question with {word}")])
        reply = parent.next()
        assert isinstance(reply, Answer | Refusal)
        said = str(reply)
    if word in logs.getvalue() or word in errors.getvalue() or word in said:
        raise Accepted("the question was told")
    if "engine failed" not in logs.getvalue():
        raise Accepted("the crash did not happen")
    return Verdict("the log names the error's type and nothing of its text", "texts of errors stay inside")


@attack("start the enclave in debug mode")
def debug_mode(stage: Stage) -> Verdict:
    """Its console and memory would be the host's to read."""
    try:
        own_image(SoftwareNsm(stage.root, {}))
    except AttestorError as error:
        return Verdict(str(error), "refusal to serve")
    raise Accepted("it would serve")


@attack("change one byte of the model")
def changed_weights(stage: Stage) -> Verdict:
    """One weight, in a folder that the host streams in."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        shutil.copytree(MODEL, copy)
        weights = next(copy.glob("*.safetensors"))
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
        try:
            load_manifest(copy)
        except ModelError as error:
            return Verdict(f"the enclave does not start: {error}", "model manifest")
    raise Accepted("it would load")


@attack("change the model and its manifest alike")
def changed_manifest(stage: Stage) -> Verdict:
    """The folder is consistent, and the image another one: KMS does not know it."""
    from attacks_on_keys import decrypt, own_key

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        shutil.copytree(MODEL, copy)
        (copy / "manifest.json").write_text(
            (copy / "manifest.json").read_text().replace('"revision"', ' "revision"', 1)
        )
        changed = measure(copy)[0]
    if changed.hex() == stage.image:
        raise Accepted("the measurement does not cover the manifest")
    document = stage.nsm(changed).attest(public_key=own_key()[1], user_data=None, nonce=None)
    return decrypt(stage, stage.submit(1), document)


@attack("give the image another model when it has booted")
def other_model(stage: Stage) -> Verdict:
    """The image is the true one and takes the model; the register shows which it was."""
    from attacks_on_keys import decrypt, own_key

    document = stage.nsm(manifest=b"of a model of the attacker's").attest(
        public_key=own_key()[1], user_data=None, nonce=None
    )
    return decrypt(stage, stage.submit(1), document)


@attack("add a file to the model's folder")
def added_file(stage: Stage) -> Verdict:
    """Code that a loader might pick up."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        shutil.copytree(MODEL, copy)
        (copy / "modeling_bloom.py").write_text("raise SystemExit\n")
        try:
            load_manifest(copy)
        except ModelError as error:
            return Verdict(f"the enclave does not start: {error}", "model manifest")
    raise Accepted("it would load")


class Mutations:
    """A keyring that is asked again and again with one chunk, under one RSA key so that it goes fast."""

    def __init__(self, monkey: rsa.RSAPrivateKey) -> None:
        self.key = monkey
        self.keyset = Keys()
        self.sealed = parse_questions(self.keyset.seal([record(0, "How many days?")]))
        self.reply = b""
        self.keyring = Keyring(self, 4)

    def attest(self, **_: bytes | None) -> bytes:
        """No document is needed here."""
        return b"document"

    def pcr(self, _: int) -> bytes:
        """Not asked."""
        raise AssertionError

    def unwrap(self, *_: object) -> bytes:
        """What the parent made."""
        return self.reply

    def ask(self, reply: bytes) -> tuple[str, float]:
        """What the enclave says to this reply, and after how many microseconds."""
        self.reply = reply
        began = time.perf_counter()
        try:
            self.keyring.open(self.sealed, self)
        except SealError as error:
            return str(error), (time.perf_counter() - began) * 1e6
        return "opened", (time.perf_counter() - began) * 1e6


@attack("tell padding from key failure by mutated CMS")
def oracle(stage: Stage) -> Verdict:
    """A wrong key in right CMS, broken padding, a broken block, broken RSA: one error; times are reported."""
    from unittest import mock

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    target = Mutations(key)
    true = envelop(target.keyset.question_key, key.public_key())
    wrong_key = envelop(bytes(32), key.public_key())
    kinds = {
        "wrong key": lambda _: wrong_key,
        "padding": lambda n: _flipped(true, true.index(b"\x04\x30", 400) + 2 + 32 + n % 16),
        "first block": lambda n: _flipped(true, true.index(b"\x04\x30", 400) + 2 + n % 16),
        "rsa": lambda n: _flipped(true, true.index(b"\x04\x82") + 4 + n % 256),
    }
    said: dict[str, set[str]] = {kind: set() for kind in kinds}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with mock.patch.object(rsa, "generate_private_key", return_value=key):
        assert target.ask(true)[0] == "opened"
        target.keyring = Keyring(target, 4)
        for number in range(ORACLE):
            kind = list(kinds)[number % len(kinds)]
            text, took = target.ask(kinds[kind](number))
            said[kind].add(text)
            times[kind].append(took)
    texts = set().union(*said.values())
    if texts != {"sealed object: does not open under this key"}:
        raise Accepted(f"{len(texts)} different words: {sorted(texts)[:3]}")
    shown = ", ".join(f"{kind} {statistics.median(values):.0f}" for kind, values in times.items())
    return Verdict(f"{ORACLE:,} tries, one error; median us: {shown}", "one error, a random key in place of none")


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
