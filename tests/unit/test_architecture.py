"""The trusted computing base imports what is on its list, and nothing else."""

import sys
from pathlib import Path

import grimp
import pytest

ALLOWED = {"blake3", "cbor2", "cryptography", "msgpack", "safetensors", "tokenizers", "torch", "transformers"}
TCB = ("wire", "enclave_worker")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports of the trusted computing base."""
    return grimp.build_graph(*TCB, include_external_packages=True)


def imported(graph: grimp.ImportGraph, *, by: str) -> set[str]:
    """Top-level names that the modules of a package import, the standard library's left out."""
    modules = [module for module in graph.modules if module.split(".")[0] == by]
    names = {name.split(".")[0] for module in modules for name in graph.find_modules_directly_imported_by(module)}
    return names - set(sys.stdlib_module_names) - set(TCB)


def test_the_enclave_imports_its_list_and_nothing_else(graph: grimp.ImportGraph) -> None:
    """A new dependency of the enclave is a decision: it stands in this list and in requirements.txt."""
    assert imported(graph, by="enclave_worker") <= ALLOWED
    assert imported(graph, by="wire") == {"cbor2", "cryptography", "msgpack"}


def test_what_the_enclave_imports_is_pinned_with_hashes() -> None:
    """Each line of requirements.txt names one version and at least one digest; the listed packages are all there."""
    text = (ROOT / "enclave_worker" / "requirements.txt").read_text()
    blocks = [block for block in text.replace("\\\n", " ").splitlines() if block and not block.lstrip().startswith("#")]
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)
    pinned = {block.split("==")[0].strip().lower() for block in blocks}
    assert pinned >= ALLOWED
