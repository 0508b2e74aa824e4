"""`sealbatch model fetch` from a hub over HTTP, and the enclave's loader on what it saved."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Typist
from fake_hub import Hub, serve_hub
from folders import names
from tiny_bloom import NAME, make_network, make_tokenizer

from devstack.transformers_engine.loader import load_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(name="hub")
def run_hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with one small Bloom, beside files that nobody should want."""
    folder = tmp_path / "hub"
    make_network().save_pretrained(folder)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "modeling_evil.py").write_text("raise SystemExit('code from the hub was run')")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "README.md").write_text("# A model")
    with serve_hub() as hub:
        hub.models[NAME] = (COMMIT, folder)
        yield hub


@pytest.fixture(name="typist")
def make_typist(tmp_path: Path, hub: Hub) -> Typist:
    """A user of that hub."""
    home = tmp_path / "home"
    home.mkdir()
    return Typist(home, environment={"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1"})


def test_a_model_is_saved_with_its_manifest_and_loads(typist: Typist, hub: Hub) -> None:
    """Weights and tokenizer, no code and no pickle; the digest on standard output is the manifest's."""
    done = typist.type("model", "fetch", NAME, "--revision", COMMIT)
    assert done.returncode == 0, done.stderr.decode()
    said = done.stderr.decode().splitlines()
    assert said[0].startswith("fetching the model, MB: 1 of 1")
    assert "next: sealbatch model pack tiny-bloom" in said
    assert not [line for line in said if "it/s" in line or "%|" in line], "bars of the hub's own"
    folder = typist.folder / "tiny-bloom"
    assert names(folder) == [
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    model = load_model(folder)
    assert (model.manifest.name, model.manifest.revision) == (NAME, COMMIT)
    assert done.stdout.decode().strip() == model.manifest.digest.hex()
    assert not [path for path in hub.asked if path.endswith((".py", ".bin", ".md"))]
    assert [path for path in names(typist.folder) if path.endswith(".part")] == []


@pytest.mark.parametrize(
    ("words", "code", "say"),
    [
        (("test/unknown", "--revision", COMMIT), 78, "the hub has no test/unknown"),
        ((NAME, "--revision", COMMIT[::-1]), 78, "the hub has no test/tiny-bloom at"),
        ((NAME, "--revision", "main"), 2, "commit of 40 hexadecimal characters"),
        ((NAME, "--revision", COMMIT, "-o", "there"), 2, "there exists"),
    ],
)
def test_what_cannot_be_fetched_is_told(typist: Typist, words: tuple[str, ...], code: int, say: str) -> None:
    """No such model, no such commit, a branch instead of a commit, a folder in the way; nothing is left behind."""
    (typist.folder / "there").mkdir()
    done = typist.type("model", "fetch", *words)
    assert done.returncode == code, done.stderr.decode()
    assert say in done.stderr.decode()
    assert done.stdout == b""
    assert [name for name in names(typist.folder) if "tiny" in name or "unknown" in name] == []


def test_quiet_is_quiet(typist: Typist) -> None:
    """The hub's client drew bars of its own."""
    done = typist.type("-q", "model", "fetch", NAME, "--revision", COMMIT)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_model_with_pickles_alone_is_refused(typist: Typist, hub: Hub) -> None:
    """A pickle runs code when it is read."""
    (hub.models[NAME][1] / "model.safetensors").unlink()
    done = typist.type("model", "fetch", NAME, "--revision", COMMIT)
    assert done.returncode == 78, done.stderr.decode()
    assert b"no weights as safetensors" in done.stderr
    assert "tiny-bloom" not in names(typist.folder)


def test_a_hub_that_does_not_answer_is_a_temporary_failure(tmp_path: Path) -> None:
    """Exit code 75 and no address in the words: it may hold a token."""
    # The hub's client waits 23 s between its five tries: they are all made here, and nobody waits.
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep = lambda seconds: None\n")
    typist = Typist(tmp_path, environment={"HF_ENDPOINT": "http://token@127.0.0.1:9", "PYTHONPATH": str(tmp_path)})
    done = typist.type("model", "fetch", NAME, "--revision", COMMIT)
    assert done.returncode == 75, done.stderr.decode()
    assert b"could not be fetched" in done.stderr
    assert b"token" not in done.stderr


def test_a_model_that_names_code_is_saved_without_it_and_not_loaded(typist: Typist, hub: Hub) -> None:
    """The enclave says at its start why it does not load such a model."""
    config = hub.models[NAME][1] / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "modeling_evil.Evil"}}))
    done = typist.type("model", "fetch", NAME, "--revision", COMMIT, "-o", "evil")
    assert done.returncode == 0, done.stderr.decode()
    assert "modeling_evil.py" not in names(typist.folder / "evil")
    with pytest.raises(Exception, match=r"names code to be loaded \(auto_map\)"):
        load_model(typist.folder / "evil")
