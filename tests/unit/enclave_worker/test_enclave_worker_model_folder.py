"""A model folder: only what the manifest names is loaded, and a template is data with a digest."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_worker.manifest import ModelError, load_manifest
from enclave_worker.template import Template, load_template
from sealbatch.model_folder import write_manifest
from wire.payload import Message

FIELDS = {
    "format": 1,
    "system": "",
    "system_turn": "{content}\n",
    "user_turn": "Q {content}\n",
    "assistant_turn": "A {content}\n",
    "prompt_end": "A",
    "stop": ["\nQ"],
}


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Path:
    """Two files and their manifest."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(3000))
    write_manifest(tmp_path, "ours/model", "1")
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest."""
    value = json.loads((folder / "manifest.json").read_text())
    change(value)
    (folder / "manifest.json").write_text(json.dumps(value))


def test_a_manifest_reads_back(folder: Path) -> None:
    """Name, revision and digest are those of the written one, and the digest changes with them."""
    first = load_manifest(folder)
    assert (first.name, first.revision, len(first.digest)) == ("ours/model", "1", 32)
    assert write_manifest(folder, "ours/model", "2").digest != first.digest


def test_one_changed_bit_of_a_file_is_noticed(folder: Path) -> None:
    """The weights are what the manifest says, to the bit, at the same size."""
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[2999] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"^model\.safetensors: size or digest is not the manifest's$"):
        load_manifest(folder)


def test_a_missing_and_a_foreign_file_are_named(folder: Path) -> None:
    """A folder holds what its manifest names, no less and no more."""
    (folder / "modeling.py").write_text("print()")
    with pytest.raises(ModelError, match=r"^modeling\.py: not in the manifest$"):
        load_manifest(folder)
    (folder / "modeling.py").unlink()
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"^config\.json: in the manifest and not in the folder$"):
        load_manifest(folder)


def test_links_and_folders_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is measured is what lies there, not what a link leads to later."""
    other = tmp_path_factory.mktemp("other") / "x"
    other.write_text("x")
    (folder / "link").symlink_to(other)
    with pytest.raises(ModelError, match="link: not a plain file"):
        load_manifest(folder)
    (folder / "link").unlink()
    (folder / "inner").mkdir()
    with pytest.raises(ModelError, match="inner: not a plain file"):
        load_manifest(folder)


def test_a_large_file_is_checked_by_its_blake3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one digest that is read at a start names every byte; the other stays for `sha256sum`."""
    monkeypatch.setattr("sealbatch.model_folder.LARGE", 4)
    write_manifest(folder, "ours/model", "1")
    large = folder / "model.safetensors"
    entry = json.loads((folder / "manifest.json").read_bytes())["files"]["model.safetensors"]
    assert entry["blake3"] == blake3(large.read_bytes()).hexdigest()
    assert entry["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()
    load_manifest(folder)
    content = large.read_bytes()
    large.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"^model\.safetensors: size or digest is not the manifest's$"):
        load_manifest(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(format=2),
        lambda value: value.update(more=1),
        lambda value: value.pop("revision"),
        lambda value: value.update(name=""),
        lambda value: value.update(files=[]),
        lambda value: value["files"].update({"../x": {"sha256": "0" * 64, "size": 1}}),
        lambda value: value["files"].update({"manifest.json": {"sha256": "0" * 64, "size": 1}}),
        lambda value: value["files"]["config.json"].update(sha256="A" * 64),
        lambda value: value["files"]["config.json"].update(blake3="A" * 64),
        lambda value: value["files"]["config.json"].update(blake3=None),
        lambda value: value["files"]["config.json"].update(size=True),
        lambda value: value["files"]["config.json"].update(size=-1),
        lambda value: value["files"]["config.json"].pop("size"),
    ],
)
def test_a_malformed_manifest_is_refused(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Every field has one shape, and no name leads out of the folder."""
    edit(folder, change)
    with pytest.raises(ModelError, match=r"^manifest\.json: "):
        load_manifest(folder)


@given(data=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_gives_the_one_error(tmp_path: Path, data: bytes) -> None:
    """Neither manifest nor template raises anything but a model error."""
    (tmp_path / "manifest.json").write_bytes(data)
    (tmp_path / "template.json").write_bytes(data)
    for load in (load_manifest, load_template):
        with pytest.raises(ModelError):
            load(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which part is missing."""
    with pytest.raises(ModelError, match=r"^manifest\.json: No such file"):
        load_manifest(tmp_path / "none")


def test_a_conversation_becomes_a_prompt() -> None:
    """Each role has its text; the default system message gives way to the conversation's own."""
    template = Template(system="Be kind.", system_turn="S {content}\n", user_turn="Q {content}\n", prompt_end="A:")
    assert template.render([Message("user", "a {content}")]) == "S Be kind.\nQ a {content}\nA:"
    turns = [Message("system", "short"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    assert template.render(turns) == "S short\nQ a\nAnswer: b\nQ c\nA:"


def test_the_digest_changes_with_every_field() -> None:
    """An answer's header says which template made its prompt."""
    variants = [
        Template(),
        Template(system="x"),
        Template(system_turn="x{content}"),
        Template(user_turn="x{content}"),
        Template(assistant_turn="x{content}"),
        Template(prompt_end="x"),
        Template(stop=()),
    ]
    assert len({template.digest for template in variants}) == len(variants)


def test_a_template_is_read_from_its_folder(tmp_path: Path) -> None:
    """Without a file the default one serves."""
    assert load_template(tmp_path) == Template()
    (tmp_path / "template.json").write_text(json.dumps(FIELDS))
    assert load_template(tmp_path).user_turn == "Q {content}\n"


@pytest.mark.parametrize(
    "bent",
    [
        {"format": 2},
        {"user_turn": "no place"},
        {"user_turn": "{content}{content}"},
        {"system": 1},
        {"stop": "x"},
        {"stop": [""]},
        {"stop": ["x"] * 9},
        {"more": 1},
    ],
)
def test_a_malformed_template_is_refused(tmp_path: Path, bent: dict[str, object]) -> None:
    """A message that would not be put in, or put in twice, is an error at start."""
    (tmp_path / "template.json").write_text(json.dumps(FIELDS | bent))
    with pytest.raises(ModelError, match=r"^template\.json: "):
        load_template(tmp_path)
