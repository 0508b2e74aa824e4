"""The four workloads, made anew from a fixed seed: the same requests on every machine and for every engine."""

import math
import random
from dataclasses import dataclass
from typing import Final

SEED: Final = 20261125
VOCABULARY: Final = 250_680
"""Tokens that text can have; the matrix of bloom-560m has 200 rows more."""
FIRST_TOKEN: Final = 4
"""Tokens below are Bloom's special ones."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt in token ids, and the exact length of its answer in tokens."""

    prompt: tuple[int, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal lengths in tokens, clipped to `low` and `high`; `total` over all requests is exact."""

    low: int
    high: int
    total: int
    spread: float = 0.6

    def draw(self, count: int, rng: random.Random) -> list[int]:
        """`count` lengths."""
        centre = math.log(self.total / count) - self.spread**2 / 2
        lengths = [min(max(round(rng.lognormvariate(centre, self.spread)), self.low), self.high) for _ in range(count)]
        while (missing := self.total - sum(lengths)) != 0:
            place = rng.randrange(count)
            moved = lengths[place] + (1 if missing > 0 else -1)
            lengths[place] = min(max(moved, self.low), self.high)
        return lengths


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: `count` requests with a common beginning of `prefix` tokens and prompts of their own."""

    name: str
    title: str
    count: int
    prefix: int
    prompts: Lengths
    answers: Lengths

    def describe(self) -> dict[str, int | str]:
        """What a reader of the results must know of it; totals in tokens."""
        return {
            "title": self.title,
            "requests": self.count,
            "shared_prefix": self.prefix,
            "own_prompt_tokens": self.prompts.total,
            "answer_tokens": self.answers.total,
        }

    def requests(self, vocabulary: int = VOCABULARY) -> list[Request]:
        """All requests, in the order of arrival; their tokens are below `vocabulary`."""
        rng = random.Random(f"{SEED}/{self.name}")

        def token() -> int:
            return rng.randrange(FIRST_TOKEN, vocabulary)

        common = [token() for _ in range(self.prefix)]
        prompts = self.prompts.draw(self.count, rng)
        answers = self.answers.draw(self.count, rng)
        return [
            Request((*common, *(token() for _ in range(prompt))), answer)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("first", "64 requests", 64, 64, Lengths(20, 200, 4480), Lengths(16, 128, 3084)),
        Workload("answers", "32 requests, long answers", 32, 64, Lengths(20, 100, 1600), Lengths(96, 384, 6144)),
        Workload("prompts", "32 requests, long prompts", 32, 64, Lengths(256, 1400, 16384), Lengths(8, 48, 640)),
        Workload("many", "2,000 requests", 2000, 64, Lengths(10, 100, 60_000), Lengths(4, 32, 20_000)),
    )
}
