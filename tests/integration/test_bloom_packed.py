"""Packed weights: the same answers, mapped and not read, under the manifest, made by a command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from compiled import compiled
from safetensors.torch import load_file, save_file
from tiny_bloom import CONTEXT, save_tiny_bloom
from typer.testing import CliRunner

from enclave_worker.bloom.bloom_engine import BloomEngine
from enclave_worker.bloom.load import LoadedBloom, load_bloom
from enclave_worker.bloom.packed import packed_name
from enclave_worker.bloom.weights import Precision
from enclave_worker.build import build_engine
from enclave_worker.engine import Completion, Prompt, SamplingParams
from enclave_worker.manifest import ModelError, load_manifest
from enclave_worker.settings import Settings
from sealbatch.cli import app
from sealbatch.model_folder import pack_folder, sort_metadata, write_manifest


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Path:
    """A random Bloom."""
    return save_tiny_bloom(tmp_path / "tiny")


def answers(model: LoadedBloom) -> list[Completion]:
    """To a few prompts."""
    engine = BloomEngine(model, max_sequences=8, max_positions=8 * CONTEXT)
    engine.admit([Prompt(key, range(5, 9 + key), SamplingParams(9, 0.0, 1.0, 0, ())) for key in range(6)])
    done: list[Completion] = []
    while engine.busy():
        done += engine.step()
    return sorted(done, key=lambda completion: completion.key)


@pytest.mark.parametrize("precision", list(Precision))
def test_a_packed_folder_answers_as_the_checkpoint_does(folder: Path, precision: Precision) -> None:
    """The digest of the model is another one then, since another file computes."""
    plain = load_bloom(folder, precision, threads=1)
    manifest = pack_folder(folder, precision)
    packed = load_bloom(folder, threads=1)
    assert packed.network.weights.precision is precision, "what a folder is packed for is what it runs"
    assert answers(packed) == answers(plain)
    assert packed.manifest == manifest == load_manifest(folder)
    assert packed.manifest.digest != plain.manifest.digest
    assert (packed.manifest.name, packed.manifest.revision) == (plain.manifest.name, plain.manifest.revision)


def test_packing_twice_gives_one_digest(folder: Path, tmp_path: Path) -> None:
    """The library writes metadata in any order, so the digest of the model, and PCR16, were others each time."""
    digests = {pack_folder(folder, Precision.INT8).digest for _ in range(3)}
    assert len(digests) == 1
    orders = []
    for number, metadata in enumerate(({"a": "1", "b": "é"}, {"b": "é", "a": "1"})):
        header = {"__metadata__": metadata, "t": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}
        data = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(120)
        path = tmp_path / str(number)
        path.write_bytes(len(data).to_bytes(8, "little") + data + b"xyz")
        sort_metadata(path)
        assert load_file(path)["t"].tolist() == list(b"xyz")
        orders.append(path.read_bytes())
    assert orders[0] == orders[1]


def test_the_fastest_packing_is_taken_and_another_can_be_asked_for(folder: Path) -> None:
    """`auto` and a named precision, through the settings."""
    pack_folder(folder, Precision.FP32)
    pack_folder(folder, Precision.INT8)
    for precision, expected in (("auto", Precision.INT8), ("fp32", Precision.FP32), ("bf16", Precision.BF16)):
        engine = build_engine(Settings(model=folder, precision=precision))
        assert isinstance(engine, BloomEngine)
        assert engine.network.weights.precision is expected


def test_a_packed_file_that_was_changed_is_refused(folder: Path) -> None:
    """One byte: the digest in the manifest is another."""
    pack_folder(folder, Precision.INT8)
    path = folder / packed_name(Precision.INT8)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"packed-int8\.safetensors: size or digest"):
        load_bloom(folder)


def test_a_packed_file_of_another_version_or_model_is_refused(folder: Path, tmp_path: Path) -> None:
    """With the words of what to do."""
    pack_folder(folder, Precision.INT8)
    path = folder / packed_name(Precision.INT8)
    tensors = load_file(path)
    save_file(tensors, path, metadata={"format": "0"})
    write_manifest(folder, "test/old", "1")
    with pytest.raises(ModelError, match="packed by another version; pack the model again"):
        load_bloom(folder)
    save_file({"head.weight": tensors["head.weight"]}, path, metadata={"format": "1"})
    write_manifest(folder, "test/other", "1")
    with pytest.raises(ModelError, match="not a packed model of this configuration"):
        load_bloom(folder)


def test_a_checkpoint_in_several_files_is_packed(folder: Path) -> None:
    """As large Blooms are published: an index names the file of each tensor."""
    expected = answers(load_bloom(folder, Precision.INT8, threads=1))
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    where = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(names)}
    for file in set(where.values()):
        part = {name.removeprefix("transformer."): tensors[name] for name in names if where[name] == file}
        save_file(part, folder / file)
    index = {"weight_map": {name.removeprefix("transformer."): file for name, file in where.items()}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    write_manifest(folder, "test/parts", "1")
    assert answers(load_bloom(folder, Precision.INT8, threads=1)) == expected


def test_packed_weights_are_mapped_and_shared(folder: Path) -> None:
    """The file is in the process's map, and the weights' memory lies within it."""
    compiled()
    pack_folder(folder, Precision.INT8)
    model = load_bloom(folder, threads=1)
    address = model.network.weights.head.linear.weight.data_ptr()
    maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if packed_name(Precision.INT8) in line]
    spans = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in maps]
    assert any(start <= address < end for start, end in spans)


def test_the_command_packs_a_folder(folder: Path, tmp_path: Path) -> None:
    """It prints the new digest, can be typed again, and refuses what is no model or no precision."""

    def pack(*words: str) -> Result:
        return CliRunner().invoke(app, ["model", "pack", *words])

    done = pack(str(folder), "--precision", "int8")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == load_manifest(folder).digest.hex()
    assert "packed for int8" in done.stderr
    assert pack(str(folder)).exit_code == 0
    missing = pack(str(tmp_path / "nothing"))
    assert (missing.exit_code, missing.stdout) == (78, "")
    assert "manifest.json: No such file" in missing.stderr
    assert pack(str(folder), "--precision", "int3").exit_code == 2


def test_a_folder_is_packed_without_numpy_into_the_same_file(folder: Path, tmp_path: Path) -> None:
    """No role brings NumPy, which safetensors' own writer needs, and torch warns where it is missing."""
    program = "import sys; sys.modules['numpy'] = None; from sealbatch.__main__ import main; main()"
    words = [sys.executable, "-c", program, "model", "pack", str(folder), "--precision", "int8"]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    assert "NumPy" not in done.stderr
    packed = folder / packed_name(Precision.INT8)
    save_file(load_file(packed), tmp_path / "same", metadata={"format": "1", "precision": "int8"})
    assert _parts(packed) == _parts(tmp_path / "same")


def _parts(path: Path) -> tuple[dict[str, object], bytes]:
    """Header and data; safetensors writes the header's metadata in any order."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def test_a_folder_that_cannot_be_written_is_left_as_it_was(folder: Path) -> None:
    """No half packed file under the real name, whatever stops it."""
    if os.geteuid() == 0:
        target = folder / packed_name(Precision.INT8)
        target.mkdir()
        with pytest.raises((ModelError, OSError)):
            pack_folder(folder, Precision.INT8)
        shutil.rmtree(target)
    else:
        folder.chmod(0o500)
        with pytest.raises(OSError, match="Permission"):
            pack_folder(folder, Precision.INT8)
        folder.chmod(0o700)
    assert load_manifest(folder)
