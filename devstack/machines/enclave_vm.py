"""`make enclave-vm`: our own enclave image in virtual machines with `/dev/nsm` and real vsock, from end to end.

The machines are QEMU without KVM, so everything in them is slow. Kernel, init and worker are those of the image, the
NSM is `vhost_nsm`, vsock is virtio's, and `sealbatch enclave` starts and ends them by a `nitro-cli` of ours. The same
image with one byte changed is booted beside it, and KMS asked with what both attest; a job goes through, and another
one whose enclave loses its power in the middle.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from devstack.machines.altered import WEIGHTS, change_image, change_weights
from devstack.machines.debian import MissingPartError
from devstack.machines.half_peers import Stalled, half_close
from devstack.machines.hostile_parent import ask_kms, document_of, registers
from devstack.machines.parent import Parent
from devstack.machines.qemu import CONSOLE, programs
from devstack.machines.witness import Witness
from devstack.part import AwsPart, Part, PartError
from devstack.provision import provision
from devstack.stack import MODEL, ROOT
from sealbatch.config import load_config
from sealbatch.exits import Exit
from sealbatch.fleet.watch import greeting
from sealbatch.image.eif import EifError, read_image
from wire.address import PORT
from wire.errors import WireError
from wire.measurement import MODEL_PCR
from wire.model_feed import PORT as MODEL_PORT

QUESTIONS: Final = ROOT / "examples" / "benefits.jsonl"
PARENT_TYPE: Final = "c7i.xlarge"
"""What the memory is worked out for; a machine without KVM is not faster with more CPUs."""
TRUE: Final = "sealbatch"
CHANGED: Final = "changed"
GRACE: Final = 60.0


def main() -> int:
    """See the whole of it; exit code 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="devstack.machines.enclave_vm", description=__doc__)
    parser.add_argument("image", type=Path, help="an image without a model, built with --emulated")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--patience", type=float, default=900.0, help="seconds that a boot or a job may take")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # machines are ended as after Ctrl-C
    # Sockets have short paths; TMPDIR may be long.
    with tempfile.TemporaryDirectory(prefix="sealbatch-vm-", dir="/tmp") as folder:
        night = Night(Path(folder), options.patience)
        try:
            return night.run(options.image, options.questions)
        except (EifError, MissingPartError, OSError, PartError, WireError) as error:
            night.say(str(error))
            return 1
        except KeyboardInterrupt:
            night.say("interrupted; ending the machines")
            return Exit.INTERRUPTED
        finally:
            night.stop()


class Night(Witness):
    """The stand-in for AWS, and two parents: one with the true image, one with the changed one."""

    def __init__(self, folder: Path, patience: float) -> None:
        super().__init__(patience)
        self._folder = folder
        self._dev = folder / "dev"
        self._dev.mkdir(mode=0o700)
        self._true = Parent(folder / "true", self._dev)
        self._hostile = Parent(folder / "hostile", self._dev)
        self._parts: list[Part] = []

    def run(self, image: Path, questions: int) -> int:
        """All steps in order; the exit code."""
        programs()
        pcr0 = self._prepare(image)
        changed = self._folder / "changed.eif"
        change_image(image, changed)
        self._start_changed(changed)
        enclave = self._start_true(image)
        self._refuse_changed(pcr0)
        self._attested(pcr0, enclave)
        bridge = self._start_bridge()
        job = self._folder / "questions.jsonl"
        job.write_text("".join(QUESTIONS.read_text().splitlines(keepends=True)[:questions]))
        undisturbed = self._first_job(job, questions)
        enclave = self._power_cut(image, enclave, bridge, job, undisturbed)
        enclave.stop(GRACE)
        self.see(enclave.code == 0, "SIGTERM to `sealbatch enclave run --follow` ends the enclave")
        self.say("as it must be" if not self.wrong else f"{self.wrong} times NOT as it must be")
        return 1 if self.wrong else 0

    def stop(self) -> None:
        """End every process; the machines end with those that stand for their enclaves."""
        for part in reversed(self._parts):
            part.stop(GRACE)
        for parent, name in ((self._true, TRUE), (self._hostile, CHANGED)):
            if (parent.place(name) / "enclave.json").exists():
                parent.type("enclave", "stop", "--name", name)

    def _prepare(self, image: Path) -> str:
        """The stand-in for AWS with a release of the image, and the allocator's file; PCR0."""
        with image.open("rb") as file:
            pcr0 = read_image(file).pcrs[0].hex()
        self.say(f"{image.name}: PCR0 {pcr0[:16]}, measured here and now")
        aws = AwsPart(self._dev, self._folder / "aws.log")
        self._parts.append(aws)
        provision(aws.endpoint(), image=pcr0, folder=self._dev)
        self.say("keys, policies, queue and bucket are there; the keys admit this PCR0 and the model's PCR16")
        release = self._true.type("image", "release", str(image), "--name", "vm", "--model", str(MODEL))
        self._release.write_text(release.stdout)
        words = ("--eif", str(image), "--model", str(MODEL), "--instance-type", PARENT_TYPE)
        size = self._true.type("enclave", "size", *words, "-o", str(self._allocator))
        self.see(release.returncode == size.returncode == 0, f"enclave size: {self._memory()} MiB")
        return pcr0

    def _start_changed(self, changed: Path) -> None:
        tried = self._hostile.type(*self._run_words(changed, self._hostile, CHANGED))
        self.see(tried.returncode == Exit.INTEGRITY, f"enclave run, one byte changed: {_reason(tried.stderr)}")
        # Who is root asks nobody.
        words = ("--eif-path", str(changed), "--memory", self._memory(), "--cpu-count", "1", "--enclave-name", CHANGED)
        started = self._hostile.nitro("run-enclave", *words)
        self.see(started.returncode == 0, f"root boots the changed image all the same {started.stderr.strip()}")

    def _start_true(self, image: Path) -> Part:
        words = (*self._run_words(image, self._true, TRUE), "--model", str(MODEL), "--follow", "--json")
        model = ("--model-address", str(self._true.address(TRUE, MODEL_PORT)))
        part = self._true.start("enclave", *words, *model, "--timeout", str(self.patience))
        self._parts.append(part)
        self.say("enclave run --follow boots the release's image")
        return part

    def _run_words(self, image: Path, parent: Parent, name: str) -> tuple[str, ...]:
        files = ("--eif", str(image), "--release", str(self._release), "--allocator", str(self._allocator))
        return ("enclave", "run", *files, "--name", name, "--cpus", "1", "--address", str(parent.address(name, PORT)))

    def _refuse_changed(self, pcr0: str) -> None:
        """The changed image takes the model and attests, and gets no key."""
        altered = self._folder / "altered"
        change_weights(MODEL, altered)
        where = ("--enclave", str(self._hostile.address(CHANGED, MODEL_PORT)), "--timeout", str(self.patience))
        tried = self._hostile.type("enclave", "feed", str(altered), *where)
        self.see(
            tried.returncode == Exit.INTEGRITY and WEIGHTS in tried.stderr, f"enclave feed: {_reason(tried.stderr)}"
        )
        fed = self._hostile.type("enclave", "feed", str(MODEL), *where)
        self.see(fed.returncode == 0, "the true weights are taken by the same enclave")
        address = self._hostile.address(CHANGED, PORT)
        self.until(lambda: greeting(address) is not None or not self._hostile.lives(CHANGED), "the changed image")
        seen = self._hostile.type("enclave", "describe", "--release", str(self._release), "--address", str(address))
        self.see(seen.returncode == Exit.INTEGRITY, f"enclave describe: {_reason(seen.stderr)}")
        self._asks_kms(self._hostile, CHANGED, pcr0, "AccessDeniedException")
        ended = self._hostile.type("enclave", "stop", "--name", CHANGED)
        self.see(ended.returncode == 0, f"enclave stop: {_reason(ended.stderr)}")

    def _attested(self, pcr0: str, enclave: Part) -> None:
        """The true image has attested and said that it is ready."""
        self.until(lambda: '"ready"' in self._true.log("enclave").read_text(), "the enclave", enclave)
        self.say("the enclave has attested and is ready")
        for line in (self._true.place(TRUE) / CONSOLE).read_text(errors="replace").splitlines():
            if "sealbatch init:" in line:
                self.say(f"its console: {line.strip()}")
        words = ("--release", str(self._release), "--address", str(self._true.address(TRUE, PORT)))
        seen = self._true.type("enclave", "describe", *words)
        self.see(seen.returncode == 0, "enclave describe: ready, and the release's image")
        self._asks_kms(self._true, TRUE, pcr0, "key")

    def _asks_kms(self, parent: Parent, name: str, pcr0: str, wanted: str) -> None:
        """Have a booted enclave attest, and take the document to KMS as root on its parent may."""
        config = load_config(self._dev / "sealbatch.toml", ())
        document = document_of(parent.address(name, PORT), str(config.resources.question_key))
        stated = registers(document)
        model = stated.get(MODEL_PCR, b"").hex()
        found = ask_kms(config, pcr0, document)
        self.see(
            found == wanted and model == json.loads(self._release.read_text())["pcrs"][str(MODEL_PCR)],
            f"KMS for what {name} attests, PCR0 {stated[0].hex()[:16]}, PCR16 {model[:16]}: {found}",
        )

    def _start_bridge(self) -> Part:
        ready = self._folder / "ready"
        where = str(self._true.address(TRUE, PORT))
        part = self._true.start("bridge", "bridge", "--enclave", where, "--ready-file", str(ready))
        self._parts.append(part)
        self.until(ready.exists, "the bridge")
        self.say("the bridge reached it over vsock")
        return part

    def _first_job(self, job: Path, questions: int) -> dict[str, str]:
        """A job beside peers that misbehave; its answers by `custom_id`."""
        address = self._true.address(TRUE, PORT)
        self.see(half_close(address), "half a frame and a half-close: the worker ends that connection")
        with Stalled(address):
            answers = self._answers(self._folder / "first.jsonl", self._job(job, "first").wait())
        self.see(
            len(answers) == questions,
            f"{len(answers)} of {questions} questions answered, attested and opened beside a peer that stalls",
        )
        return answers

    def _power_cut(self, image: Path, enclave: Part, bridge: Part, job: Path, wanted: dict[str, str]) -> Part:
        """The same job again, and the machine is killed while it generates; the enclave that was started then."""
        place = self._true.place(TRUE)
        opened = (place / CONSOLE).read_text(errors="replace").count("chunk opened")
        asking = self._job(job, "second")
        self.until(
            lambda: (place / CONSOLE).read_text(errors="replace").count("chunk opened") > opened,
            "the second job",
            asking,
        )
        os.kill(int((place / "running").read_text()), signal.SIGKILL)
        self.say("the machine is killed while it works on the same job again")
        self.see(
            enclave.wait() == Exit.TEMPORARY, f"enclave run --follow: {_reason(self._true.log('enclave').read_text())}"
        )
        self._true.log("enclave").unlink()
        again = self._start_true(image)
        answers = self._answers(self._folder / "second.jsonl", asking.wait())
        lost = self._true.log("bridge").read_text().count("chunk lost with its enclave")
        bridge.check()
        self.see(
            lost > 0 and answers == wanted and bool(wanted),
            f"{len(answers)} of {len(wanted)} answers are the same; pieces lost and sent again: {lost}",
        )
        return again

    def _job(self, job: Path, name: str) -> Part:
        words = ("run", str(job), "-o", str(self._folder / f"{name}.jsonl"), "--timeout", str(int(self.patience)))
        part = self._true.start(name, *words)
        self._parts.append(part)
        return part

    @staticmethod
    def _answers(output: Path, code: int) -> dict[str, str]:
        """What was answered, attested and opened; nothing if anything failed."""
        lines = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
        good = [line for line in lines if line["outcome"] == "succeeded" and line["attested"]]
        texts = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in good}
        return texts if code == 0 else {}

    @property
    def _release(self) -> Path:
        return self._folder / "pcrs.json"

    @property
    def _allocator(self) -> Path:
        return self._folder / "allocator.yaml"

    def _memory(self) -> str:
        lines = self._allocator.read_text().splitlines()
        return next(line.removeprefix("memory_mib: ") for line in lines if line.startswith("memory_mib: "))


def _reason(said: str) -> str:
    """The line that says what was wrong, or the last one."""
    lines = said.strip().splitlines() or ["nothing"]
    return next((line for line in lines if line.startswith("sealbatch: ")), lines[-1])


if __name__ == "__main__":
    sys.exit(main())
