"""Models of the hub: what the enclave needs of one is saved beside a manifest of it."""

import io
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import huggingface_hub
from huggingface_hub.errors import DryRunError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import logging as hub_logging
from tqdm import tqdm

from enclave_worker.manifest import load_manifest
from sealbatch.exits import Exit, Stop
from sealbatch.model_folder import write_manifest
from sealbatch.progress import Progress, Told

PATTERNS: Final = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
)
"""What is fetched: weights as safetensors and never as pickles, and no code."""
MB: Final = 1_000_000


def save(name: str, revision: str, target: Path, tell: Told) -> str:
    """Download into `target`, check, and write the manifest; the manifest's digest in hexadecimal.

    Raises:
        Stop: the hub cannot be reached, has no such model or keeps it to itself, or it has no safetensors.
    """
    # Its warnings quote addresses, which may hold a token.
    hub_logging.set_verbosity(logging.ERROR)
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _download(name, revision, part, tell)
        shutil.rmtree(part / ".cache", ignore_errors=True)
        write_manifest(part, name, revision)
        digest = load_manifest(part).digest.hex()
        part.rename(target)
    except GatedRepoError:
        raise Stop(Exit.NO_PERMISSION, f"{name} is gated", "accept its terms on the hub, and log in there") from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise Stop(
            Exit.CONFIGURATION,
            f"the hub has no {name} at {revision[:12]}, or not for you",
            "look for the name and the commit on the hub",
        ) from None
    except (OSError, ValueError) as error:
        # The hub's errors are OSError and ValueError; their texts may hold addresses with tokens.
        raise Stop(Exit.TEMPORARY, f"{name} at {revision[:12]} could not be fetched ({type(error).__name__})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return digest


def _download(name: str, revision: str, folder: Path, tell: Told) -> None:
    """Bring the files, once it is known that weights are among them."""
    wanted: dict[str, Any] = {"revision": revision, "local_dir": folder, "allow_patterns": list(PATTERNS)}
    try:
        files = huggingface_hub.snapshot_download(name, **wanted, dry_run=True, tqdm_class=_counter(lambda _: None))
    except DryRunError as error:
        cause = error.__cause__
        raise cause if isinstance(cause, OSError) else error from None
    if not any(file.filename.endswith(".safetensors") for file in files):
        raise Stop(
            Exit.CONFIGURATION,
            f"{name} at {revision[:12]} has no weights as safetensors",
            "name a commit that has them",
        )
    total = sum(file.file_size for file in files)

    def seen(done: int) -> None:
        tell(Progress("fetching the model, MB", -(-min(done, total) // MB), -(-total // MB)))

    huggingface_hub.snapshot_download(name, **wanted, tqdm_class=_counter(seen))
    seen(total)


def _counter(seen: Callable[[int], None]) -> type[Any]:
    """What the hub's client takes for a bar: it draws nothing, and says how many bytes are there."""
    most = 0

    class Counter(tqdm):  # type: ignore[misc] # it has no types
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"file": io.StringIO()})

        def display(self, *_: Any, **__: Any) -> None:
            """Say it; one bar counts what comes in and another one what is on disk."""
            nonlocal most
            if self.unit == "B":
                most = max(most, int(self.n))
                seen(most)

    return Counter
