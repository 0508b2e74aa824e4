"""Reads deploy/template.yaml with CloudFormation's short forms, each as its bare value."""

from typing import Any

import yaml

from devstack.provision import TEMPLATE


class _Loader(yaml.SafeLoader):
    """Safe, and knows `!Ref` and its kin."""


def _short_form(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node)


_Loader.add_multi_constructor("!", _short_form)


def resources() -> dict[str, Any]:
    """The template's resources by name."""
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)["Resources"]  # noqa: S506
    return found
