"""Building an image: the same bytes from the same inputs wherever they lie, and a reason for each wrong input."""

import ast
import gzip
import re
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from image_inputs import LINKER, WHEEL, make_inputs, read_cpio, this_interpreter
from packaging.utils import canonicalize_name

import enclave_worker
from enclave_worker.image import ImageSettings
from sealbatch.image import inputs
from sealbatch.image.build import Plan, build_image, build_root, pack
from sealbatch.image.eif import Image, SectionKind, read_image
from sealbatch.image.inputs import InputError
from sealbatch.image.interpreter import Interpreter
from sealbatch.image.kernel import ROOT, aws_kernel, debian_kernel
from sealbatch.image.recipe import PACKAGES, wanted_of_deb, wanted_of_wheel
from sealbatch.image.stage import Stage, StageError
from sealbatch.verbs.image import _notes


def build(folder: Path, *, emulated: bool = False) -> tuple[bytes, Image]:
    """An image of small inputs, made in `folder`."""
    found = make_inputs(folder / "inputs")
    plan = Plan(found, debian_kernel(found), ImageSettings(emulated=emulated))
    files = build_image(plan, folder / "out" / "x.eif", interpreter_of=this_interpreter)
    assert files["/init"] > 0
    assert [path.name for path in (folder / "out").iterdir()] == ["x.eif"]
    with (folder / "out" / "x.eif").open("rb") as file:
        image = read_image(file)
    return (folder / "out" / "x.eif").read_bytes(), image


def ramdisks(data: bytes, image: Image) -> list[dict[str, tuple[int, bytes]]]:
    """Mode and content of each member of the ramdisks."""
    sections = [s for s in image.sections if s.kind is SectionKind.RAMDISK]
    archives = [gzip.decompress(data[s.offset : s.offset + s.size]) for s in sections]
    return [{name: (numbers[1], content) for name, numbers, content in read_cpio(archive)} for archive in archives]


def test_two_builds_in_two_folders_are_bit_for_bit_the_same(tmp_path: Path) -> None:
    """And one with another setting differs in the application alone."""
    first, image = build(tmp_path / "a")
    second, again = build(tmp_path / "elsewhere" / "and" / "deeper")
    assert first == second
    assert image.pcrs == again.pcrs
    other, changed = build(tmp_path / "c", emulated=True)
    assert other != first
    assert changed.pcrs[0] != image.pcrs[0]
    assert changed.pcrs[1] == image.pcrs[1]


def test_an_image_without_the_compiled_part_is_said_to_be_slow(tmp_path: Path) -> None:
    """Whoever had no compiler would otherwise release it and wonder."""
    _, application = ramdisks(*build(tmp_path))
    without = [name for name in application if not name.endswith(".so")]
    assert ["plain torch" in note for note in _notes(without, for_aws=True)] == [True]
    there = (Path(enclave_worker.__path__[0]) / "native" / "libbloom.so").is_file()
    assert list(_notes(application, for_aws=True)) == ([] if there else list(_notes((), for_aws=True)))


def test_an_image_holds_what_the_recipe_names_and_nothing_else(tmp_path: Path) -> None:
    """No shell, nothing that was cut, and the modes of a system that nobody writes to."""
    boot, application = ramdisks(*build(tmp_path))
    assert boot.keys() == {"init", "modules", "modules/0-vsock.ko", "modules/1-nsm.ko", "dev/console", "dev/null"}
    assert boot["modules/1-nsm.ko"][1] == b"nsm"
    assert boot["dev/console"][0] == stat.S_IFCHR | 0o600
    assert boot["init"][0] == stat.S_IFREG | 0o755
    packages = PACKAGES.removeprefix("/")
    assert application[LINKER.removeprefix("/")][1] == b"linker"
    assert application["lib64/ld-linux-x86-64.so.2"] == (stat.S_IFLNK | 0o777, LINKER.encode())
    assert application[f"{packages}/torch-1.dist-info/METADATA"][1] == b"kept"
    assert f"{packages}/torch/__pycache__/__init__.{sys.implementation.cache_tag}.pyc" in application
    assert f"{packages}/enclave_worker/boot/init.py" in application
    for name in ("bin/sh", "lib/x86_64-linux-gnu/libnss_dns.so.2", f"{packages}/torch/bin/protoc"):
        assert name not in application
    assert not [name for name in application if name.endswith((".cpp", "RECORD"))]


def test_the_root_of_a_container_is_the_application_and_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    """Names, contents and modes of the image's second ramdisk, owned by root, of 1970."""
    archives = []
    for folder in (tmp_path / "a", tmp_path / "elsewhere"):
        found = make_inputs(folder / "inputs")
        plan = Plan(found, debian_kernel(found), ImageSettings())
        build_root(plan, folder / "root.tar", interpreter_of=this_interpreter)
        archives.append((folder / "root.tar").read_bytes())
    assert archives[0] == archives[1]
    _, application = ramdisks(*build(tmp_path / "c"))
    with tarfile.open(tmp_path / "a" / "root.tar") as archive:
        members = archive.getmembers()
    assert {member.name for member in members} == application.keys()
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in members} == {(0, 0, 0, "")}
    for member in members:
        assert member.issym() or member.mode == stat.S_IMODE(application[member.name][0])


def test_a_compressor_that_cannot_go_on_says_why(tmp_path: Path) -> None:
    """A full disk for one; it was `None: Broken pipe`."""
    (tmp_path / "large").write_bytes(bytes(2**20))
    fails = Interpreter([sys.executable, "-c", "import sys; sys.exit('No space left')"], {})
    with pytest.raises(StageError, match="the image's interpreter cannot compress: No space left"):
        pack(Stage(tmp_path), (), fails, tmp_path.with_suffix(".gz"))


def test_a_missing_or_another_input_is_refused(tmp_path: Path) -> None:
    """By name, with both digests, or with the command that brings it."""
    found = make_inputs(tmp_path / "inputs")
    (tmp_path / "inputs" / WHEEL).write_bytes(b"another")
    with pytest.raises(InputError, match=r"\.whl: its SHA-256 is [0-9a-f]{64} and not the pinned"):
        list(found.of("wheels"))
    assert [pin.name for pin in found.pins if not found.lies(pin)] == ["torch"]
    (tmp_path / "inputs" / WHEEL).unlink()
    with pytest.raises(InputError, match=r"No such file.*image fetch"):
        list(found.of("wheels"))


def test_what_is_fetched_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is missing is asked for, torch from its own index, and another file than the pinned one is refused."""
    found = make_inputs(tmp_path / "inputs")
    wheel = (tmp_path / "inputs" / WHEEL).read_bytes()
    (tmp_path / "inputs" / WHEEL).unlink()
    asked = []

    def bring(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        (Path(str(options["cwd"])) / WHEEL).write_bytes(wheel + b"!")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(inputs.subprocess, "run", bring)
    with pytest.raises(InputError, match="not the pinned"):
        inputs.fetch(found, "https://index.example")
    assert len(asked) == 1
    assert asked[0][asked[0].index("--index-url") + 1] == "https://index.example"
    assert asked[0][-1] == "torch==1"


def test_a_fetch_that_fails_says_why_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror keeps no old versions: the digest by which another copy is known is part of the message."""
    found = make_inputs(tmp_path / "inputs")
    (tmp_path / "inputs" / WHEEL).unlink()
    monkeypatch.setattr(inputs, "_pip", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no such version')"])
    with pytest.raises(InputError, match=r"did not bring it \(no such version\); put a file of SHA-256 [0-9a-f]{64}"):
        inputs.fetch(found)


def test_the_pins_of_this_version_are_whole() -> None:
    """Every wheel is of the version that pyproject.toml and constraints.txt name for everybody else."""
    found = inputs.load_inputs(Path("/nonexistent"))
    names = {pin.name for pin in found.pins}
    assert {"torch", "cryptography", "libc6", "python3.11-minimal"} <= names
    root = Path(inputs.__file__).parents[2]
    named = re.split(r'["\s]+', (root / "constraints.txt").read_text() + (root / "pyproject.toml").read_text())
    pinned = {canonicalize_name(one.partition("==")[0]): one.partition("==")[2] for one in named if "==" in one}
    wheels = [pin for pin in found.pins if pin.kind == "wheels"]
    assert {pin.name: pin.version.removesuffix("+cpu") for pin in wheels} == {
        pin.name: pinned[pin.name] for pin in wheels
    }


def test_every_library_that_the_worker_imports_is_in_the_image() -> None:
    """But transformers, which serves other architectures than Bloom and stays out."""
    root = Path(inputs.__file__).parents[2]
    imported: set[str] = set()
    for source in [*(root / "enclave_worker").rglob("*.py"), *(root / "wire").rglob("*.py")]:
        for node in ast.parse(source.read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    libraries = imported - sys.stdlib_module_names - {"enclave_worker", "wire", "transformers"}
    wheels = {pin.name for pin in inputs.load_inputs(Path("/nonexistent")).pins if pin.kind == "wheels"}
    assert {"torch", "msgpack"} <= libraries <= wheels


@pytest.mark.parametrize("change", ['{"format": 2}', "[]", "nonsense", '{"format": 1, "debian": [{}], "wheels": []}'])
def test_malformed_pins_are_refused(tmp_path: Path, change: str) -> None:
    """With the name of their file."""
    (tmp_path / "pins.json").write_text(change)
    with pytest.raises(InputError, match=r"pins\.json"):
        inputs.load_inputs(tmp_path, tmp_path / "pins.json")


def test_the_kernel_of_aws_brings_its_own_command_line(tmp_path: Path) -> None:
    """And a folder that is not nitro-cli's is refused with what it must hold."""
    (tmp_path / "bzImage").write_bytes(bytes(0x202) + b"HdrS")
    (tmp_path / "nsm.ko").write_bytes(b"module")
    (tmp_path / "cmdline").write_text("reboot=k panic=30\n")
    kernel = aws_kernel(tmp_path)
    assert kernel.command_line == f"reboot=k panic=30 {ROOT}"
    assert kernel.modules == (("nsm", b"module"),)
    (tmp_path / "cmdline").write_text("two\nlines\n")
    with pytest.raises(InputError, match="not one line"):
        aws_kernel(tmp_path)
    (tmp_path / "bzImage").write_bytes(b"no kernel")
    with pytest.raises(InputError, match="not a Linux kernel"):
        aws_kernel(tmp_path)
    (tmp_path / "nsm.ko").unlink()
    with pytest.raises(InputError, match=r"it must hold bzImage, cmdline and nsm\.ko"):
        aws_kernel(tmp_path)


def test_no_shell_and_no_compiler_would_be_taken() -> None:
    """Packages give the files that a rule names."""
    for package, name in (("dash", "/bin/dash"), ("libc6", "/bin/sh"), ("gcc-12", "/usr/bin/gcc-12")):
        assert wanted_of_deb(package, name) is None
    assert wanted_of_deb("libpython3.11-stdlib", "/usr/lib/python3.11/json/__init__.py") is not None
    assert wanted_of_deb("libpython3.11-stdlib", "/usr/lib/python3.11/sqlite3/__init__.py") is None
    assert wanted_of_wheel("torch/nn/functional.py")
    assert not wanted_of_wheel("torch/include/ATen/ATen.h")


def test_compiling_says_how_far_it_is(tmp_path: Path) -> None:
    """It takes minutes for torch's thousands of modules, and once was a single step."""
    for number in range(120):
        (tmp_path / f"m{number}.py").write_text("")
    said: list[tuple[int, int]] = []
    this_interpreter(Stage(tmp_path)).compile(tmp_path, lambda done, total: said.append((done, total)))
    assert said == [(0, 120), (50, 120), (100, 120), (120, 120)]
    assert len(list((tmp_path / "__pycache__").iterdir())) == 120
