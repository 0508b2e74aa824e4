"""What root on the host can do beside the protocol: look, change the model, start it otherwise, make it crash."""

import contextlib
import json
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import stub_engine
from attacks_on_keys import PCR0, PCR16, admitted, decrypt, own_key, refused_by_enclave
from cryptography.hazmat.primitives.asymmetric import rsa
from hostile import Accepted, Stage, Verdict
from hostile_parent import HostileParent, Refused
from question_factory import Keys, record
from registry import attack
from waiting import wait_until

from devstack.cms import envelop
from devstack.measure import measure, measure_model_of
from devstack.part import Part
from devstack.stack import MODEL, ROOT
from enclave_worker.keyring import Keyring
from enclave_worker.manifest import ModelError, load_manifest
from results_consumer.errors import Check
from results_consumer.trust import Release
from wire.address import Address
from wire.envelope import parse_questions
from wire.errors import SealError
from wire.messages import Unwrapped

PATHS = {"PYTHONPATH": f"{ROOT / 'tests' / 'helpers'}:{ROOT}"}

ORACLE = int(os.environ.get("SEALBATCH_ORACLE", "2000"))
"""How often the enclave is asked with mutated CMS; `make attack` sets 100,000."""


@attack("read the enclave's console")
def console(stage: Stage) -> Verdict:
    """All that enclave, engine and stand-in print, after jobs, refusals and connections that broke."""
    stage.answer_all(stage.submit(2))
    found = stage.read_in(stage.said())
    if found:
        raise Accepted(f"a question stands in {found[0]}")
    return Verdict("ids, counts and codes", "no content in logs and frames")


@attack("ask for a core dump of the enclave")
def core_dump(stage: Stage) -> Verdict:
    """The limit of both of its processes, as the kernel has it."""
    enclave = psutil.Process(stage.stack.part("enclave").pid)
    for process in (enclave, *enclave.children(recursive=True)):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        if line.split()[4:6] != ["0", "0"]:
            raise Accepted(f"process {process.pid} would write a core file")
    return Verdict("the kernel writes none, for either process", "RLIMIT_CORE 0, hard")


@attack("crash the enclave on purpose, for a core dump")
def abort(stage: Stage) -> Verdict:
    """SIGABRT to both of its processes, where a core file would lie."""
    before = set(Path.cwd().glob("core*"))
    with started(stage, "stub_enclave") as part:
        wait_until(lambda: ready_file(stage, "stub_enclave").exists() or part.check(), 60, "the enclave")
        engines = psutil.Process(part.pid).children()
        for process in (*engines, psutil.Process(part.pid)):
            process.send_signal(signal.SIGABRT)
        wait_until(lambda: not part.running(), 60, "the enclave's end")
    if part.code != -signal.SIGABRT or not engines:
        raise Accepted("it was not crashed")
    if left := set(Path.cwd().glob("core*")) - before:
        raise Accepted(f"a core file was left: {left}")
    return Verdict("both processes ended, and nothing of them was written", "RLIMIT_CORE 0, not dumpable")


@attack("give one enclave what KMS made for another")
def other_enclave(stage: Stage) -> Verdict:
    """Both are the true image and the key is the right one, but it was encrypted for the other one's key pair."""
    job = stage.submit(1)
    (work,) = job.works()
    with parent_of(stage, "stub_enclave") as other:
        other.answer(work)
        made = other.replies[-1]
    assert isinstance(made, Unwrapped)
    return refused_by_enclave(stage, work, "unseal_failed", bend=lambda parent: parent.answer_with(made.ciphertext))


@contextlib.contextmanager
def started(stage: Stage, program: str, model: Path = MODEL) -> Iterator[Part]:
    """Another enclave of the stack: a process of its own, which listens at `NAME.json` once it does."""
    words = ["--dev", str(stage.stack.folder), "--model", str(model), "--name", program]
    log, socket = stage.stack.folder / "log" / f"{program}.log", stage.stack.folder / f"{program}.sock"
    log.unlink(missing_ok=True)
    part = Part(program, ["-m", program, *words, "--socket", str(socket)], log, environment=PATHS)
    try:
        yield part
    finally:
        part.stop(5.0)
        ready_file(stage, program).unlink(missing_ok=True)


def ready_file(stage: Stage, program: str) -> Path:
    """What an enclave writes when it listens."""
    return stage.stack.folder / f"{program}.json"


def does_not_start(stage: Stage, program: str, model: Path = MODEL) -> str:
    """The one line with which an enclave ends that does not serve."""
    with started(stage, program, model) as part:
        wait_until(lambda: not part.running(), 60, "the enclave's end")
    lines = (stage.stack.folder / "log" / f"{program}.log").read_text().splitlines()
    if part.code != 69 or not lines or not lines[-1].startswith("the enclave cannot start: "):
        raise Accepted(f"it ended with code {part.code} after {lines[-1:]}")
    return lines[-1].removeprefix("the enclave cannot start: ")


@contextlib.contextmanager
def parent_of(stage: Stage, program: str, model: Path = MODEL) -> Iterator[HostileParent]:
    """A connection to another enclave of the stack."""
    where = ready_file(stage, program)
    with started(stage, program, model) as part:
        wait_until(lambda: where.exists() or part.check(), 60, "the enclave")
        with stage.parent(Address.parse(json.loads(where.read_text())["address"])) as parent:
            yield parent


@attack("crash generation with a question in the traceback")
def crash(stage: Stage) -> Verdict:
    """An engine that quotes the question in errors, warnings, logs and on its bare descriptors, and ends by it."""
    poisons = (stub_engine.RAISES, stub_engine.TELLS)
    jobs = [stage.submit(1, questions=[f"{stage.new_canary()} {poison.decode()}"]) for poison in poisons]
    with parent_of(stage, "stub_enclave") as parent:
        for job in jobs:
            parent.answer(job.works()[0])
    said = (stage.stack.folder / "log" / "stub_enclave.log").read_text()
    if stage.read_in([("the console", said.encode())]):
        raise Accepted("the question was told")
    if "engine failed error=RuntimeError" not in said or "uncaught error=Panic" not in said:
        raise Accepted("the crash did not happen")
    return Verdict("the console names the errors' types and nothing of their texts", "own lines only on the console")


@attack("start the enclave in debug mode")
def debug_mode(stage: Stage) -> Verdict:
    """Its console and memory would be the host's to read."""
    return Verdict(does_not_start(stage, "debug_enclave"), "refusal to serve")


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
        return Verdict(
            f"the enclave does not start: {does_not_start(stage, 'devstack.enclave', copy)}", "model manifest"
        )


def older_release(folder: Path) -> Path:
    """What the last release was made of: all the same, but for the revision that the model's manifest names."""
    copy = folder / "model"
    shutil.copytree(MODEL, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"revision": "0"}))
    return copy


@attack("answer with an older released image")
def older_enclave(stage: Stage) -> Verdict:
    """A real one that the policy still admits: it opens nothing of today's, and today's reader does not believe it."""
    with tempfile.TemporaryDirectory() as folder:
        model = older_release(Path(folder))
        old = measure(model)[0].hex()
        registers = {PCR0: old, PCR16: measure_model_of(model).hex()}
        with admitted(stage, registers), parent_of(stage, "stub_enclave", model) as parent:
            (work,) = stage.submit(2).works()
            try:
                parent.answer(work)
            except Refused as error:
                if error.code != "wrong_image":
                    raise Accepted(f"refused as {error.code}") from None
            else:
                raise Accepted("an older image answered today's question")
            true = stage.settings
            stage.settings = replace(true, image=old)
            try:
                job = stage.submit(2)
            finally:
                stage.settings = true
            (work,) = job.works()
            stage.store(work, parent.answer(work))
        release = Release.of_pcr0(stage.image)
        return stage.refused(job, Check.RECEIPT, "step 15 (release)", releases=(release,))


@attack("change the model and its manifest alike")
def changed_manifest(stage: Stage) -> Verdict:
    """The folder is consistent, and the image the true one: but PCR16 holds the manifest, and KMS does not know it."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = (older_release(Path(folder)) / "manifest.json").read_bytes()
        document = stage.nsm(manifest=manifest).attest(public_key=own_key()[1], user_data=None, nonce=None)
    return decrypt(stage, stage.submit(1), document)


@attack("give the image another model when it has booted")
def other_model(stage: Stage) -> Verdict:
    """The image is the true one and takes the model; the register shows which it was."""
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
