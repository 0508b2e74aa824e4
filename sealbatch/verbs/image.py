"""`sealbatch image`: what an enclave image holds and what it is measured as, without Docker or nitro-cli."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.extras import need
from sealbatch.face import Face, ends_well
from sealbatch.paths import cache_folder
from sealbatch.progress import Progress
from sealbatch.terminal.help import make_group, verb
from sealbatch.verbs import options as o

if TYPE_CHECKING:
    from sealbatch.image.eif import Image
    from sealbatch.image.inputs import Inputs
    from sealbatch.image.signature import Signer
    from sealbatch.terminal.screen import Screen

app = make_group(
    "Enclave images: what they hold and what they are measured as.",
    """\
sealbatch image fetch
sealbatch image build -o sealbatch.eif
sealbatch image release sealbatch.eif --name 1.0 > pcrs.json""",
)

FILE = Annotated[Path, typer.Argument(metavar="FILE.eif", help="An enclave image, ours or anybody's.")]
RELEASE_EXAMPLES = """\
sealbatch image release sealbatch.eif --name 1.0 --model bloom-560m \\
    --key release.pem > pcrs.json
# what the release is good for
sealbatch policy render question --release pcrs.json \\
    --administrator ARN --producer ARN --bridge ARN
sealbatch submit questions.jsonl --require-pcr0 pcrs.json"""


BUILD_EXAMPLES = """\
sealbatch image fetch
sealbatch image build -o sealbatch.eif
# for AWS, with its kernel
sealbatch image build -o sealbatch.eif \\
    --kernel /usr/share/nitro_enclaves/blobs
# with the model in it
sealbatch image build -o small.eif --model models/benefits-bloom"""
INPUTS = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the pinned inputs lie.", show_default="the user's cache")
]

MODEL = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Put this model into the image; else it comes over vsock.")
]
EMULATED = Annotated[
    bool, typer.Option("--emulated", help="For a virtual machine without KVM: its clock will do. Not for AWS.")
]
ROOT_EXAMPLES = """\
sealbatch image root -o deploy/enclave/root.tar
docker build --tag sealbatch deploy/enclave
nitro-cli build-enclave --docker-uri sealbatch --output-file sealbatch.eif"""


@verb(app, "sealbatch image measure sealbatch.eif")
@ends_well
def measure(context: typer.Context, file: FILE, as_json: o.JSON = False) -> None:
    """Print PCR0, 1, 2 and, for a signed image, 8.

    They are what the hypervisor will report. Malformed files are refused with the field that is wrong and exit code 8.
    """
    from sealbatch.image.eif import image_at

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    _show_registers(screen, image_at(file))
    screen.next_step(f"sealbatch image release {file} --name VERSION > pcrs.json")


@verb(app, RELEASE_EXAMPLES)
@ends_well
def release(
    context: typer.Context,
    file: FILE,
    name: Annotated[str, typer.Option(metavar="NAME", help="The release's name, such as its version.")],
    model: Annotated[Path | None, typer.Option(metavar="DIR", help="The model that it is to serve (PCR16).")] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Sign with this Ed25519 or ECDSA key, without a password.")
    ] = None,
) -> None:
    """Write an image's release file, which says who may open questions.

    It holds the registers, digests of model, template and inputs, and a
    signature; `release_key` in the configuration demands one.
    """
    need("bridge")
    from sealbatch.image.eif import image_at
    from sealbatch.image.release import make_release, read_inputs
    from wire.release import SignatureRefused, read_private_key

    face: Face = context.obj
    image = image_at(file)
    try:
        private = None if key is None else read_private_key(key.read_bytes())
    except SignatureRefused as error:
        raise Stop(Exit.USAGE, f"--key: {error}") from None
    with file.open("rb") as opened:
        inputs = read_inputs(opened, image)
    try:
        text = make_release(name, image, inputs, model, private)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--name: {error}") from None
    screen = face.screen()
    screen.data(text.decode().rstrip())
    screen.next_step("sealbatch policy render question --release pcrs.json --help")


@verb(app, "sealbatch image inspect sealbatch.eif")
@ends_well
def inspect(context: typer.Context, file: FILE, as_json: o.JSON = False) -> None:
    """List the sections with their places, sizes in bytes and SHA-384."""
    from sealbatch.image.eif import image_at

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    image = image_at(file)
    rows = [
        {"section": s.kind.name.lower(), "offset": s.offset, "bytes": s.size, "sha384": s.digest.hex()}
        for s in image.sections
    ]
    screen.rows(("section", "offset", "bytes", "sha384"), rows)
    screen.say(f"version {image.version}, {image.architecture}; defaults: {image.memory:,} bytes, {image.cpus} CPUs")
    screen.next_step(f"sealbatch image measure {file}")


@verb(
    app,
    """\
sealbatch image fetch
sealbatch image fetch --inputs build/inputs""",
)
@ends_well
def fetch(
    context: typer.Context,
    inputs: INPUTS = None,
    torch_index: Annotated[
        str | None, typer.Option(metavar="URL", help="An index that offers the CPU build of torch.")
    ] = None,
) -> None:
    """Bring the pinned inputs of an image.

    Debian packages come by apt-get, wheels by pip; each is verified by its
    SHA-256, and what lies there already is not fetched again.
    """
    from sealbatch.image import inputs as pinned

    face: Face = context.obj
    screen = face.screen()
    found = _inputs(inputs)
    with screen.progress() as tell:
        pinned.fetch(found, torch_index, lambda done, total: tell(Progress("bringing inputs", done, total)))
    screen.say(f"{len(found.pins)} inputs lie in {found.folder}")
    where = "" if inputs is None else f" --inputs {inputs}"
    screen.next_step(f"sealbatch image build{where} -o sealbatch.eif")


@verb(app, BUILD_EXAMPLES)
@ends_well
def build(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.eif", help="Where the image goes.")],
    inputs: INPUTS = None,
    kernel: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="AWS's kernel: nitro-cli's folder of bzImage, cmdline and nsm.ko."),
    ] = None,
    model: MODEL = None,
    emulated: EMULATED = False,
    signing_key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Sign the image (PCR8) with this ECDSA key.")
    ] = None,
    signing_certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="The certificate of that key.")
    ] = None,
    as_json: o.JSON = False,
) -> None:
    """Build the enclave image from pinned inputs.

    The same inputs make the same file, bit for bit, wherever it is built.
    """
    need("bridge")
    from enclave_worker.image import ImageSettings
    from sealbatch.image.build import Plan, build_image
    from sealbatch.image.eif import image_at
    from sealbatch.image.kernel import aws_kernel, debian_kernel

    face: Face = context.obj
    screen = face.screen(as_json=as_json)
    found = _inputs(inputs)
    chosen = debian_kernel(found) if kernel is None else aws_kernel(kernel)
    settings = ImageSettings(streamed=model is None, emulated=emulated)
    plan = Plan(found, chosen, settings, model, _signer(signing_key, signing_certificate))
    with screen.progress() as tell:
        files = build_image(plan, output, lambda *state: tell(Progress(*state)))
    _show_registers(screen, image_at(output))
    for note in _notes(files, for_aws=kernel is not None or emulated):
        screen.say(f"note: {note}")
    screen.say(f"{output}: {output.stat().st_size:,} bytes; {len(files):,} files of {sum(files.values()):,} bytes")
    screen.next_step(f"sealbatch image release {output} --name VERSION > pcrs.json")


def _notes(files: Iterable[str], *, for_aws: bool) -> Iterator[str]:
    """What somebody would rather know of an image before it is released."""
    if not for_aws:
        yield "with Debian's kernel it boots in virtual machines; for AWS give --kernel, see docs/README.md"
    if not any(name.endswith("native/libbloom.so") for name in files):
        yield "it computes with plain torch, several times slower: install g++, then sealbatch again, and build anew"


@verb(app, ROOT_EXAMPLES)
@ends_well
def root(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.tar", help="Where the archive goes.")],
    inputs: INPUTS = None,
    model: MODEL = None,
    emulated: EMULATED = False,
) -> None:
    """Write the image's root file system for deploy/enclave/Dockerfile.

    For those who build with nitro-cli, whose kernel and init it takes then.
    """
    need("bridge")
    from enclave_worker.image import ImageSettings
    from sealbatch.image.build import Plan, build_root
    from sealbatch.image.kernel import debian_kernel

    face: Face = context.obj
    screen = face.screen()
    found = _inputs(inputs)
    plan = Plan(found, debian_kernel(found), ImageSettings(streamed=model is None, emulated=emulated), model)
    with screen.progress() as tell:
        build_root(plan, output, lambda *state: tell(Progress(*state)))
    screen.say(f"{output}: {output.stat().st_size:,} bytes")
    screen.next_step("docker build --tag sealbatch deploy/enclave")


def _inputs(folder: Path | None) -> "Inputs":
    from sealbatch.image.inputs import load_inputs

    return load_inputs(folder or cache_folder() / "inputs")


def _show_registers(screen: "Screen", image: "Image") -> None:
    rows = [{"register": f"PCR{index}", "value": pcr.hex()} for index, pcr in sorted(image.pcrs.items())]
    screen.rows(("register", "value"), rows)


def _signer(key: Path | None, certificate: Path | None) -> "Signer | None":
    from sealbatch.image.signature import SigningError, load_signer

    if key is None or certificate is None:
        if key is not None or certificate is not None:
            raise Stop(Exit.USAGE, "--signing-key and --signing-certificate go together")
        return None
    try:
        return load_signer(key.read_bytes(), certificate.read_bytes())
    except SigningError as error:
        raise Stop(Exit.USAGE, str(error)) from None
