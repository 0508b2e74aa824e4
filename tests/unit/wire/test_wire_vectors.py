"""The known answers of docs/reference/wire.md: this code gives them, and opens or refuses each object as it must."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from wire import envelope
from wire.errors import SealError

FOLDER = Path(__file__).resolve().parents[2] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "wire.json").read_text())


def test_the_committed_vectors_are_what_this_code_makes() -> None:
    """A change of the format shows as a change of the vectors."""
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert json.loads(json.dumps(module.vectors())) == VECTORS


@pytest.mark.parametrize("vector", VECTORS["seals"], ids=lambda vector: str(vector["name"]))
def test_each_sealed_vector_has_its_outcome(vector: dict[str, str]) -> None:
    """It opens, does not open under the key, or is malformed, as it says."""
    data, key = bytes.fromhex(vector["sealed"]), bytes.fromhex(vector["key"])
    parse = envelope.parse_answers if vector["name"] == "answers" else envelope.parse_questions
    match vector["expect"]:
        case "opens":
            assert parse(data).open(key) == bytes.fromhex(vector["payload"])
        case "does not open":
            with pytest.raises(SealError, match="does not open"):
                parse(data).open(key)
        case _:
            with pytest.raises(SealError, match=r"format|lengths|cut off"):
                parse(data)
