"""The short run of `make fuzz`: the kept corpus and seeded changes of it, and nothing but the parser's own error."""

import contextlib
import random
import resource

import corpus
import pytest
from targets import TARGETS

CHANGES = 1500
MAX_GROWTH_KB = 256 * 1024


def mutated(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """`data` with one to four of a fuzzer's usual changes."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << dice.randrange(8)
            case 1 if at < len(changed):
                changed[at] = dice.choice((0, 1, 0x7F, 0x80, 0x90, 0xC0, 0xDD, 0xDF, 0xFF))
            case 2:
                del changed[at : at + dice.randint(1, 64)]
            case 3:
                changed[at:at] = dice.randbytes(dice.randint(1, 16))
            case 4:
                changed[at:at] = changed[at : at + dice.randint(1, 64)] * dice.randint(1, 8)
            case 5:
                changed[at : at + 4] = dice.choice((0, 1, 255, 65_536, 2**31, 2**32 - 1)).to_bytes(4, "big")
            case _:
                other = dice.choice(others)
                changed[at:] = other[dice.randrange(len(other) + 1) :]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_raises_its_one_error_and_stays_small(name: str) -> None:
    """True samples parse; what is kept and what is made of it parses or raises the error; memory does not grow."""
    target = TARGETS[name]
    for seed in target.seeds:
        target.parse(seed)
    inputs = [*target.seeds, *corpus.load(name)]
    dice = random.Random(f"sealbatch {name}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(len(inputs) + CHANGES):
        data = inputs[number] if number < len(inputs) else mutated(dice.choice(inputs), inputs, dice)
        with contextlib.suppress(*target.errors):
            target.parse(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KB


def test_every_target_has_a_kept_corpus() -> None:
    """`make fuzz` keeps what it found."""
    assert {name for name in TARGETS if not corpus.load(name)} == set()
