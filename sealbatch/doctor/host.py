"""What is near this machine: Redis, the enclaves, the allocator of enclave memory, and the installed packages."""

import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sealbatch.doctor.finding import Finding, Status, judged
from sealbatch.extras import missing
from sealbatch.fleet.allocator import AllocatorError, read_allocation
from sealbatch.fleet.memory import EIF_FACTOR, least_mib
from sealbatch.fleet.watch import greet
from sealbatch.image.eif import EifError, image_at
from wire.address import Address
from wire.errors import WireError

PATIENCE: Final = 5.0
_PINNED: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^;\s]+)(\s*;.*)?")


def check_redis(url: str) -> Iterator[Finding]:
    """Reachable, and never drops a key to make room."""
    if missing("nightly"):
        yield Finding("redis", Status.SKIPPED, "nightly jobs are not installed", "pip install 'sealbatch[nightly]'")
        return
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE) as redis:
            memory: Any = redis.info("memory")
    except (RedisError, OSError) as error:
        # Not the error's text: it may hold the URL's password.
        yield Finding("redis", Status.ERROR, f"not reached ({type(error).__name__})", "start it, or correct redis_url")
        return
    policy = str(memory.get("maxmemory_policy", "unknown"))
    mend = "set maxmemory-policy noeviction: an evicted message of Celery is a task that never runs"
    yield judged("redis eviction", policy == "noeviction", policy, mend)


def check_enclave(address: Address, images: Sequence[str]) -> Iterator[Finding]:
    """It answers, speaks our protocol, and says that it is the release's image."""
    name = f"enclave {address}"
    try:
        ready = greet(address)
    except (WireError, OSError) as error:
        mend = "see that the enclave runs (`nitro-cli describe-enclaves`), its CID, and the vsock module of the kernel"
        yield Finding(name, Status.ERROR, f"not reached: {error}", mend)
        return
    if ready is None:
        yield Finding(name, Status.ERROR, "speaks another version", "run the bridge of the image's own release")
        return
    known = not images or ready.image in images
    found = f"ready, image {ready.image[:16]}…" if known else f"image {ready.image[:16]}… is not the release's"
    yield judged(name, known, found, "start the release's image, or name the release that runs")


def check_allocator(path: Path, eif: Path | None) -> Iterator[Finding]:
    """The memory set aside for enclaves holds four times the image."""
    try:
        have = read_allocation(path).memory_mib
    except AllocatorError as error:
        status = Status.ERROR if eif is not None or path.exists() else Status.SKIPPED
        yield Finding("allocator", status, str(error), "run doctor on the parent, or give --allocator")
        return
    if eif is None:
        yield Finding("allocator", Status.SKIPPED, f"{have} MiB; no image to compare", "give --eif FILE")
        return
    try:
        need = least_mib(eif.stat().st_size)
    except OSError as error:
        yield Finding("allocator", Status.ERROR, f"{eif}: {error.strerror}", "name the image's file")
        return
    mend = f"`sealbatch enclave size --eif {eif} -o {path}`, then restart nitro-enclaves-allocator"
    yield judged("allocator", have >= need, f"{have} MiB of at least {need} ({EIF_FACTOR} times the image)", mend)


def check_image(configured: str | None, images: Sequence[str], eif: Path | None) -> Iterator[Finding]:
    """What is sealed for, what is released, and the file that would be started are one image; `images` are PCR0s."""
    if configured is not None and images:
        found = f"configured {configured[:16]}…, released {', '.join(f'{image[:16]}…' for image in images)}"
        yield judged("image", configured in images, found, f"set image to {images[-1]}: questions are sealed for it")
    if eif is None or not images:
        return
    try:
        measured = image_at(eif).pcrs[0].hex()
    except (EifError, OSError) as error:
        yield Finding("image file", Status.ERROR, str(error), "fetch the release's image again")
        return
    found = f"{eif.name} measures {measured[:16]}…"
    yield judged("image file", measured in images, found, "fetch the image of the release, or name its release file")


def _pins() -> Iterator[tuple[str, str, bool]]:
    """Name, version, and whether an extra brings it."""
    for requirement in importlib.metadata.requires("sealbatch") or ():
        if pinned := _PINNED.fullmatch(requirement):
            yield pinned[1], pinned[2], pinned[3] is not None


def check_versions() -> Iterator[Finding]:
    """Installed packages are those that this version was tested with."""
    skew = []
    for name, wanted, of_extra in sorted(set(_pins())):
        try:
            installed = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            if of_extra:
                continue
            installed = "missing"
        if installed != wanted:
            skew.append(f"{name} {installed} instead of {wanted}")
    version = f"sealbatch {importlib.metadata.version('sealbatch')}"
    found = f"{version}: {', '.join(skew)}" if skew else version
    mend = "install this version of sealbatch again, with its constraints.txt"
    yield judged("versions", not skew, found, mend, Status.WARNING)
