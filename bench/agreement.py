"""How many answers of a contender are those of transformers' fp32 `generate`: that it computes this model at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from bench.workload import Request

REPLACEMENT: Final = "\ufffd"


class Agreement:
    """Remembers the reference's answers by request. Answers in tokens and in text compare as text."""

    def __init__(self, model: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self._expected: dict[Request, str] = {}

    def learn(self, requests: Sequence[Request], answers: Sequence[Mapping[str, Any]]) -> None:
        """Take these answers as the reference's."""
        self._expected |= zip(requests, map(self._text, answers), strict=True)

    def compare(self, requests: Sequence[Request], answers: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Equal answers, and how many have a reference."""
        pairs = [
            (self._expected[request], self._text(answer))
            for request, answer in zip(requests, answers, strict=True)
            if request in self._expected
        ]
        return sum(expected == text for expected, text in pairs), len(pairs)

    def _text(self, answer: Mapping[str, Any]) -> str:
        """As the enclave gives it: no blank before, and no half of a character at the end."""
        text: str = answer["text"] if "text" in answer else self._tokenizer.decode(answer["tokens"])
        return text.rstrip(REPLACEMENT).lstrip(" ")
