"""The trusted computing base imports what is on its list, and nothing else."""

import sys

import grimp
import pytest

ALLOWED = {"blake3", "cbor2", "cryptography", "msgpack", "safetensors", "tokenizers", "torch"}
TCB = ("wire", "enclave_worker")


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
    """A new dependency of the enclave is a decision: it stands in this list and among the inputs of the image."""
    assert imported(graph, by="enclave_worker") <= ALLOWED
    assert imported(graph, by="wire") == {"cbor2", "cryptography", "msgpack"}
