"""The engine: every step computes the next token of all running sequences, and some tokens of prompts beside them.

Sequences come and go between steps. A step has at most `STEP_ROWS` rows: a token for each answer, and what is left for
prompts in the order of their arrival. So a long prompt never holds up an answer by more than its share of a step.
"""

from collections.abc import Collection
from collections.abc import Sequence as Tokens
from typing import Final

import torch

from enclave_worker.bloom.cache import PAGE, Cache
from enclave_worker.bloom.load import LoadedBloom
from enclave_worker.bloom.network import Network
from enclave_worker.bloom.operations import Spans
from enclave_worker.bloom.pages import PagePool
from enclave_worker.bloom.sequence import Sequence
from enclave_worker.engine import Completion, Prompt, Room
from enclave_worker.rows import Row

STEP_ROWS: Final = 256
"""Tokens that a step computes at most, unless more answers than that are running."""
LOGITS_ROWS: Final = 8
"""Rows whose logits are held at a time for sequences that are sampled: a megabyte each with Bloom's vocabulary."""


class BloomEngine:
    """See `Engine`. `max_positions` bounds the cache; it is taken from the system page by page as it is used."""

    def __init__(self, model: LoadedBloom, *, max_sequences: int, max_positions: int) -> None:
        if max_positions < model.context_length:
            raise ValueError(f"max_positions is below the context of {model.context_length}")
        self.model_name = model.manifest.name
        self.model_digest = model.manifest.digest
        self.context_length = model.context_length
        self._model = model
        self._max_sequences = max_sequences
        self._page_count = -(-max_positions // PAGE)
        self._cache: Cache = model.network.make_cache(self._page_count)
        self._pages = PagePool(self._page_count)
        self._running: dict[int, Sequence] = {}

    @property
    def network(self) -> Network:
        """What computes: for measurements."""
        return self._model.network

    def tokenize(self, prompt: str) -> Tokens[int]:
        """See `Engine.tokenize`."""
        tokens: list[int] = self._model.tokenizer.encode(prompt, add_special_tokens=False).ids
        return tokens

    def room(self) -> Room:
        """See `Engine.room`."""
        free = self._page_count - self._pages.used
        return Room(max(0, self._max_sequences - len(self._running)), free * PAGE, PAGE)

    def admit(self, prompts: Tokens[Prompt]) -> None:
        """See `Engine.admit`."""
        if not self.room().holds(prompts):
            raise ValueError("more sequences than there is room for")
        for prompt in prompts:
            lease = self._pages.lease(prompt.scope, prompt.tokens, prompt.positions)
            if lease is None:
                raise AssertionError("sharing never takes more pages than not sharing")
            row = Row(prompt, self._decode_text, self._model.end_tokens)
            self._running[prompt.key] = Sequence(prompt, row, lease)

    def cancel(self, keys: Collection[int]) -> None:
        """See `Engine.cancel`. A prompt that others may share a page with is computed to its end first."""
        for key in keys:
            sequence = self._running.get(key)
            if sequence is not None:
                sequence.cancelled = True
                if not sequence.prefilling:
                    self._end(sequence)

    def busy(self) -> bool:
        """See `Engine.busy`."""
        return bool(self._running)

    def reset(self) -> None:
        """See `Engine.reset`. What the cache holds may be half computed, so nothing of it is shared any more."""
        self._running.clear()
        self._pages = PagePool(self._page_count)

    def step(self) -> list[Completion]:
        """See `Engine.step`."""
        batch = self._batch()
        if not batch:
            return []
        with torch.inference_mode():
            output = self._forward(batch)
            ready = [(row, sequence) for row, sequence in self._last_rows(batch) if not sequence.prefilling]
            tokens = self._choose(output, [(row, sequence) for row, sequence in ready if not sequence.cancelled])
        completions = []
        for _, sequence in ready:
            completion = None if sequence.cancelled else sequence.add(tokens[sequence.prompt.key])
            if completion is not None or sequence.cancelled:
                self._end(sequence)
            if completion is not None:
                completions.append(completion)
        return completions

    def _end(self, sequence: Sequence) -> None:
        del self._running[sequence.prompt.key]
        self._pages.release(sequence.lease)

    def _batch(self) -> list[tuple[Sequence, int, Tokens[int]]]:
        """Who computes which tokens in this step: sequence, position of the first, tokens."""
        running = list(self._running.values())
        batch = [
            (sequence, sequence.position, sequence.next_tokens(1)) for sequence in running if not sequence.prefilling
        ]
        left = STEP_ROWS - len(batch)
        # In the order of their arrival: pages that a later prompt shares are computed by then, or in this same step.
        for sequence in running:
            if left <= 0:
                break
            if sequence.prefilling:
                position, tokens = sequence.position, sequence.next_tokens(left)
                batch.append((sequence, position, tokens))
                left -= len(tokens)
        return batch

    def _forward(self, batch: list[tuple[Sequence, int, Tokens[int]]]) -> torch.Tensor:
        spans: list[list[int]] = []
        tables: list[int] = []
        tokens: list[int] = []
        for sequence, position, some in batch:
            spans.append([len(tokens), len(some), position, len(tables)])
            tables += sequence.lease.pages
            tokens += some
        numbers = Spans(torch.tensor(spans, dtype=torch.int32), torch.tensor(tables, dtype=torch.int32))
        return self._model.network.forward(torch.tensor(tokens), numbers, self._cache)

    @staticmethod
    def _last_rows(batch: list[tuple[Sequence, int, Tokens[int]]]) -> list[tuple[int, Sequence]]:
        rows, last = [], -1
        for sequence, _, some in batch:
            last += len(some)
            rows.append((last, sequence))
        return rows

    def _choose(self, output: torch.Tensor, ready: list[tuple[int, Sequence]]) -> dict[int, int]:
        """The next token of each sequence, by its key."""
        greedy = [(row, sequence) for row, sequence in ready if sequence.sampler is None]
        sampled = [(row, sequence) for row, sequence in ready if sequence.sampler is not None]
        chosen: dict[int, int] = {}
        if greedy:
            tokens = self._model.network.greedy(output[[row for row, _ in greedy]]).tolist()
            chosen.update((sequence.prompt.key, token) for (_, sequence), token in zip(greedy, tokens, strict=True))
        for start in range(0, len(sampled), LOGITS_ROWS):
            some = sampled[start : start + LOGITS_ROWS]
            logits = self._model.network.logits(output[[row for row, _ in some]])
            for (_, sequence), line in zip(some, logits, strict=True):
                assert sequence.sampler is not None  # noqa: S101 - by the choice of `sampled`
                chosen[sequence.prompt.key] = sequence.sampler.choose(line, sequence.tokens, sequence.place)
        return chosen

    def _decode_text(self, tokens: Tokens[int]) -> str:
        text: str = self._model.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text
