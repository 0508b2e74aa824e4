"""OpenVINO reads a form of its own: the model is converted once for each precision and kept in the build folder."""

import subprocess
from pathlib import Path
from typing import Any, Final

from bench.contenders import Contender
from bench.environments import MissingError, last_error

SCRIPT: Final = Path(__file__).resolve().parent / "runners" / "openvino_export.py"


def export(contender: Contender, python: Path, model: Path, build: Path) -> dict[str, Any]:
    """Settings that name the converted model, which is made if it is not there; none for who reads the model itself.

    Raises:
        MissingError: the conversion fails.
    """
    if contender.group != "openvino":
        return {}
    # The folder's name has the model's, so that another model is converted anew.
    folder = build / f"{model.name}-openvino-{contender.precision}"
    command = [str(python), str(SCRIPT), str(model), str(folder), contender.precision]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise MissingError(f"cannot be converted: {last_error(ended.stderr)}")
    return {"model": str(folder)}
