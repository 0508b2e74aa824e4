"""Who uses which page of the cache, and which pages several sequences share.

A page that is filled by prompt tokens alone is entered in a tree under the tokens before it: a later sequence with the
same beginning takes that page instead of computing it. Pages are shared within a scope only, so that nobody can find
out by timing how questions begin that are sealed under another key. A page that was shared once stays for the next
sequence until somebody needs its room; every other page is free as soon as its sequence ends.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from enclave_worker.bloom.cache import PAGE


@dataclass(slots=True, eq=False)
class _Shared:
    """A page in the tree. `users` are the sequences that hold it now."""

    page: int
    key: tuple[object, ...]
    users: int = 1
    hits: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A sequence's pages in order of position; the first `shared` tokens of it need not be computed."""

    pages: tuple[int, ...]
    shared: int
    nodes: tuple[_Shared, ...] = field(repr=False)


class PagePool:
    """The pages of one cache."""

    def __init__(self, pages: int) -> None:
        self._free = list(range(pages - 1, -1, -1))
        self._tree: dict[tuple[object, ...], _Shared] = {}
        # Pages of the tree that nobody holds, the longest unused first.
        self._idle: OrderedDict[int, _Shared] = OrderedDict()
        self._total = pages

    @property
    def used(self) -> int:
        """Pages that sequences hold now."""
        return self._total - len(self._free) - len(self._idle)

    def lease(self, scope: bytes, tokens: Sequence[int], positions: int) -> Lease | None:
        """Pages for a prompt of `tokens` and an answer up to `positions` in all; None when there is no room now."""
        # The last token is always computed: its output is the answer's first token.
        sharable = (len(tokens) - 1) // PAGE
        found: list[_Shared] = []
        parent: object = scope
        for number in range(sharable):
            node = self._tree.get((parent, *tokens[number * PAGE : (number + 1) * PAGE]))
            if node is None:
                break
            found.append(node)
            parent = id(node)
        needed = -(-positions // PAGE) - len(found)
        idle = sum(1 for node in found if node.users == 0)
        if needed > len(self._free) + len(self._idle) - idle:
            return None
        for node in found:
            self._idle.pop(id(node), None)
            node.users += 1
            node.hits += 1
        own = [self._take() for _ in range(needed)]
        nodes = found + self._enter(parent, tokens, len(found), sharable, own)
        return Lease((*(node.page for node in found), *own), len(found) * PAGE, tuple(nodes))

    def release(self, lease: Lease) -> None:
        """Give a sequence's pages back."""
        for node in reversed(lease.nodes):
            node.users -= 1
            if node.users == 0:
                if node.hits:
                    self._idle[id(node)] = node
                else:
                    self._forget(node)
        self._free.extend(reversed(lease.pages[len(lease.nodes) :]))

    def _enter(self, parent: object, tokens: Sequence[int], start: int, stop: int, own: list[int]) -> list[_Shared]:
        """Enter the prompt's own full pages into the tree, for those who come later."""
        entered = []
        for number, page in zip(range(start, stop), own, strict=False):
            node = _Shared(page, (parent, *tokens[number * PAGE : (number + 1) * PAGE]))
            self._tree[node.key] = node
            entered.append(node)
            parent = id(node)
        return entered

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        # Deepest first: `release` makes a page idle before its parent, so no child outlives its parent in the tree.
        _, node = self._idle.popitem(last=False)
        del self._tree[node.key]
        return node.page

    def _forget(self, node: _Shared) -> None:
        del self._tree[node.key]
        self._free.append(node.page)
