"""The image's own interpreter, run on this machine: it compiles the image's modules and compresses its ramdisks.

So neither depends on the Python or the zlib of whoever builds. Byte code is the same in each run because hashes are not
seeded by chance, addresses are not moved, and it is written without references between equal objects: whether marshal
makes one depends on who else in the process holds the object, the path of a folder for one.
"""

import contextlib
import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from sealbatch.image.recipe import PYTHON, STANDARD_LIBRARY
from sealbatch.image.stage import Stage, StageError

_ADDR_NO_RANDOMIZE: Final = 0x0040000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBRARY_FOLDERS: Final = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")
_COMPILE: Final = """
import importlib.util, marshal, pathlib, sys
HEAD = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")  # by hash of the source, which is not looked at
root = pathlib.Path(sys.argv[1])
paths = sorted(root.rglob("*.py"))
for number, path in enumerate(paths):
    if number % 50 == 0:
        print(number, len(paths), flush=True)
    source = path.read_bytes()
    try:
        code = compile(source, "/" + str(path.relative_to(root)), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        continue  # a template, or for another version of Python
    target = pathlib.Path(importlib.util.cache_from_source(str(path)))
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(HEAD + importlib.util.source_hash(source) + marshal.dumps(code, 2))
print(len(paths), len(paths))
"""
_COMPRESS: Final = """
import sys, zlib
squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
while block := sys.stdin.buffer.read(1 << 20):
    sys.stdout.buffer.write(squeeze.compress(block))
sys.stdout.buffer.write(squeeze.flush())
"""


class Interpreter:
    """A Python program and its environment."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._command = [*command, "-S", "-s", "-B", "-c"]
        self._environment = {**environment, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}

    @classmethod
    def of_stage(cls, stage: Stage) -> "Interpreter":
        """The one in an image's stage, run by the dynamic linker and with the libraries beside it."""
        linker = stage.path("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
        folders = ":".join(str(stage.path(folder)) for folder in _LIBRARY_FOLDERS)
        command = [str(linker), "--library-path", folders, str(stage.path(PYTHON))]
        return cls(command, {"PYTHONHOME": str(stage.path(STANDARD_LIBRARY).parents[1])})

    def compile(self, root: Path, told: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        """Lay the byte code of every module below `root` beside it; it is used without a look at the source.

        `told` is told now and then how many modules are compiled, and how many there are.

        Raises:
            StageError: the interpreter does not run here.
        """
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [*self._command, _COMPILE, str(root)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                preexec_fn=_fix_addresses,  # noqa: PLW1509 - it asks the kernel and takes no lock
            )
            with process:
                for line in process.stdout or ():
                    done, total = line.split()
                    told(int(done), int(total))
            said.seek(0)
            if process.returncode:
                raise StageError(_failed("compile", said.read()))

    @contextlib.contextmanager
    def compress(self, target: IO[bytes]) -> Iterator[IO[bytes]]:
        """What is written goes into `target` compressed, in gzip's format.

        Raises:
            StageError: the interpreter does not run here, or cannot write.
        """
        command = [*self._command, _COMPRESS]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.PIPE, stdout=target, stderr=said
            )
            with process, contextlib.suppress(BrokenPipeError):  # its exit code says more
                if process.stdin is not None:
                    with process.stdin:
                        yield process.stdin
            said.seek(0)
            if process.returncode:
                raise StageError(_failed("compress", said.read()))


def _fix_addresses() -> None:
    # Sets of constants that hold None are laid out by its address.
    _LIBC.personality(_ADDR_NO_RANDOMIZE)


def _failed(step: str, said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return f"the image's interpreter cannot {step}: {lines[-1] if lines else 'it gave no reason'}"
