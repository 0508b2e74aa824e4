"""The engine for all but Bloom: static padded batches through transformers, with a decoding loop of our own.

What is admitted runs in batches of its like, the shortest first, each padded on the left to its longest prompt. One
`step` is one iteration: first the prompts, some rows at a time so that no step takes long, then one token for every
row. Finished rows leave the batch at once.
"""

from collections.abc import Collection, Sequence
from typing import Final

import torch

from devstack.transformers_engine.loader import LoadedModel
from devstack.transformers_engine.padded_batch import PaddedBatch, Slot
from enclave_worker.engine import Completion, Prompt, Room
from enclave_worker.rows import Row
from enclave_worker.sampling import Sampler

PREFILL_POSITIONS: Final = 2048
"""Positions of prompts that one step computes, padding included, unless a single prompt is longer."""


class TransformersEngine:
    """Greedy or sampled generation in fp32. `max_sequences` and `max_positions` bound the memory of a batch."""

    def __init__(self, model: LoadedModel, *, max_sequences: int, max_positions: int) -> None:
        if max_positions < model.context_length:
            raise ValueError(f"max_positions is below the context of {model.context_length}")
        self.model_name = model.manifest.name
        self.model_digest = model.manifest.digest
        self.context_length = model.context_length
        self._model = model
        self._capacity = Room(max_sequences, max_positions)
        self._waiting: list[Prompt] = []
        self._pending: list[Prompt] = []
        self._width = 0
        self._batch: PaddedBatch | None = None

    def tokenize(self, prompt: str) -> list[int]:
        """See `Engine.tokenize`."""
        tokens: list[int] = self._model.tokenizer.encode(prompt, add_special_tokens=False).ids
        return tokens

    def room(self) -> Room:
        """See `Engine.room`: all or, while anything runs, nothing."""
        return Room(0, 0) if self.busy() else self._capacity

    def admit(self, prompts: Sequence[Prompt]) -> None:
        """See `Engine.admit`."""
        if not self.room().holds(prompts):
            raise ValueError("more sequences than there is room for")
        self._waiting = sorted(prompts, key=lambda prompt: prompt.positions)

    def step(self) -> list[Completion]:
        """See `Engine.step`."""
        if self._batch is None and not self._pending:
            self._begin()
        with torch.inference_mode():
            completions = self._prefill() if self._pending else self._decode()
        if self._batch is not None and not len(self._batch):
            self._batch = None
        return completions

    def cancel(self, keys: Collection[int]) -> None:
        """See `Engine.cancel`."""
        self._waiting = [prompt for prompt in self._waiting if prompt.key not in keys]
        self._pending = [prompt for prompt in self._pending if prompt.key not in keys]
        if self._batch is not None:
            self._batch.cancel(keys)
            if not len(self._batch):
                self._batch = None

    def busy(self) -> bool:
        """See `Engine.busy`."""
        return bool(self._waiting or self._pending) or self._batch is not None

    def reset(self) -> None:
        """See `Engine.reset`."""
        self._waiting, self._pending = [], []
        self._batch = None

    def _begin(self) -> None:
        """The next batch: the shortest that wait, as many as fit when each takes the room of the longest."""
        most = self._capacity.positions
        count = sum(place * prompt.positions <= most for place, prompt in enumerate(self._waiting, 1))
        self._pending, self._waiting = self._waiting[:count], self._waiting[count:]
        self._width = max((len(prompt.tokens) for prompt in self._pending), default=0)

    def _prefill(self) -> list[Completion]:
        count = max(1, PREFILL_POSITIONS // self._width)
        prompts, self._pending = self._pending[:count], self._pending[count:]
        batch = PaddedBatch.of(self._model.network, [self._slot(prompt) for prompt in prompts])
        completions = batch.prefill(self._width, self._model.pad_token)
        if len(batch) and self._batch is not None and len(self._batch):
            self._batch.join(batch)
        elif len(batch):
            self._batch = batch
        return completions

    def _decode(self) -> list[Completion]:
        return [] if self._batch is None else self._batch.decode()

    def _slot(self, prompt: Prompt) -> Slot:
        return Slot(Row(prompt, self._decode_text, self._model.end_tokens), Sampler(prompt.params))

    def _decode_text(self, tokens: Sequence[int]) -> str:
        text: str = self._model.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text
