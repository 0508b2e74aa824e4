"""Bills of materials in CycloneDX: of the Python package by its pins, and of the image by its inputs.

Written from what is pinned and not from what a scanner finds, so that the same commit makes the same bill.
"""

import importlib.metadata
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SCHEMA: Final = SchemaVersion.V1_6
EXTRAS: Final = ("", "auditor", "asker", "reader", "bridge", "parquet", "serve", "nightly", "enclave")
"""The roles of pyproject.toml; the first is what all share."""
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)


class BillError(Exception):
    """What is installed is not what is pinned, or the bill is none by its schema; the text says what."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a bill is of: its version, the commit, and the commit's time in seconds since 1970."""

    version: str
    commit: str
    moment: int


def package_bill(subject: Subject, constraints: str) -> str:
    """The bill of the wheel, with what pip installs beside it on this kind of machine.

    Raises:
        BillError: a package is not installed in the version of `constraints`.
    """
    root = Component(name="sealbatch", version=subject.version, type=ComponentType.APPLICATION, bom_ref="sealbatch")
    root.purl = PackageURL("pypi", name="sealbatch", version=subject.version)
    bom = _bom(root, subject, "package")
    pins: dict[str, str] = {canonicalize_name(name): version for name, version in _PIN.findall(constraints)}
    known: dict[str, Component] = {}
    needed: dict[str, set[str]] = {}
    for extra in EXTRAS:
        todo = [("sealbatch", extra)]
        while todo:
            name, chosen = todo.pop()
            for requirement in _requirements(name, chosen):
                other = canonicalize_name(requirement.name)
                if other == "sealbatch":  # one role within another
                    todo += [(name, inner) for inner in requirement.extras]
                    continue
                needed.setdefault(name, set()).add(other)
                if other not in known:
                    known[other] = _package(requirement, pins, extra)
                    todo += [(other, "")]
                todo += [(other, inner) for inner in requirement.extras]
    for component in known.values():
        bom.components.add(component)
    for name, others in needed.items():
        bom.register_dependency(known.get(name, root), [known[other] for other in sorted(others)])
    return _written(bom)


def image_bill(subject: Subject, inputs: dict[str, Any]) -> str:
    """The bill of the enclave image, with the SHA-256 of every file that it was made of."""
    root = Component(
        name="sealbatch.eif", version=subject.version, type=ComponentType.FIRMWARE, bom_ref="sealbatch.eif"
    )
    bom = _bom(root, subject, "image")
    for kind, ecosystem, namespace in (("debian", "deb", "debian"), ("wheels", "pypi", None)):
        for pin in inputs[kind]:
            component = Component(
                name=pin["name"], version=pin["version"], type=ComponentType.LIBRARY, bom_ref=pin["file"]
            )
            component.purl = PackageURL(ecosystem, namespace, pin["name"], pin["version"])
            component.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=pin["sha256"]))
            component.properties.add(Property(name="sealbatch:file", value=pin["file"]))
            bom.components.add(component)
    bom.register_dependency(root, list(bom.components))
    return _written(bom)


def _bom(root: Component, subject: Subject, kind: str) -> Bom:
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, f"sealbatch {kind} {subject.version} {subject.commit}"))
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(subject.moment, UTC)
    bom.metadata.properties.add(Property(name="sealbatch:commit", value=subject.commit))
    return bom


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        of_extra = requirement.marker is not None and requirement.marker.evaluate({"extra": extra})
        if plain if extra == "" else of_extra and not plain:
            yield requirement


def _package(requirement: Requirement, pins: dict[str, str], extra: str) -> Component:
    """A package in its pinned version; one that nobody pins (what torch brings) has none: it changes by itself."""
    name = canonicalize_name(requirement.name)
    exact = {pin.version for pin in requirement.specifier if pin.operator == "=="}
    pinned = pins.get(name) or (exact.pop() if exact else None)
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        raise BillError(f"{name} is not installed; `make release` installs what a bill is made from") from None
    installed = metadata["Version"].partition("+")[0]  # without the kind of machine that torch was built for
    if pinned is not None and pinned != installed:
        raise BillError(f"{name} {installed} is installed, and constraints.txt says {pinned}")
    component = Component(name=name, version=pinned, type=ComponentType.LIBRARY, bom_ref=name)
    component.purl = PackageURL("pypi", name=name, version=pinned)
    component.scope = ComponentScope.OPTIONAL if extra else ComponentScope.REQUIRED
    if extra:
        component.properties.add(Property(name="sealbatch:extra", value=extra))
    component.licenses.update(_licenses(metadata))
    return component


def _licenses(metadata: Any) -> Iterable[LicenseExpression | DisjunctiveLicense]:
    if expression := metadata.get("License-Expression"):
        return [LicenseExpression(expression)]
    named = [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", ()) if line.startswith("License :: ")
    ]
    text = (metadata.get("License") or "").strip()
    if not named and text and len(text) <= 64 and "\n" not in text:
        named = [text]
    return [DisjunctiveLicense(name=name) for name in named]


def _written(bom: Bom) -> str:
    """As JSON that its schema admits.

    Raises:
        BillError: it does not.
    """
    text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    if (fault := JsonStrictValidator(SCHEMA).validate_str(text)) is not None:
        raise BillError(f"the bill is none by its schema: {fault}")
    return text + "\n"


def read_inputs(path: Path) -> dict[str, Any]:
    """The pinned inputs of the image."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
