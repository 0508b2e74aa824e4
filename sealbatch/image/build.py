"""Builds an enclave image: two ramdisks of pinned inputs and this checkout's own code, behind a kernel.

The first ramdisk boots (PCR1): `/init` and the kernel's modules. The second is the application (PCR2): interpreter,
libraries, wheels, our two packages, and the model if it is to lie in the image.
"""

import hashlib
import importlib.util
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from enclave_worker.image import SETTINGS, ImageSettings, encode_settings
from sealbatch.image.cpio import Device, write_cpio
from sealbatch.image.deb import unpack_deb
from sealbatch.image.eif import SectionKind, read_image
from sealbatch.image.eif_writer import Part, write_image
from sealbatch.image.inputs import Inputs
from sealbatch.image.interpreter import Interpreter
from sealbatch.image.kernel import Kernel
from sealbatch.image.model import manifest_of
from sealbatch.image.recipe import PACKAGES, wanted_of_deb, wanted_of_wheel
from sealbatch.image.signature import Signer
from sealbatch.image.stage import Stage, StageError
from sealbatch.image.wheel import unpack_wheel

INIT: Final = Path(__file__).with_name("init.in")
OWN_PACKAGES: Final = ("wire", "enclave_worker")
CONSOLE: Final = (Device("dev/console", 5, 1), Device("dev/null", 1, 3, 0o666))
FOLDERS: Final = ("/dev", "/model", "/proc", "/run", "/sys", "/tmp")  # noqa: S108 - of the image, not of this machine
ACCOUNTS: Final = {
    "/etc/passwd": b"root:x:0:0::/:/nonexistent\nenclave:x:1000:1000::/tmp:/nonexistent\n",
    "/etc/group": b"root:x:0:\nenclave:x:1000:\n",
}

Told = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is."""
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build. Without a `model` the image takes one over vsock when it has booted."""

    inputs: Inputs
    kernel: Kernel
    settings: ImageSettings
    model: Path | None = None
    signer: Signer | None = None


def build_image(
    plan: Plan,
    output: Path,
    told: Told = lambda _what, _done, _total: None,
    interpreter_of: Callable[[Stage], Interpreter] = Interpreter.of_stage,
) -> dict[str, int]:
    """Write the image to `output`, which appears whole or not at all; the size in bytes of each file in it, by name.

    `interpreter_of` gives the interpreter that compiles and compresses: the application's own.

    Raises:
        ImageError: an input is missing, malformed or does not fit.
        OSError: the disk.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as name:
        work = Path(name)
        boot, application = Stage(work / "boot"), Stage(work / "application")
        boot.root.mkdir()
        application.root.mkdir()
        _fill_boot(boot, plan.kernel)
        interpreter = _fill(application, plan, told, interpreter_of)
        files = application.files() | boot.files()
        ramdisks = []
        for stage, devices in ((boot, CONSOLE), (application, ())):
            ramdisks.append(pack(stage, devices, interpreter, work / f"{stage.root.name}.gz", told))
        part = work / output.name
        with part.open("w+b") as file:
            _write(file, _parts(plan, ramdisks), plan.signer)
        part.replace(output)
    return files


def build_root(
    plan: Plan,
    output: Path,
    told: Told = lambda _what, _done, _total: None,
    interpreter_of: Callable[[Stage], Interpreter] = Interpreter.of_stage,
) -> None:
    """Write the application's root file system as a tar archive, for tools that make an image of a container.

    Raises:
        As `build_image`.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as name:
        stage = Stage(Path(name) / "application")
        stage.root.mkdir()
        _fill(stage, plan, told, interpreter_of)
        part = Path(name) / output.name
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
            paths = sorted(stage.root.rglob("*"), key=lambda path: os.fsencode(path.relative_to(stage.root)))
            for done, path in enumerate(paths, 1):
                told("packing files", done, len(paths))
                archive.add(path, path.relative_to(stage.root).as_posix(), recursive=False, filter=_anonymous)
        part.replace(output)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what says where and when it was made."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    if not member.issym():
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _fill(stage: Stage, plan: Plan, told: Told, interpreter_of: Callable[[Stage], Interpreter]) -> Interpreter:
    _fill_application(stage, plan, told)
    interpreter = interpreter_of(stage)
    interpreter.compile(stage.root, partial(told, "compiling modules"))
    return interpreter


def _fill_boot(stage: Stage, kernel: Kernel) -> None:
    """Put what boots into the stage."""
    stage.file("/init", INIT.read_bytes(), executable=True)
    for number, (name, data) in enumerate(kernel.modules):
        stage.file(f"/modules/{number}-{name}.ko", data)


def _fill_application(stage: Stage, plan: Plan, told: Told) -> None:
    """Put the application into the stage."""
    for folder in FOLDERS:
        stage.folder(folder)
    for name, data in ACCOUNTS.items():
        stage.file(name, data)
    count, done = len(plan.inputs.pins), 0
    for pin, path in plan.inputs.of("debian"):
        unpack_deb(path, stage, partial(wanted_of_deb, pin.name))
        told("unpacking inputs", done := done + 1, count)
    for _, path in plan.inputs.of("wheels"):
        unpack_wheel(path, stage, PACKAGES, wanted_of_wheel)
        told("unpacking inputs", done := done + 1, count)
    for package in OWN_PACKAGES:
        _own(stage, package)
    stage.file(str(SETTINGS), encode_settings(plan.settings))
    if plan.model is not None:
        _model(stage, plan.model)


def pack(
    stage: Stage,
    devices: tuple[Device, ...],
    interpreter: Interpreter,
    target: Path,
    told: Told = lambda _what, _done, _total: None,
) -> Path:
    """Archive and compress a stage into `target`.

    Raises:
        CpioError, StageError: it cannot be archived or compressed.
    """
    with target.open("wb") as file, interpreter.compress(file) as compressor:
        write_cpio(stage.root, _counted(compressor.write, stage, told), devices)
    return target


def _counted(write: Callable[[bytes], object], stage: Stage, told: Told) -> Callable[[bytes], object]:
    """`write`, and progress by it."""
    what, total, done = f"packing {stage.root.name}, MB", sum(stage.files().values()), 0

    def counting(data: bytes) -> object:
        nonlocal done
        done += len(data)
        # Headers and padding come on top of the files.
        told(what, min(done, total) // MB, max(1, total // MB))
        return write(data)

    return counting


def _own(stage: Stage, package: str) -> None:
    """The modules of one of our packages, and its compiled library."""
    folder = _folder(package)
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.so")]):
        stage.copy(f"{PACKAGES}/{package}/{path.relative_to(folder).as_posix()}", path)


def _model(stage: Stage, folder: Path) -> None:
    manifest_of(folder)
    for path in sorted(folder.iterdir()):
        stage.copy(f"/model/{path.name}", path)


def _write(file: BinaryIO, parts: list[Part], signer: Signer | None) -> None:
    write_image(file, parts)
    if signer is not None:
        file.seek(0)
        signature = signer.section(read_image(file).pcrs[0])
        file.seek(0)
        write_image(file, [*parts, Part(SectionKind.SIGNATURE, signature)])


def inputs_of(plan: Plan) -> dict[str, str]:
    """SHA-256 of everything that the image is made of, by name; of our own packages the compiled part."""
    found = {pin.file: pin.sha256 for pin in plan.inputs.pins}
    found["kernel"] = hashlib.sha256(plan.kernel.image).hexdigest()
    found |= {f"{name}.ko": hashlib.sha256(data).hexdigest() for name, data in plan.kernel.modules}
    for package in OWN_PACKAGES:
        for path in sorted(_folder(package).rglob("*.so")):
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StageError(f"package {package} is not installed")
    return Path(spec.origin).parent


def _parts(plan: Plan, ramdisks: list[Path]) -> list[Part]:
    kernel = plan.kernel
    metadata = {
        "ImageName": "sealbatch",
        "ImageVersion": "1",
        "BuildMetadata": {
            "BuildTime": "1970-01-01T00:00:00+00:00",  # the same inputs make the same file, whenever
            "BuildTool": "sealbatch",
            "BuildToolVersion": "1",
            "OperatingSystem": "Debian 12",
            "KernelVersion": kernel.version,
        },
        "DockerInfo": {},
        "CustomMetadata": {"inputs": inputs_of(plan)},
    }
    return [
        Part(SectionKind.KERNEL, kernel.image),
        Part(SectionKind.COMMAND_LINE, kernel.command_line.encode()),
        Part(SectionKind.METADATA, json.dumps(metadata, sort_keys=True).encode()),
        *(Part(SectionKind.RAMDISK, path) for path in ramdisks),
    ]
