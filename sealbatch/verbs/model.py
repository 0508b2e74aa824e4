"""`sealbatch model`: fetches a model of the Bloom family for the enclave, and packs it for the CPU."""

import re
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.progress import Progress
from sealbatch.terminal.help import make_group, verb

app = make_group(
    "Models for the enclave.",
    """\
sealbatch model fetch bigscience/bloom-560m --revision COMMIT
sealbatch model pack bloom-560m""",
)


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
    if re.fullmatch(r"[0-9a-f]{40}", revision) is None:
        raise Stop(Exit.USAGE, "--revision is a commit of 40 hexadecimal characters")
    face: Face = context.obj
    screen = face.screen()
    target = output or Path(name.rpartition("/")[2])
    if target.exists():
        raise Stop(Exit.USAGE, f"{target} exists; name another folder with -o")
    need("enclave")
    from sealbatch.hub import save

    with screen.progress() as tell:
        digest = save(name, revision, target, tell)
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
        Literal["fp32", "bf16", "int8"],
        typer.Option(metavar="KIND", help="fp32, bf16 or int8, the fastest and smallest."),
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

    face: Face = context.obj
    screen = face.screen()
    try:
        with screen.progress() as tell:
            what = f"packing tensors for {precision}"
            manifest = pack_folder(folder, Precision(precision), lambda done, total: tell(Progress(what, done, total)))
    except ModelError as error:
        raise Stop(Exit.CONFIGURATION, f"{folder}: {error}") from None
    except OSError as error:
        raise Stop(Exit.NO_PERMISSION, f"{folder} cannot be written: {error.strerror}") from None
    screen.data(manifest.digest.hex())
    size = (folder / packed_name(Precision(precision))).stat().st_size
    screen.say(f"{folder}: packed for {precision}, {size:,} bytes; the digest is that of its manifest")
    screen.next_step(f"sealbatch enclave size --eif sealbatch.eif --model {folder}")
