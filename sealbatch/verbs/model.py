"""`sealbatch model`: fetches a model of the Bloom family for the enclave, and packs it for the CPU."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from sealbatch import complete
from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.help import make_group, verb

app = make_group(
    "Models for the enclave.",
    """\
sealbatch model fetch bigscience/bloom-560m --revision COMMIT
sealbatch model pack bloom-560m""",
)

PATTERNS = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
)
"""What is fetched: weights as safetensors and never as pickles, and no code."""


@verb(app, "sealbatch model fetch bigscience/bloom-560m --revision COMMIT")
@ends_well
def fetch(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The model's name on the hub, such as bigscience/bloom-560m.")
    ],
    revision: Annotated[
        str, typer.Option(metavar="COMMIT", help="The commit, 40 hexadecimal digits: a branch can move.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to make.", show_default="./NAME")
    ] = None,
) -> None:
    """Save a model of the Bloom family for the enclave.

    Weights and tokenizer, with a manifest of their digests: the enclave loads nothing that differs from it.
    """
    import re

    if re.fullmatch(r"[0-9a-f]{40}", revision) is None:
        raise Stop(Exit.USAGE, "--revision is a commit of 40 hexadecimal characters")
    face: Face = context.obj
    screen = face.screen()
    target = output or Path(name.rpartition("/")[2])
    if target.exists():
        raise Stop(Exit.USAGE, f"{target} exists; name another folder with -o")
    digest = save(name, revision, target)
    screen.data(digest)
    screen.say(
        f"{target}: {sum(file.stat().st_size for file in target.iterdir()):,} bytes; the digest is that of its manifest"
    )
    screen.next_step(f"sealbatch model pack {target}")


@verb(
    app,
    """\
sealbatch model pack bloom-560m
sealbatch model pack bloom-560m --precision bf16""",
)
@ends_well
def pack(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model's folder with its manifest.")],
    precision: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="fp32, bf16 or int8, the fastest and smallest.",
            autocompletion=complete.one_of("fp32", "bf16", "int8"),
        ),
    ] = "int8",
) -> None:
    """Lay a model out for the CPU, so that enclaves start in seconds.

    The packed file lies beside the checkpoint and in its manifest, whose digest, printed here, changes by it. The
    enclave runs what the folder is packed for.
    """
    need("enclave")
    # torch says so where NumPy is not installed; nothing here converts arrays.
    warnings.filterwarnings("ignore", "Failed to initialize NumPy", UserWarning)
    from enclave_worker.bloom.packed import packed_name
    from enclave_worker.bloom.weights import Precision
    from enclave_worker.manifest import ModelError
    from sealbatch.model_folder import pack_folder

    if precision not in set(Precision):
        raise Stop(Exit.USAGE, f"--precision is one of {', '.join(Precision)}")
    face: Face = context.obj
    screen = face.screen()
    try:
        with screen.meter() as meter:
            what = f"packing tensors for {precision}"
            manifest = pack_folder(folder, Precision(precision), lambda done, total: meter.update(what, done, total))
    except ModelError as error:
        raise Stop(Exit.CONFIGURATION, f"{folder}: {error}") from None
    except OSError as error:
        raise Stop(Exit.NO_PERMISSION, f"{folder} cannot be written: {error.strerror}") from None
    screen.data(manifest.digest.hex())
    size = (folder / packed_name(Precision(precision))).stat().st_size
    screen.say(f"{folder}: packed for {precision}, {size:,} bytes; the digest is that of its manifest")
    screen.next_step(f"sealbatch enclave size --eif sealbatch.eif --model {folder}")


def save(name: str, revision: str, target: Path) -> str:
    """Download into `target`, check, and write the manifest; the manifest's digest in hexadecimal.

    Raises:
        Stop: the hub cannot be reached, has no such model or keeps it to itself, or it has no safetensors.
    """
    import logging
    import shutil

    need("enclave")
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import logging as hub_logging

    from enclave_worker.manifest import load_manifest
    from sealbatch.model_folder import write_manifest

    # Its warnings quote addresses, which may hold a token.
    hub_logging.set_verbosity(logging.ERROR)
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        huggingface_hub.snapshot_download(name, revision=revision, local_dir=part, allow_patterns=list(PATTERNS))
        shutil.rmtree(part / ".cache", ignore_errors=True)
        if not any(part.glob("*.safetensors")):
            raise Stop(
                Exit.CONFIGURATION,
                f"{name} at {revision[:12]} has no weights as safetensors",
                "name a commit that has them",
            )
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
