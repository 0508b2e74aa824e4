"""`sealbatch enclave size`: how much of a parent its enclave needs, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealbatch.exits import Exit, Stop
from sealbatch.face import Face, ends_well
from sealbatch.fleet.allocator import ALLOCATOR, PARENT_CPUS

if TYPE_CHECKING:
    from sealbatch.fleet.allocator import Allocation
    from sealbatch.fleet.machine import Machine
    from sealbatch.terminal.screen import Screen

EXAMPLES = """\
sealbatch enclave size --eif sealbatch.eif --model bloom-560m
# for a machine that is not this one
sealbatch enclave size --eif sealbatch.eif --instance-type c7i.4xlarge
sudo sealbatch enclave size --eif sealbatch.eif \\
    -o /etc/nitro_enclaves/allocator.yaml"""

POSITIONS = 16_384
WAITING_MIB = 4 * 32
"""Both are the worker's own (`enclave_worker.settings`), which an image measures and nobody sets from outside."""


@ends_well
def command(
    context: typer.Context,
    eif: Annotated[Path, typer.Option(metavar="FILE", help="The enclave image.")],
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The model: its files and its cache take memory.")
    ] = None,
    in_image: Annotated[
        bool, typer.Option("--model-in-image", help="The model lies in the image, so its files count there.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option("--instance-type", metavar="TYPE", help="A parent of this type.", show_default="this machine"),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option("--numa-nodes", min=1, max=16, metavar="N", help="NUMA nodes of a large type.")
    ] = None,
    parent_cpus: Annotated[int, typer.Option(min=1, metavar="N", help="CPUs that the parent keeps.")] = PARENT_CPUS,
    memory: Annotated[
        int | None, typer.Option(min=64, metavar="MIB", help="Memory of the enclave, if you know better.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the allocator's file there.", show_default="standard output"
        ),
    ] = None,
) -> None:
    """Write the allocator's file, and say why.

    Memory comes from image, model and limits, and CPUs from the machine. Restart nitro-enclaves-allocator to apply it.
    """
    from sealbatch.fleet.allocator import AllocatorError, allocate

    face: Face = context.obj
    screen = face.screen()
    machine = _machine(kind, nodes)
    needed, because = _needed(screen, eif, model, memory, in_image=in_image)
    try:
        allocation = allocate(machine, needed, because, parent_cpus)
    except AllocatorError as error:
        raise Stop(Exit.CONFIGURATION, str(error), "leave the parent fewer CPUs, or take a larger instance") from None
    _write(screen, allocation, output)


def _machine(kind: str | None, nodes: int | None) -> "Machine":
    from sealbatch.fleet.instances import instance_type
    from sealbatch.fleet.machine import MachineError, machine_of, this_machine

    try:
        return this_machine() if kind is None else machine_of(instance_type(kind), nodes)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--instance-type: {error}; or type this on the instance without it") from None
    except MachineError as error:
        raise Stop(Exit.USAGE, str(error)) from None


def _needed(screen: "Screen", eif: Path, model: Path | None, memory: int | None, *, in_image: bool) -> tuple[int, str]:
    """MiB, and by what they are decided."""
    from sealbatch.fleet.memory import EIF_FACTOR, MIB, Limits, SizeError, parts_of, total
    from sealbatch.image.eif import image_at

    image = image_at(eif)
    size = eif.stat().st_size
    if memory is not None:
        rule = EIF_FACTOR * -(-size // MIB)
        if memory < rule:
            raise Stop(Exit.USAGE, f"--memory: nitro-cli refuses less than {EIF_FACTOR} times the image, {rule} MiB")
        return memory, "as it was asked for"
    try:
        parts = parts_of(eif, image, model, Limits(POSITIONS, WAITING_MIB), in_image=in_image)
    except SizeError as error:
        raise Stop(Exit.INPUT_INVALID, str(error)) from None
    for part in parts:
        screen.say(f"{part.mib:>8,} MiB  {part.what}: {part.why}")
    if model is None:
        screen.say("no --model: neither its files nor its cache are counted")
    return total(parts, size)


def _write(screen: "Screen", allocation: "Allocation", output: Path | None) -> None:
    text = allocation.render()
    if output is None:
        screen.data(text.rstrip("\n"))
        screen.next_step(f"the same with -o {ALLOCATOR}")
        return
    for reason in allocation.reasons:
        screen.say(reason)
    part = output.with_name(f".{output.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(output)
    screen.next_step("sudo systemctl restart nitro-enclaves-allocator")
