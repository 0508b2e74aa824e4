"""Debian packages unpacked into a folder of ours: without root, and without touching what the machine has installed.

apt does the fetching, from the sources that the machine is configured with, and checks the archive's signature; and a
version that was tried has to have the SHA-256 that it had. `DEBIAN_MIRROR` names an archive for machines whose own
sources are not Debian's; where Debian's keyring is missing as well, only versions that were tried are taken.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR: Final = "DEBIAN_MIRROR"
"""Environment variable: the archive's URL, as in a line of apt's sources."""
HOME: Final = Path(sys.prefix) / "machines"
"""Where packages are unpacked: in the virtual environment, with which they go."""
TIMEOUT: Final = 300.0
"""Seconds that one run of apt may take."""


class MissingPartError(Exception):
    """Something that the machine needs cannot be had here; the text says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package and the versions of it that were tried, each with its file's SHA-256."""

    name: str
    tried: Mapping[str, str]


class Apt:
    """apt with lists and caches below `folder`; `suite` is one of Debian's, None stands for the machine's sources."""

    def __init__(self, folder: Path, suite: str | None = None) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise MissingPartError("apt-get and dpkg-deb are not here: this is no Debian or Ubuntu")
        self._folder = folder
        self._suite = suite
        self._signed = KEYRING.is_file() or (suite is None and not os.environ.get(MIRROR))
        (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)

    def unpack(self, wanted: Sequence[Wanted], into: Path) -> list[str]:
        """Fetch, check and unpack; returns `NAME VERSION` of each, and leaves it in `into` as well.

        Raises:
            MissingPartError: a package cannot be had, or is not what it was when it was tried.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            self._download([package.name for package in wanted], Path(scratch))
            files = {path.name.partition("_")[0]: path for path in Path(scratch).glob("*.deb")}
            took = [f"{package.name} {self._check(package, files)}" for package in wanted]
            for path in files.values():
                subprocess.run(["dpkg-deb", "--extract", path, into], check=True)
        return took

    def _check(self, package: Wanted, files: Mapping[str, Path]) -> str:
        """The version of the file that came."""
        path = files.get(package.name)
        if path is None:
            raise MissingPartError(f"apt-get download left no file of {package.name}")
        version = unquote(path.name.split("_")[1])
        known = package.tried.get(version)
        if known is None:
            if not self._signed:
                raise MissingPartError(
                    f"{package.name} {version} was not tried and {KEYRING} is missing, so nothing vouches for it"
                )
        elif hashlib.sha256(path.read_bytes()).hexdigest() != known:
            raise MissingPartError(f"{package.name} {version}: the file's SHA-256 is not the one that was tried")
        return version

    def _download(self, names: Sequence[str], into: Path) -> None:
        # The machine's own lists do if they know the packages: the usual case, and no list is fetched.
        own = self._suite is None and not os.environ.get(MIRROR)
        if own and self._run(["download", *names], into).returncode == 0:
            return
        self._run(["update"], into, private=True)  # one source that fails is no matter if another has the packages
        done = self._run(["download", *names], into, private=True)
        if done.returncode != 0:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            raise MissingPartError(
                f"apt-get download {' '.join(names)} failed: {' '.join(reasons) or 'no reason given'}"
            )

    def _run(self, arguments: Sequence[str], into: Path, *, private: bool = False) -> subprocess.CompletedProcess[str]:
        options = ["-qq", "-o", "APT::Sandbox::User=root"] if os.getuid() == 0 else ["-qq"]
        if private:
            options += ["-o", f"Dir::State::lists={self._folder}/lists", "-o", f"Dir::Cache={self._folder}/cache"]
            options += ["-o", "Acquire::Languages=none"]
        if private and (source := self._source()) is not None:
            listed = self._folder / "sources.list"
            listed.write_text(source)
            options += ["-o", f"Dir::Etc::sourcelist={listed}", "-o", "Dir::Etc::sourceparts=-"]
        try:
            return subprocess.run(
                ["apt-get", *options, *arguments],
                cwd=into,
                check=False,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise MissingPartError(f"apt-get {arguments[0]} took more than {TIMEOUT:.0f} s") from None

    def _source(self) -> str | None:
        """The line of a source list of our own, or None for the machine's."""
        mirror = os.environ.get(MIRROR) or None
        if self._suite is None and mirror is None:
            return None
        uri, suite = mirror or configured_mirror(), self._suite or "bookworm"
        vouched = f"signed-by={KEYRING}" if KEYRING.is_file() else "trusted=yes"
        return f"deb [{vouched}] {uri} {suite} main\n"


def configured_mirror() -> str:
    """The first archive of Debian's own that this machine's apt is configured with.

    Raises:
        MissingPartError: there is none.
    """
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(LABEL)", "Created-By: Packages"],
        check=False,
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        uri, component, label = line.split(" ", 2)
        # The label is unknown until the list was fetched once.
        if component == "main" and (label == "Debian" or uri.rstrip("/").endswith("/debian")):
            return uri
    raise MissingPartError(f"no source of apt is Debian's; name an archive of it: {MIRROR}=URL")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure(name: str, wanted: Sequence[Wanted], suite: str | None = None, home: Path = HOME) -> Path:
    """The folder with these packages unpacked, made when it is not there; two callers at once make one.

    Raises:
        MissingPartError: they cannot be had.
    """
    place = home / name
    if place.is_dir():
        return place
    with _locked(home):
        if not place.is_dir():
            draft = Path(tempfile.mkdtemp(dir=home, prefix=f".{name}."))
            try:
                took = Apt(home / f"apt-{suite or 'own'}", suite).unpack(wanted, draft)
                (draft / "packages.txt").write_text("\n".join(took) + "\n")
                draft.rename(place)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    return place
