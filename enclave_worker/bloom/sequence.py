"""One sequence on its way through the engine."""

from collections.abc import Sequence as Tokens

from enclave_worker.bloom.pages import Lease
from enclave_worker.engine import Completion, Prompt
from enclave_worker.rows import Row
from enclave_worker.sampling import Sampler


class Sequence:
    """A prompt, the pages that it holds, and how many of its tokens the cache knows."""

    def __init__(self, prompt: Prompt, row: Row, lease: Lease) -> None:
        self.prompt = prompt
        self.lease = lease
        self.sampler = None if prompt.params.greedy else Sampler(prompt.params)
        self.cancelled = False
        self._row = row
        self._tokens = list(prompt.tokens)
        self._computed = lease.shared

    @property
    def prefilling(self) -> bool:
        """Whether tokens of the prompt are still to be computed."""
        return self._computed < len(self.prompt.tokens)

    @property
    def position(self) -> int:
        """Of the next token to compute."""
        return self._computed

    def next_tokens(self, most: int) -> Tokens[int]:
        """Up to `most` tokens that are to be computed next; their keys and values come into the cache by it."""
        taken = self._tokens[self._computed : self._computed + most]
        self._computed += len(taken)
        return taken

    @property
    def tokens(self) -> Tokens[int]:
        """Those of the prompt and of the answer so far."""
        return self._tokens

    @property
    def place(self) -> int:
        """Of the next token in the answer, counted from 0."""
        return len(self._tokens) - len(self.prompt.tokens)

    def add(self, token: int) -> Completion | None:
        """Take the next token of the answer; the completion when it is the last one."""
        self._tokens.append(token)
        return self._row.add(token)
