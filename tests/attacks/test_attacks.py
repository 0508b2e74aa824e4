"""Every attack ends in detection or in no effect, and the parent has read nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import attacks_on_frames
import attacks_on_keys
import attacks_on_objects
import attacks_on_receipts
import attacks_on_the_host
import pytest
from hostile import Stage
from registry import ATTACKS

from devstack.stack import Stack, StackOptions

MODULES = (attacks_on_objects, attacks_on_keys, attacks_on_receipts, attacks_on_frames, attacks_on_the_host)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stack for all attacks: what one leaves behind is the next one's world."""
    with Stack(tmp_path_factory.mktemp("attacks") / "stack", StackOptions(bridge=False)) as stack:
        yield Stage(stack)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_caught_or_has_no_effect(stage: Stage, name: str) -> None:
    """The body of each attack is the check."""
    verdict = ATTACKS[name](stage)
    assert verdict.happened
    assert verdict.caught


def test_no_question_was_readable_for_the_parent(stage: Stage) -> None:
    """After all attacks: no canary in any frame, object, log or file."""
    assert len(stage.canaries) > 40
    assert stage.seen
    assert stage.leaks() == []


def test_the_threat_model_names_attacks_and_tests_that_exist() -> None:
    """Each row shows what tests it, by a name that is there."""
    root = Path(__file__).resolve().parents[2]
    rows = (root / "docs" / "threat_model.md").read_text().partition("and what stops it")[2].partition("## ")[0]
    named = [
        name for row in rows.splitlines() if row.startswith("|") for name in re.findall(r"`([^`]+)`", row.split("|")[3])
    ]
    assert len(named) > 60
    missing = [name for name in named if name not in ATTACKS and not list((root / "tests").rglob(name))]
    assert missing == []


def test_there_are_attacks_enough() -> None:
    """Forty at least, in the five places that a parent can reach."""
    assert len(ATTACKS) >= 40
    assert len(MODULES) == 5
