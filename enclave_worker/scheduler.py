"""Which of the waiting sequences run next. Knows nothing of models, connections or seals.

The oldest waiting sequence goes first or nobody goes, so none starves. It is joined by others from among the oldest
`window`, those nearest to it in length: a batch pads to its longest, and sequences of a kind waste least.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Final

from enclave_worker.engine import Prompt, Room

WINDOW: Final = 256
"""How many of the oldest waiting sequences a batch is chosen from."""


class Scheduler:
    """Waiting sequences in the order of their arrival. Not thread-safe: its owner locks."""

    def __init__(self, window: int = WINDOW) -> None:
        self._waiting: OrderedDict[int, Prompt] = OrderedDict()
        self._window = window

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, prompts: Iterable[Prompt]) -> None:
        """Put sequences behind those that wait."""
        for prompt in prompts:
            if prompt.key in self._waiting:
                raise ValueError("a sequence of this key is waiting already")
            self._waiting[prompt.key] = prompt

    def discard(self, keys: Iterable[int]) -> None:
        """Forget sequences, if they still wait."""
        for key in keys:
            self._waiting.pop(key, None)

    def take(self, room: Room) -> list[Prompt]:
        """The sequences to admit into `room`, which wait no longer; none when the oldest does not fit yet."""
        chosen = self._choose(room)
        self.discard(prompt.key for prompt in chosen)
        return chosen

    def _choose(self, room: Room) -> list[Prompt]:
        if not self._waiting or room.sequences < 1:
            return []
        window = list(islice(self._waiting.values(), self._window))
        oldest = window[0]
        if oldest.positions > room.positions:
            return []
        by_length = sorted(window, key=lambda prompt: prompt.positions)
        low = high = by_length.index(oldest)
        # Shorter ones first: they never make the batch longer. Then longer ones while the padded batch fits.
        while low > 0 and _fits(high - low + 2, by_length[high], room):
            low -= 1
        while high + 1 < len(by_length) and _fits(high - low + 2, by_length[high + 1], room):
            high += 1
        return by_length[low : high + 1]


def _fits(count: int, longest: Prompt, room: Room) -> bool:
    return count <= room.sequences and count * longest.positions <= room.positions
