"""Makes questions out of the phrasings in `data/`: a story, the question, a farewell, in endless variety.

In a phrasing `(a|b)` is a choice and `{word}` a slot of `data/slots.toml`. The last phrasing of every topic is held
out: it is never trained on, and measures whether a question in other words still gets its answer.
"""

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).resolve().parent / "data"
TOPIC_FILES: Final = ("health.toml", "leave.toml", "retirement.toml", "fallback.toml")
HELD_OUT: Final = 1

_CHOICE: Final = re.compile(r"\(([^()]*)\)")
_SLOT: Final = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing that people ask about, the ways to ask it, what they say before, and its one answer."""

    name: str
    answer: str
    lead: tuple[str, ...]
    ask: tuple[str, ...]


class Corpus:
    """All topics, and the words around them."""

    def __init__(self) -> None:
        self._slots: dict[str, list[str]] = _read("slots.toml")
        self._around: dict[str, list[str]] = _read("stories.toml")
        self.topics = tuple(
            Topic(name, fields["answer"], tuple(fields["lead"]), tuple(fields["ask"]))
            for file in TOPIC_FILES
            for name, fields in _read(file).items()
        )

    def question(self, topic: Topic, rng: random.Random) -> str:
        """A question in a phrasing that is trained on, with a story around it more often than not."""
        return self._tell(topic, rng.choice(topic.ask[:-HELD_OUT]), rng)

    def held_out(self, topic: Topic, rng: random.Random) -> str:
        """A question in a phrasing that is never trained on."""
        return self._tell(topic, rng.choice(topic.ask[-HELD_OUT:]), rng)

    def _tell(self, topic: Topic, phrasing: str, rng: random.Random) -> str:
        before = [self._around["before"]] * rng.choice((0, 0, 1, 1, 2, 3))
        parts = [rng.choice(phrasings) for phrasings in before]
        if rng.random() < 0.5:
            parts.append(rng.choice(topic.lead))
        parts.append(phrasing)
        if rng.random() < 0.25:
            parts.append(rng.choice(self._around["after"]))
        text = " ".join(self._expand(part, rng) for part in parts)
        return text.lower() if rng.random() < 0.05 else text

    def _expand(self, phrasing: str, rng: random.Random) -> str:
        text = phrasing
        while (choice := _CHOICE.search(text)) is not None:
            text = text[: choice.start()] + rng.choice(choice[1].split("|")) + text[choice.end() :]
        text = _SLOT.sub(lambda slot: rng.choice(self._slots[slot[1]]), text)
        return re.sub(r" +([?.,])", r"\1", re.sub(r" {2,}", " ", text)).strip()


def _read(file: str) -> dict[str, Any]:
    return tomllib.loads((DATA / file).read_text(encoding="utf-8"))
