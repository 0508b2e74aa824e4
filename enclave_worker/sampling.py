"""The next token of one sequence, from its logits."""

import torch

from enclave_worker.engine import SamplingParams


class Sampler:
    """Greedy at temperature 0; otherwise by temperature and nucleus, from a generator of the sequence's own.

    The generator belongs to one sequence, so an answer does not depend on what else is in the batch.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._temperature = params.temperature
        self._top_p = params.top_p
        self._generator: torch.Generator | None = None
        if params.temperature > 0:
            self._generator = torch.Generator().manual_seed(params.seed)

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, given logits of shape [vocabulary]."""
        if self._generator is None:
            return int(logits.argmax())
        probabilities, tokens = torch.softmax(logits.double() / self._temperature, dim=-1).sort(descending=True)
        # The nucleus is the fewest tokens whose probabilities reach top_p; the likeliest one is always in it.
        outside = probabilities.cumsum(dim=-1) - probabilities >= self._top_p
        outside[0] = False
        probabilities[outside] = 0.0
        return int(tokens[torch.multinomial(probabilities, 1, generator=self._generator)])
