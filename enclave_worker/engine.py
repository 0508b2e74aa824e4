"""What the rest of the enclave knows of a model: tokens in, text out, one iteration at a time."""

import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "poison"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one answer is generated; temperature 0 is greedy, and then `top_k`, `top_p` and `seed` say nothing.

    `top_k` 0 and `top_p` 1 leave all tokens in. `repetition_penalty` above 1 makes tokens that the prompt or the answer
    holds less likely (Keskar et al. 2019, as in transformers).
    """

    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    top_k: int = 0
    repetition_penalty: float = 1.0

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken as the model sees it."""
        return self.temperature == 0 and self.repetition_penalty == 1


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sequence to complete: `key` is the caller's name for it.

    Sequences of one `scope` may share what they have in common, and identical ones an answer. It is
    `wire.keys.sharing_scope`, since a parent can claim a `tenant` for questions of its own, and time what is shared.
    """

    key: int
    tokens: Sequence[int]
    params: SamplingParams
    tenant: str = ""
    scope: bytes = b""

    @property
    def positions(self) -> int:
        """Places in the context that prompt and answer take at most."""
        return len(self.tokens) + self.params.max_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished sequence. `stop`: by the model's end token or a stop string, which is cut off; `length`: by limit.

    `poison`: not at all, since the engine fails whenever it runs this sequence; `text` is empty then.
    """

    key: int
    text: str
    finish_reason: FinishReason
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Room:
    """What may be admitted now: so many sequences, each of which takes its positions in whole pages of `page`."""

    sequences: int
    positions: int
    page: int = 1

    def less(self, prompt: Prompt) -> "Room":
        """What is left when `prompt` is admitted; negative where it does not fit."""
        taken = -(-prompt.positions // self.page) * self.page
        return Room(self.sequences - 1, self.positions - taken, self.page)

    def holds(self, prompts: Iterable[Prompt]) -> bool:
        """Whether all of `prompts` may be admitted together."""
        left = functools.reduce(Room.less, prompts, self)
        return left.sequences >= 0 and left.positions >= 0


class Poisonous(Exception):  # noqa: N818 - what the text is
    """The engine fails whenever it is given this text."""


class Engine(Protocol):
    """A model that generates for several sequences at once. One thread drives it; `tokenize` is open to all."""

    @property
    def model_name(self) -> str:
        """The name in the model's manifest."""
        ...

    @property
    def model_digest(self) -> bytes:
        """SHA-256 of the model's manifest."""
        ...

    @property
    def context_length(self) -> int:
        """Positions of one sequence at most, prompt and answer together."""
        ...

    def tokenize(self, prompt: str) -> Sequence[int]:
        """The token ids of a prompt; text that looks like a special token is text.

        Raises:
            Poisonous: there are none to be had.
        """
        ...

    def room(self) -> Room:
        """What may be admitted now. An idle engine has room for any one sequence within the context."""
        ...

    def admit(self, prompts: Sequence[Prompt]) -> None:
        """Take sequences within `room()`."""
        ...

    def step(self) -> list[Completion]:
        """One iteration for all admitted sequences; returns those that finished by it."""
        ...

    def cancel(self, keys: Collection[int]) -> None:
        """Forget these sequences, those of them that are admitted; they complete no more."""
        ...

    def busy(self) -> bool:
        """Whether admitted sequences are unfinished."""
        ...

    def reset(self) -> None:
        """Forget all admitted sequences, after an error."""
        ...
