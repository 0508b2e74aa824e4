"""`sealbatch enclave`: the program inside the enclave image."""

import typer

from sealbatch.exits import Exit
from sealbatch.face import ends_well
from sealbatch.faults import Stop

EXAMPLES = """Example, as the image's own init runs it:
python -m enclave_worker"""


@ends_well
def command() -> None:
    """Answer sealed questions, inside a Nitro Enclave.

    The settings are measured into its image.
    """
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise Stop(Exit.CONFIGURATION, "the model stack is not installed: pip install 'sealbatch[enclave]'")
    from enclave_worker.__main__ import main

    raise typer.Exit(main())
