"""Rows that run together: their keys and values, their mask, and the token that each comes to next."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel

from enclave_worker.engine import Completion
from enclave_worker.rows import Row
from enclave_worker.sampling import Sampler


@dataclass(frozen=True, slots=True)
class Slot:
    """A row and what chooses its tokens."""

    row: Row
    sampler: Sampler

    def choose(self, logits: torch.Tensor) -> int:
        """The row's next token, given logits [vocabulary]."""
        tokens = self.row.tokens
        return self.sampler.choose(logits, [*self.row.prompt.tokens, *tokens], len(tokens))


class PaddedBatch:
    """Sequences padded on the left to one width. The mask hides the padding, and positions are counted by it."""

    def __init__(
        self, network: PreTrainedModel, slots: Sequence[Slot], mask: torch.Tensor, cache: DynamicCache
    ) -> None:
        self._network = network
        self._slots = list(slots)
        self._mask = mask
        self._cache = cache
        self._last = torch.zeros(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self._slots)

    @classmethod
    def of(cls, network: PreTrainedModel, slots: Sequence[Slot]) -> "PaddedBatch":
        """A batch that has computed nothing yet."""
        return cls(network, slots, torch.zeros(len(slots), 0, dtype=torch.long), DynamicCache(config=network.config))

    def prefill(self, width: int, pad_token: int) -> list[Completion]:
        """Compute the prompts, padded to `width`, and the first token of every row."""
        tokens = torch.full((len(self._slots), width), pad_token, dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for index, slot in enumerate(self._slots):
            prompt = slot.row.prompt.tokens
            tokens[index, width - len(prompt) :] = torch.tensor(list(prompt), dtype=torch.long)
            mask[index, width - len(prompt) :] = 1
        return self._advance(tokens, mask)

    def decode(self) -> list[Completion]:
        """Compute the next token of every row."""
        return self._advance(self._last[:, None], torch.ones(len(self._slots), 1, dtype=torch.long))

    def join(self, other: "PaddedBatch") -> None:
        """Take over the rows of a batch of the same width."""
        for mine, its in zip(self._cache.layers, other._cache.layers, strict=True):  # noqa: SLF001 - of its own kind
            mine.keys = torch.cat([mine.keys, its.keys])
            mine.values = torch.cat([mine.values, its.values])
        self._slots += other._slots  # noqa: SLF001
        self._mask = torch.cat([self._mask, other._mask])  # noqa: SLF001
        self._last = torch.cat([self._last, other._last])  # noqa: SLF001

    def _advance(self, tokens: torch.Tensor, mask: torch.Tensor) -> list[Completion]:
        self._mask = torch.cat([self._mask, mask], dim=1)
        # Bloom takes positions from the mask and no other argument; for others padding must not count.
        positions = {} if self._network.config.model_type == "bloom" else {"position_ids": self._positions(tokens)}
        output = self._network(
            input_ids=tokens,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            # The head is a quarter of a gigabyte and more: only each row's last position goes through it.
            logits_to_keep=1,
            **positions,
        )
        chosen = [slot.choose(output.logits[index, -1]) for index, slot in enumerate(self._slots)]
        ended = [slot.row.add(token) for slot, token in zip(self._slots, chosen, strict=True)]
        self._last = torch.tensor(chosen, dtype=torch.long)
        self._keep(index for index, completion in enumerate(ended) if completion is None)
        return [completion for completion in ended if completion is not None]

    def _positions(self, tokens: torch.Tensor) -> torch.Tensor:
        return (self._mask.cumsum(dim=1) - 1).clamp_min(0)[:, -tokens.shape[1] :]

    def cancel(self, keys: Collection[int]) -> None:
        """Drop the rows of these prompts."""
        self._keep(index for index, slot in enumerate(self._slots) if slot.row.prompt.key not in keys)

    def _keep(self, kept: Iterable[int]) -> None:
        """Drop all other rows. It copies the cache once, as every iteration does anyway when the cache grows."""
        indices = list(kept)
        if len(indices) == len(self._slots):
            return
        self._slots = [self._slots[index] for index in indices]
        rows = torch.tensor(indices, dtype=torch.long)
        self._mask, self._last = self._mask[rows], self._last[rows]
        if indices:
            self._cache.batch_select_indices(rows)
