"""The next token of one sequence, from its logits.

Chance is a function of the sequence's seed and the token's place in the answer, so an answer depends neither on what
else is computed nor on where it was taken up again.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import torch

from enclave_worker.engine import SamplingParams

FIRST_LOOK: Final = 256
"""Likeliest tokens that are looked at for a nucleus before more are; most nuclei are smaller."""


class Sampler:
    """Chooses tokens for one sequence by temperature, top-k, nucleus and repetition penalty."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params

    def choose(self, logits: torch.Tensor, before: Sequence[int], place: int) -> int:
        """The token at `place` of the answer, given logits [vocabulary] and all tokens before it, the prompt's too."""
        params = self._params
        logits = logits.double()
        if params.repetition_penalty != 1:
            logits = _penalized(logits, before, params.repetition_penalty)
        if params.temperature == 0:
            return int(logits.argmax())
        logits = logits / params.temperature
        if params.top_k == 0 and params.top_p >= 1:
            tokens, weights = None, torch.softmax(logits, dim=-1)
        else:
            tokens, weights = _likeliest(logits, params.top_k, params.top_p)
        reached = weights.cumsum(dim=-1)
        index = int(torch.searchsorted(reached, _uniform(params.seed, place) * reached[-1], right=True))
        index = min(index, len(reached) - 1)
        return index if tokens is None else int(tokens[index])


def _penalized(logits: torch.Tensor, before: Sequence[int], penalty: float) -> torch.Tensor:
    seen = torch.tensor(sorted(set(before)), dtype=torch.long)
    values = logits[seen]
    logits = logits.clone()
    logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
    return logits


def _likeliest(logits: torch.Tensor, top_k: int, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens that stay, likeliest first, and their weights.

    The nucleus is the fewest tokens whose share reaches `top_p`, the likeliest one always among them.
    """
    size = len(logits)
    count = min(top_k or FIRST_LOOK, size)
    while True:
        values, tokens = logits.topk(count)
        # With top-k the nucleus is one of what top-k left, else of all.
        total = values.logsumexp(0) if top_k else logits.logsumexp(0)
        shares = (values - total).exp()
        inside = shares.cumsum(0) - shares < top_p
        inside[0] = True
        if top_k or count == size or not bool(inside[-1]):
            return tokens[inside], shares[inside]
        count = min(4 * count, size)


def _uniform(seed: int, place: int) -> float:
    """A number from 0 up to but not 1, with 53 random bits."""
    digest = hashlib.sha256(seed.to_bytes(8, "big") + place.to_bytes(8, "big")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
