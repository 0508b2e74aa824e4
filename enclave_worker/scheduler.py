"""Which of the waiting sequences run next. Knows nothing of models, connections or seals.

Sequences are taken in groups of `window` in the order of their arrival: nobody is passed over by more than a group, so
nobody starves. Within a group the longest goes first, because a long answer that starts last keeps a nearly empty batch
running.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final

from enclave_worker.engine import Prompt, Room

WINDOW: Final = 256


class Scheduler:
    """Waiting sequences in the order of their arrival. Not thread-safe: its owner locks."""

    def __init__(self, window: int = WINDOW, *, single_tenant: bool = False) -> None:
        # By key, each with the number of its group.
        self._waiting: OrderedDict[int, tuple[int, Prompt]] = OrderedDict()
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
            self._waiting[prompt.key] = self._arrivals // self._window, prompt
            self._arrivals += 1

    def discard(self, keys: Iterable[int]) -> None:
        """Forget sequences, if they still wait."""
        for key in keys:
            self._waiting.pop(key, None)

    def take(self, room: Room, running: Collection[str] = ()) -> list[Prompt]:
        """The sequences to admit into `room`, which wait no longer; none when the next one does not fit yet.

        `running` are the tenants of the sequences that run: where batches are to be of a single tenant, others wait.
        """
        chosen: list[Prompt] = []
        tenants = set(running)
        for prompt in self._in_order():
            tenants.add(prompt.tenant)
            if not room.holds([prompt]) or (self._single_tenant and len(tenants) > 1):
                break
            chosen.append(prompt)
            room = room.less(prompt)
        self.discard(prompt.key for prompt in chosen)
        return chosen

    def _in_order(self) -> Iterator[Prompt]:
        """All that wait, group by group; looked at lazily, since there may be very many."""
        for _, members in groupby(self._waiting.values(), key=itemgetter(0)):
            group = [prompt for _, prompt in members]
            tenants = list(dict.fromkeys(prompt.tenant for prompt in group))
            group.sort(key=lambda prompt: -prompt.positions)
            if self._single_tenant:
                # Tenant after tenant: a batch that changes its tenant must run empty first.
                group.sort(key=lambda prompt: tenants.index(prompt.tenant))
            yield from group
