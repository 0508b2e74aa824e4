"""Small inputs of an image, made by the tests: packages, wheels and a kernel of a few bytes each."""

import hashlib
import io
import json
import lzma
import sys
import tarfile
import zipfile
from pathlib import Path

from sealbatch.image.inputs import Inputs, load_inputs
from sealbatch.image.interpreter import Interpreter
from sealbatch.image.stage import Stage

LINKER = "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
RELEASE = "6.0-cloud"
WHEEL = "torch-1-py3-none-any.whl"


def this_interpreter(stage: Stage) -> Interpreter:
    """The interpreter that runs the tests, for a root that has none of its own."""
    assert stage.root.is_dir()
    return Interpreter([sys.executable], {})


def make_deb(path: Path, files: dict[str, bytes | str], *, data: str = "data.tar.xz") -> bytes:
    """Write a package; a text is the target of a symbolic link. Its bytes."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f".{name}")
            member.mode = 0o755 if "/bin/" in name else 0o644
            member.mtime = 1_700_000_000
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", data: lzma.compress(tar.getvalue())}
    content = b"!<arch>\n"
    for name, part in parts.items():
        content += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
        )
    path.write_bytes(content)
    return content


def make_wheel(path: Path, files: dict[str, bytes]) -> bytes:
    """Write a wheel; its bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of 1980, whenever it is made
    return path.read_bytes()


def make_inputs(folder: Path) -> Inputs:
    """A kernel, a library and a wheel in `folder`, and the list that pins them."""
    folder.mkdir(parents=True)
    modules = f"/lib/modules/{RELEASE}/kernel"
    kernel = {
        f"/boot/vmlinuz-{RELEASE}": b"the kernel",
        f"{modules}/net/vmw_vsock/vsock.ko.xz": lzma.compress(b"vsock"),
        f"{modules}/drivers/misc/nsm.ko.xz": lzma.compress(b"nsm"),
        f"{modules}/drivers/net/other.ko.xz": lzma.compress(b"another"),
    }
    library = {
        LINKER: b"linker",
        "/lib64/ld-linux-x86-64.so.2": LINKER,
        "/lib/x86_64-linux-gnu/libnss_dns.so.2": b"not wanted",
        "/usr/share/doc/libc6/copyright": b"LGPL",
    }
    wheel = {
        "torch/__init__.py": b"NAMES = frozenset({None, 'a', 'b'})\n",
        "torch/bin/protoc": b"cut",
        "torch-1.dist-info/RECORD": b"cut",
        "torch-1.dist-info/METADATA": b"kept",
        "torch/template.py": b"not {{ python }} at all",
    }
    pins: dict[str, list[dict[str, str]]] = {"debian": [], "wheels": []}
    for name, files in ((f"linux-image-{RELEASE}", kernel), ("libc6", library)):
        data = make_deb(folder / f"{name}.deb", files)
        pins["debian"].append(_pin(name, f"{name}.deb", data))
    pins["wheels"].append(_pin("torch", WHEEL, make_wheel(folder / WHEEL, wheel)))
    list_of_pins = folder / "pins.json"
    list_of_pins.write_text(json.dumps({"format": 1, **pins}))
    return load_inputs(folder, list_of_pins)


def _pin(name: str, file: str, data: bytes) -> dict[str, str]:
    return {"name": name, "version": "1", "file": file, "sha256": hashlib.sha256(data).hexdigest()}


def read_cpio(data: bytes) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Members of a `newc` archive: name, the thirteen numbers of its header, content."""
    members, position = [], 0
    while True:
        assert data[position : position + 6] == b"070701"
        numbers = tuple(int(data[position + 6 + i * 8 : position + 14 + i * 8], 16) for i in range(13))
        name = data[position + 110 : position + 110 + numbers[11] - 1].decode()
        begin = position + 110 + numbers[11]
        begin += -begin % 4
        if name == "TRAILER!!!":
            assert len(data) % 512 == 0
            assert not any(data[begin:])
            return members
        members.append((name, numbers, data[begin : begin + numbers[6]]))
        position = begin + numbers[6]
        position += -position % 4
