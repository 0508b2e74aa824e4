"""The kernel of an image: Debian's from the pinned package, or AWS's own from a folder of `nitro-cli`'s blobs."""

import lzma
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sealbatch.image.deb import unpack_deb
from sealbatch.image.inputs import InputError, Inputs
from sealbatch.image.recipe import MODULES
from sealbatch.image.stage import Stage, StageError

PACKAGE: Final = "linux-image-"
COMMAND_LINE: Final = "reboot=k panic=30 console=ttyS0 loglevel=4 random.trust_cpu=on"
"""As in AWS's blobs: a kernel that panics or an init that ends resets the machine, which ends the enclave."""
ROOT: Final = "rootfstype=ramfs"
"""The root file system is all of memory; the kernel's own choice, tmpfs, would be half of it."""
MAX_COMMAND_LINE: Final = 2048

_MODULE: Final = re.compile(r"/lib/modules/([^/]+)/kernel/.*/([^/]+)\.ko\.xz")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A bzImage, its command line, and the modules that init loads, by name and in order."""

    version: str
    image: bytes
    command_line: str
    modules: tuple[tuple[str, bytes], ...]


def debian_kernel(inputs: Inputs) -> Kernel:
    """The kernel of the pinned package.

    Raises:
        InputError: there is none. StageError: the package is malformed.
    """
    pin, path = next(((p, f) for p, f in inputs.of("debian") if p.name.startswith(PACKAGE)), (None, None))
    if pin is None or path is None:
        raise InputError("the pinned inputs hold no kernel")
    with tempfile.TemporaryDirectory() as name:
        stage = Stage(Path(name))
        unpack_deb(path, stage, _wanted)
        modules = {module: stage.path(f"/modules/{module}") for module in MODULES}
        found = tuple((name, _unpacked(name, file)) for name, file in modules.items() if file.exists())
        return Kernel(pin.version, stage.path("/kernel").read_bytes(), f"{COMMAND_LINE} {ROOT}", found)


def aws_kernel(folder: Path) -> Kernel:
    """The kernel of `nitro-cli`'s blobs: `bzImage`, `cmdline` and `nsm.ko` in a folder.

    Raises:
        InputError: a file is missing, or no kernel.
    """
    try:
        image, module = (folder / "bzImage").read_bytes(), (folder / "nsm.ko").read_bytes()
        text = (folder / "cmdline").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{folder}: {reason}; it must hold bzImage, cmdline and nsm.ko") from None
    if image[0x202:0x206] != b"HdrS":
        raise InputError(f"{folder / 'bzImage'}: not a Linux kernel for x86-64")
    if len(text) + len(ROOT) >= MAX_COMMAND_LINE or not text.isprintable():
        raise InputError(f"{folder / 'cmdline'}: not one line of at most {MAX_COMMAND_LINE} characters")
    return Kernel("AWS", image, f"{text} {ROOT}", (("nsm", module),))


def _wanted(name: str) -> str | None:
    if name.startswith("/boot/vmlinuz-"):
        return "/kernel"
    match = _MODULE.fullmatch(name)
    return f"/modules/{match[2]}" if match is not None and match[2] in MODULES else None


def _unpacked(name: str, file: Path) -> bytes:
    try:
        return lzma.decompress(file.read_bytes())
    except lzma.LZMAError:
        raise StageError(f"module {name}: not compressed by xz") from None
