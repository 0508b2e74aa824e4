"""`make release`: everything that a release consists of, from a commit and pinned inputs, into one folder.

sealbatch-VERSION-py3-none-any.whl               for askers, readers and bridges, wherever Python runs
sealbatch-VERSION-py3-none-linux_x86_64.whl      with the engine's compiled part
sealbatch-VERSION.tar.gz                         the source
sealbatch.eif, pcrs.json                         the enclave image, and the registers that it is measured as
sealbatch.cdx.json, sealbatch.eif.cdx.json       bills of materials, CycloneDX
SHA256SUMS                                       of all of them
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from releasing.sbom import BillError, Subject, image_bill, package_bill, read_inputs

ROOT: Final = Path(__file__).resolve().parents[1]
MODEL: Final = "models/benefits-bloom"
SUMS: Final = "SHA256SUMS"


class ReleaseError(Exception):
    """Something keeps the release from being made; the text says what."""


def head() -> tuple[str, int]:
    """The commit that is checked out and its time in seconds since 1970.

    Raises:
        ReleaseError: files differ from it, so that nobody could make the same release.
    """
    if changed := _git("status", "--porcelain", "--untracked-files=no").decode().splitlines():
        raise ReleaseError(
            f"{len(changed)} files differ from the commit, {changed[0][3:]} first: commit them, or git stash"
        )
    commit, moment = _git("log", "-1", "--format=%H %ct").decode().split()
    return commit, int(moment)


@dataclass(frozen=True, slots=True)
class Given:
    """Pinned inputs of the image, AWS's kernel if it is to boot there, and the key that signs its registers."""

    inputs: Path
    kernel: Path | None = None
    key: Path | None = None


def build(output: Path, given: Given) -> None:
    """Make the release of HEAD in `output`, which appears whole or not at all.

    Raises:
        ReleaseError, BillError: it cannot be made.
    """
    commit, moment = head()
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as name:
        source, made = Path(name, "source"), Path(name, "made")
        made.mkdir()
        # What lies around in the work tree must not slip in.
        with tarfile.open(fileobj=BytesIO(_git("archive", commit))) as archive:
            archive.extractall(source, filter="data")
        version = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        say(f"sealbatch {version} of {commit[:12]}")
        _python_parts(source, made, moment)
        _image(source, made, version, given)
        say("bills of materials")
        subject = Subject(version, commit, moment)
        constraints = (source / "constraints.txt").read_text(encoding="utf-8")
        (made / "sealbatch.cdx.json").write_text(package_bill(subject, constraints), encoding="utf-8")
        pinned = read_inputs(source / "sealbatch" / "image" / "inputs.json")
        (made / "sealbatch.eif.cdx.json").write_text(image_bill(subject, pinned), encoding="utf-8")
        write_sums(made)
        shutil.rmtree(output, ignore_errors=True)
        made.rename(output)


def _python_parts(source: Path, made: Path, moment: int) -> None:
    environment = {"SOURCE_DATE_EPOCH": str(moment), "PYTHONHASHSEED": "0"}
    for what, compiled in (("sdist", "0"), ("wheel", "0"), ("wheel", "1")):
        say(
            {"sdist": "source archive"}.get(what, f"wheel {'with' if compiled == '1' else 'without'} the compiled part")
        )
        command = [sys.executable, "-m", "hatchling", "build", "--target", what, "--directory", str(made)]
        _run(command, source, environment | {"SEALBATCH_COMPILED": compiled})
    if len(list(made.glob("*.whl"))) != 2:
        raise ReleaseError("there is no wheel with the compiled part: on x86-64, apt-get install g++")


def _image(source: Path, made: Path, version: str, given: Given) -> None:
    """The image of the source's own packages, with the compiled part that its wheel got."""
    say("enclave image")
    image = made / "sealbatch.eif"
    seal = [sys.executable, "-m", "sealbatch", "image"]
    # The source's packages and not those that are installed.
    environment = {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    chosen = [] if given.kernel is None else ["--kernel", str(given.kernel.resolve())]
    _run([*seal, "build", "--inputs", str(given.inputs.resolve()), "-o", str(image), *chosen], source, environment)
    signed = [] if given.key is None else ["--key", str(given.key.resolve())]
    text = _run([*seal, "release", str(image), "--name", version, "--model", MODEL, *signed], source, environment)
    (made / "pcrs.json").write_bytes(text)


def write_sums(folder: Path) -> None:
    """SHA-256 of each file, as `sha256sum --check` takes them."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    (folder / SUMS).write_text("".join(lines), encoding="ascii")


def differences(one: Path, other: Path) -> list[str]:
    """Names of files that are in one folder alone, or are not bit for bit the same."""
    names = {path.name for folder in (one, other) for path in folder.iterdir()}
    return sorted(
        name
        for name in names
        if not ((one / name).is_file() and (other / name).is_file())
        or (one / name).read_bytes() != (other / name).read_bytes()
    )


def say(text: str) -> None:
    """Talk."""
    print(text, file=sys.stderr, flush=True)


def _git(*words: str) -> bytes:
    return _run(["git", *words], ROOT, {})


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> bytes:
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False)
    if done.returncode:
        end = done.stderr.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise ReleaseError("\n".join([f"{' '.join(command)} ended with code {done.returncode}", *end]))
    return done.stdout


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Make a release, or see that it is the same when it is made again.")
    parser.add_argument("output", type=Path, help="the folder, which is replaced")
    parser.add_argument(
        "--inputs", type=Path, default=ROOT / "build" / "inputs", help="where `sealbatch image fetch` put them"
    )
    parser.add_argument("--kernel", type=Path, help="AWS's kernel: nitro-cli's folder of bzImage, cmdline and nsm.ko")
    parser.add_argument("--key", type=Path, help="sign pcrs.json with this key; without one it is unsigned")
    parser.add_argument("--compare", type=Path, help="a release that must be bit for bit the same")
    typed = parser.parse_args()
    began = time.monotonic()
    try:
        build(typed.output, Given(typed.inputs, typed.kernel, typed.key))
    except (ReleaseError, BillError) as error:
        say(f"release: {error}")
        return 1
    for path in sorted(typed.output.iterdir()):
        print(f"{path.stat().st_size:>13,}  {path}")
    say(f"made in {time.monotonic() - began:.0f} s")
    if typed.compare is None:
        return 0
    if unlike := differences(typed.output, typed.compare):
        say(f"release: not the same as {typed.compare}: {', '.join(unlike)}")
        return 1
    say(f"bit for bit the same as {typed.compare}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
