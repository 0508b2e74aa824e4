"""`make enclave-vm`: our own enclave image in a virtual machine with `/dev/nsm` and real vsock, from end to end.

The machine is QEMU without KVM, so everything in it is slow. Kernel, init, worker and model are those of
the image, the NSM is `vhost_nsm`, and vsock is virtio's, which vhost-device-vsock offers to the host as a unix socket.
First KMS is asked for both the image and the same image with one byte changed, which it refuses.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.files import write_private
from devstack.machines.debian import MissingPartError, Wanted, ensure
from devstack.nsm import SoftwareNsm
from devstack.part import Part, PartDiedError
from devstack.provision import provision
from devstack.root import DevelopmentRoot
from devstack.stack import MODEL, ROOT, TENANT
from enclave_worker.manifest import NAME as MANIFEST
from sealbatch.clients import Connector
from sealbatch.config import load_config
from sealbatch.image.eif import HEADER_SIZE, EifError, SectionKind, read_image
from wire.address import PORT
from wire.keys import encryption_context
from wire.measurement import MODEL_PCR
from wire.ticket import new_job_id

QUESTIONS: Final = ROOT / "examples" / "benefits.jsonl"
SUITE: Final = "sid"
MEMORY: Final = "2560M"
PINS: Final = Path(__file__).with_name("qemu.json")
"""QEMU, vhost-device-vsock and their libraries: the versions that were tried, each with its file's SHA-256."""


def main() -> int:
    """Ask KMS, boot, answer; exit code 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="devstack.machines.enclave_vm", description=__doc__)
    parser.add_argument("image", type=Path, help="an image with the demonstration model, built with --emulated")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--patience", type=float, default=900.0, help="seconds that a boot may take")
    options = parser.parse_args()
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {text}", flush=True)  # noqa: T201 - what is shown

    with tempfile.TemporaryDirectory(prefix="sealbatch-vm-") as folder:
        night = _Night(Path(folder), options.patience, say)
        try:
            return night.run(options.image, options.questions)
        except (EifError, MissingPartError, OSError, PartDiedError) as error:  # TimeoutError is an OSError
            say(str(error))
            return 1
        finally:
            night.stop()


class _Night:
    """The stand-in for AWS, and one machine."""

    def __init__(self, folder: Path, patience: float, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._patience = patience
        self._say = say
        self._parts: list[Part] = []
        self._programs = Path()

    def run(self, image: Path, questions: int) -> int:
        pins = json.loads(PINS.read_text())
        self._programs = ensure("qemu", [Wanted(name, tried) for name, tried in pins.items()], SUITE)
        dev = self._folder / "dev"
        dev.mkdir(mode=0o700)
        DevelopmentRoot.ensure(dev)
        with image.open("rb") as file:
            pcr0 = read_image(file).pcrs[0].hex()
        self._say(f"{image.name}: PCR0 {pcr0[:16]}, measured here and now")
        self._part("aws", "-m", "devstack.aws", "--dev", str(dev))
        self._until((dev / "aws.json").exists, "the stand-in for AWS")
        endpoint = json.loads((dev / "aws.json").read_text())["endpoint"]
        provision(endpoint, tenant=TENANT, image=pcr0, folder=dev)
        self._say("keys, policies, queue and bucket are there; the keys admit this PCR0 and the model's PCR16")
        job = self._folder / "questions.jsonl"
        job.write_text("".join(QUESTIONS.read_text().splitlines(keepends=True)[:questions]))
        changed = self._folder / "changed.eif"
        _change(image, changed)
        decided = self._decides(image, pcr0) == "key" and self._decides(changed, pcr0) == "AccessDeniedException"
        self._boot(image)
        answered = self._answers(job, questions)
        self._say("as it must be" if answered and decided else "NOT as it must be")
        return 0 if answered and decided else 1

    def stop(self) -> None:
        for part in reversed(self._parts):
            part.stop(5.0)

    def _decides(self, image: Path, admitted: str) -> str:
        """What KMS does for an enclave of this image, with a question key for the admitted one: `key`, or its error."""
        with image.open("rb") as file:
            pcrs = read_image(file).pcrs
        nsm = SoftwareNsm.load(self._folder / "dev", pcrs)
        # As the worker does with the model's manifest before it asks KMS for anything.
        nsm.extend_pcr(MODEL_PCR, hashlib.sha256((MODEL / MANIFEST).read_bytes()).digest())
        nsm.lock_pcr(MODEL_PCR)
        config = load_config(self._folder / "dev" / "sealbatch.toml", ())
        profiles, key = config.resources.profiles, config.resources.question_key
        context = encryption_context("question", TENANT, new_job_id(), admitted)
        producer: Any = Connector(config, profiles.producer).client("kms")
        wrapped = producer.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)["CiphertextBlob"]
        public = rsa.generate_private_key(65537, 2048).public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        recipient = {
            "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
            "AttestationDocument": nsm.attestation(public_key=der, user_data=None, nonce=None),
        }
        bridge: Any = Connector(config, profiles.bridge).client("kms")
        try:
            reply = bridge.decrypt(KeyId=key, CiphertextBlob=wrapped, EncryptionContext=context, Recipient=recipient)
            found = "key" if reply["CiphertextForRecipient"] and not reply.get("Plaintext") else "no key"
        except ClientError as error:
            found = str(error.response["Error"]["Code"])
        self._say(f"KMS for {image.name}, PCR0 {pcrs[0].hex()[:16]}: {found}")
        return found

    def _boot(self, image: Path) -> None:
        """Boot an image and start a bridge to it; returns when they have found each other."""
        place = self._folder / "enclave"
        place.mkdir()
        with image.open("rb") as file:
            read = read_image(file)
        parts: dict[SectionKind, bytes] = {}
        with image.open("rb") as file:
            for section in read.sections:
                file.seek(section.offset)
                parts[section.kind] = parts.get(section.kind, b"") + file.read(section.size)
        (place / "kernel").write_bytes(parts[SectionKind.KERNEL])
        (place / "ramdisk").write_bytes(parts[SectionKind.RAMDISK])
        line = parts[SectionKind.COMMAND_LINE].decode().rstrip("\0\n")
        vsock = f"guest-cid=16,socket={place}/v,uds-path={place}/u"
        self._part("nsm", "-m", "devstack.machines.vhost_nsm", f"{place}/n", str(image), f"{self._folder}/dev")
        self._unpacked("vsock", "vhost-device-vsock", "--vm", vsock)
        self._until(lambda: (place / "n").exists() and (place / "v").exists(), "NSM and vsock")
        self._say(f"booting {image.name} with PCR0 {read.pcrs[0].hex()[:16]}")
        self._unpacked("machine", "qemu-system-x86_64", *_hardware(place, self._programs), "-append", line)
        ready = place / "ready"
        config = f"{self._folder}/dev/sealbatch.toml"
        where = f"hvsock://{place}/u:{PORT}"
        arguments = ["--config", config, "bridge", "--enclave", where, "--ready-file", str(ready)]
        self._part("bridge", "-m", "sealbatch", *arguments)
        self._until(ready.exists, "the enclave")
        self._say("the worker listens, and the bridge reached it over vsock")

    def _answers(self, job: Path, questions: int) -> bool:
        output = self._folder / "answers.jsonl"
        done = self._sealbatch("run", str(job), "-o", str(output), "--timeout", str(int(self._patience)))
        lines = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
        good = sum(line["outcome"] == "succeeded" and line["attested"] for line in lines)
        self._say(f"{good} of {questions} questions answered, attested and opened; exit code {done.returncode}")
        return good == questions and done.returncode == 0

    def _sealbatch(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "sealbatch", "--config", f"{self._folder}/dev/sealbatch.toml", *arguments]
        return subprocess.run(command, check=False, capture_output=True)

    def _part(self, name: str, *arguments: str, program: str = sys.executable) -> None:
        self._parts.append(Part(name, arguments, self._folder / f"{name}.log", program=program))

    def _unpacked(self, name: str, program: str, *arguments: str) -> None:
        """A program of another Debian, under the C library that came with it."""
        libraries = self._programs / "usr" / "lib" / "x86_64-linux-gnu"
        start = ["--library-path", str(libraries), str(self._programs / "usr" / "bin" / program)]
        self._part(name, *start, *arguments, program=str(libraries / "ld-linux-x86-64.so.2"))

    def _until(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._patience
        while not there():
            for part in self._parts:
                part.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} is not there after {self._patience:.0f} s")
            time.sleep(0.1)


def _hardware(place: Path, programs: Path) -> list[str]:
    memory = f"memory-backend-memfd,id=memory,size={MEMORY},share=on"
    data = [str(programs / "usr" / "share" / name) for name in ("qemu", "seabios")]
    return [
        *("-L", data[0], "-L", data[1], "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY),
        *("-M", "q35,memory-backend=memory", "-object", memory, "-nographic", "-no-reboot", "-nic", "none"),
        *("-chardev", f"socket,id=nsm,path={place}/n"),
        *("-device", "vhost-user-test-device-pci,chardev=nsm,virtio-id=33,num_vqs=1,config_size=0"),
        *("-chardev", f"socket,id=vsock,path={place}/v", "-device", "vhost-user-vsock-pci,chardev=vsock"),
        *("-kernel", str(place / "kernel"), "-initrd", str(place / "ramdisk")),
    ]


def _change(image: Path, into: Path) -> None:
    """The same image but for one byte of its command line, with the checksum that it then must have."""
    with image.open("rb") as file:
        line = next(section for section in read_image(file).sections if section.kind is SectionKind.COMMAND_LINE)
    data = bytearray(image.read_bytes())
    data[line.offset] ^= 1
    crc = zlib.crc32(data[HEADER_SIZE:], zlib.crc32(data[: HEADER_SIZE - 4]))
    data[HEADER_SIZE - 4 : HEADER_SIZE] = crc.to_bytes(4, "big")
    write_private(into, bytes(data))


if __name__ == "__main__":
    sys.exit(main())
