"""One sequence in a batch: what it has generated so far, and when it is finished."""

from collections.abc import Callable, Sequence
from typing import Final

from enclave_worker.engine import Completion, FinishReason, Prompt

REPLACEMENT: Final = "\ufffd"
MAX_UTF8: Final = 4

Decode = Callable[[Sequence[int]], str]


class Row:
    """Generated tokens of one prompt. `decode` turns token ids into text and skips special tokens."""

    def __init__(self, prompt: Prompt, decode: Decode, end_tokens: frozenset[int]) -> None:
        self.prompt = prompt
        self._decode = decode
        self._end_tokens = end_tokens
        self._tokens: list[int] = []
        # A stop string has at most this many bytes and each token at least one: it lies within that many last tokens,
        # and some more for a character that the cut splits.
        longest = max((len(stop.encode()) for stop in prompt.params.stop), default=0)
        self._tail = longest + MAX_UTF8

    @property
    def tokens(self) -> Sequence[int]:
        """The answer so far."""
        return self._tokens

    def add(self, token: int) -> Completion | None:
        """Take the next token; the completion when it is the last one."""
        self._tokens.append(token)
        if token in self._end_tokens:
            return self._finish("stop", self._tokens[:-1])
        if self._stopped():
            return self._finish("stop", self._tokens)
        if len(self._tokens) >= self.prompt.params.max_tokens:
            return self._finish("length", self._tokens)
        return None

    def _stopped(self) -> bool:
        if not self.prompt.params.stop:
            return False
        tail = self._decode(self._tokens[-self._tail :])
        return any(stop in tail for stop in self.prompt.params.stop)

    def _finish(self, reason: FinishReason, tokens: Sequence[int]) -> Completion:
        text = self._decode(tokens)
        found = [place for stop in self.prompt.params.stop if (place := text.find(stop)) >= 0]
        # A cut may fall inside a character, whose first bytes decode to replacement characters at the end.
        text = text[: min(found)] if found else text.rstrip(REPLACEMENT)
        return Completion(self.prompt.key, text.lstrip(" "), reason, len(self._tokens))
