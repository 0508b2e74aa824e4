"""What the rest of the enclave knows of a model: tokens in, text out, one iteration at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "poison"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one answer is generated; temperature 0 is greedy, and then `top_p` and `seed` say nothing."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sequence to complete: `key` is the caller's name for it."""

    key: int
    tokens: Sequence[int]
    params: SamplingParams

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
    """What may be admitted now: `sequences`, and `positions` counted as if each took as many as the longest."""

    sequences: int
    positions: int


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

    def busy(self) -> bool:
        """Whether admitted sequences are unfinished."""
        ...

    def reset(self) -> None:
        """Forget all admitted sequences, after an error."""
        ...
