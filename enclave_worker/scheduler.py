"""Which of the waiting sequences run next. Knows nothing of models, connections or seals.

Sequences are taken in groups of `window` in the order of their arrival: nobody is passed over by more than a group, so
nobody starves. Within a group the longest goes first, because a long answer that starts last keeps a nearly empty batch
running. An engine whose batches are padded to their longest gets sequences of a kind instead, around the oldest.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from enclave_worker.engine import Prompt, Room

WINDOW: Final = 256


class Scheduler:
    """Waiting sequences in the order of their arrival. Not thread-safe: its owner locks."""

    def __init__(self, window: int = WINDOW, *, single_tenant: bool = False) -> None:
        self._waiting: OrderedDict[int, Prompt] = OrderedDict()
        self._groups: dict[int, int] = {}
        self._arrivals = 0
        self._window = window
        self._single_tenant = single_tenant

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, prompts: Iterable[Prompt]) -> None:
        """Put sequences behind those that wait."""
        for prompt in prompts:
            if prompt.key in self._waiting:
                raise ValueError("a sequence of this key is waiting already")
            self._waiting[prompt.key] = prompt
            self._groups[prompt.key] = self._arrivals // self._window
            self._arrivals += 1

    def discard(self, keys: Iterable[int]) -> None:
        """Forget sequences, if they still wait."""
        for key in keys:
            self._waiting.pop(key, None)
            self._groups.pop(key, None)

    def take(self, room: Room, running: Collection[str] = ()) -> list[Prompt]:
        """The sequences to admit into `room`, which wait no longer; none when the next one does not fit yet.

        `running` are the tenants of the sequences that run: where batches are to be of a single tenant, others wait.
        """
        chosen = self._choose_packed(room, running) if room.page else self._choose_padded(room, running)
        self.discard(prompt.key for prompt in chosen)
        return chosen

    def _choose_packed(self, room: Room, running: Collection[str]) -> list[Prompt]:
        chosen: list[Prompt] = []
        left = room
        for prompt in self._in_order():
            if not left.holds([prompt]) or not self._may_join(prompt, running, chosen):
                break
            chosen.append(prompt)
            taken = -(-prompt.positions // room.page) * room.page
            left = Room(left.sequences - 1, left.positions - taken, room.page)
        return chosen

    def _in_order(self) -> Iterable[Prompt]:
        """All that wait, group by group; looked at lazily, since there may be very many."""
        waiting = iter(self._waiting.values())
        group: list[Prompt] = []
        for prompt in waiting:
            if group and self._groups[prompt.key] != self._groups[group[0].key]:
                yield from self._sorted(group)
                group = []
            group.append(prompt)
        yield from self._sorted(group)

    def _sorted(self, group: list[Prompt]) -> list[Prompt]:
        longest_first = sorted(group, key=lambda prompt: -prompt.positions)
        if not self._single_tenant:
            return longest_first
        # Tenant after tenant, in the order in which they came: a batch that changes its tenant must run empty first.
        first = {prompt.tenant: place for place, prompt in reversed(list(enumerate(group)))}
        return sorted(longest_first, key=lambda prompt: first[prompt.tenant])

    def _choose_padded(self, room: Room, running: Collection[str]) -> list[Prompt]:
        window = list(islice(self._waiting.values(), self._window))
        if not window or not room.holds(window[:1]) or not self._may_join(window[0], running, ()):
            return []
        oldest = window[0]
        by_length = sorted(
            (prompt for prompt in window if not self._single_tenant or prompt.tenant == oldest.tenant),
            key=lambda prompt: prompt.positions,
        )
        low = high = by_length.index(oldest)
        # Shorter ones first: they never make the batch longer. Then longer ones while the padded batch fits.
        while low > 0 and room.holds(by_length[low - 1 : high + 1]):
            low -= 1
        while high + 1 < len(by_length) and room.holds(by_length[low : high + 2]):
            high += 1
        return by_length[low : high + 1]

    def _may_join(self, prompt: Prompt, running: Collection[str], chosen: Collection[Prompt]) -> bool:
        if not self._single_tenant:
            return True
        return set(running) | {other.tenant for other in chosen} <= {prompt.tenant}
