"""Forms of the model that an engine wants to read, made once for each precision and kept in the build folder."""

from pathlib import Path
from typing import Any, Final

from bench.contenders import Contender
from bench.environments import succeed
from bench.pinned import RUNNERS

SCRIPTS: Final = {"openvino": "openvino_export.py", "sealbatch": "sealbatch_pack.py"}


def export(contender: Contender, python: Path, model: Path, build: Path) -> dict[str, Any]:
    """Settings that name the converted or packed model, which is made if it is not there; none for who needs neither.

    Raises:
        MissingError: the conversion fails.
    """
    if contender.group not in SCRIPTS:
        return {}
    # The folder's name has the model's, so that another model is converted anew.
    folder = build / f"{model.name}-{contender.group}-{contender.precision}"
    command = [str(python), str(RUNNERS / SCRIPTS[contender.group]), str(model), str(folder), contender.precision]
    succeed(command, "cannot be converted")
    return {"model": str(folder)}
