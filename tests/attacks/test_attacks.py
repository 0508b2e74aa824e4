"""Every attack ends in detection or in no effect, and the parent has read nothing."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import attacks_on_frames
import attacks_on_keys
import attacks_on_objects
import attacks_on_receipts
import attacks_on_the_host
import attacks_on_the_services
import attacks_on_the_wire
import pytest
from hostile import Stage
from registry import ATTACKS

from devstack.stack import Stack, StackOptions

MODULES = (
    attacks_on_objects,
    attacks_on_keys,
    attacks_on_receipts,
    attacks_on_frames,
    attacks_on_the_host,
    attacks_on_the_services,
    attacks_on_the_wire,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stack for all attacks: what one leaves behind is the next one's world."""
    with Stack(tmp_path_factory.mktemp("attacks") / "stack", StackOptions(bridge=False)) as stack:
        stage = Stage(stack)
        yield stage
        stage.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_caught_or_has_no_effect(stage: Stage, name: str) -> None:
    """The body of each attack is the check."""
    stage.begin()
    verdict = ATTACKS[name](stage)
    assert verdict.happened
    assert verdict.caught


def test_no_question_was_readable_for_the_parent(stage: Stage) -> None:
    """After all attacks: no canary in any frame, message, object, log or file; one that is planted is found."""
    stage.close()
    assert stage.canaries
    assert stage.seen
    assert stage.leaks() == []
    word, queue = stage.canaries[0].encode(), stage.config.resources.queue_url
    stage.put("planted", word.hex().encode())
    stage.seen.append(word)
    # The receive of a bridge that was killed may still wait in the stand-in and take a message with it, each one.
    for _ in range(20):
        stage.client("sqs").send_message(QueueUrl=queue, MessageBody=base64.b64encode(b"x" + word).decode())
        if "message" in (found := {where.partition(" ")[0] for where in stage.leaks()}):
            break
    assert found == {"a", "message", "object"}


def test_the_threat_model_names_attacks_and_tests_that_exist() -> None:
    """Each row shows what tests it, by a name that is there; and every attack stands in a row."""
    root = Path(__file__).resolve().parents[2]
    page = root / "docs" / "explanation" / "threat_model.md"
    rows = page.read_text().partition("and what stops it")[2].partition("## ")[0]
    named = [
        name for row in rows.splitlines() if row.startswith("|") for name in re.findall(r"`([^`]+)`", row.split("|")[3])
    ]
    assert len(named) > 60
    missing = [name for name in named if name not in ATTACKS and not list((root / "tests").rglob(name))]
    assert missing == []
    assert sorted(set(ATTACKS) - set(named)) == []


def test_there_are_attacks_enough() -> None:
    """Forty at least, from each of the seven places that a parent can stand in."""
    assert len(ATTACKS) >= 40
    assert len(MODULES) == 7
