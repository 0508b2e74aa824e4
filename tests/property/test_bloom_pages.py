"""Pages of the cache: every sequence has its own or a true common beginning, and all come back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from enclave_worker.bloom.cache import PAGE
from enclave_worker.bloom.pages import Lease, PagePool

TOTAL = 24
# Few different pages of tokens, so that beginnings are often common.
prompts = st.lists(st.sampled_from([(1,) * PAGE, (2,) * PAGE, (1,) * 5 + (2,) * 11]), max_size=4).flatmap(
    lambda pages: st.integers(1, PAGE).map(lambda rest: [token for page in pages for token in page] + [9] * rest)
)


class Pages(RuleBasedStateMachine):
    """Sequences of two tenants come and go."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.pool = PagePool(TOTAL)
        self.held: list[tuple[str, list[int], Lease]] = []
        self.written: dict[int, tuple[str, tuple[int, ...]]] = {}

    @rule(target=leases, tenant=st.sampled_from(["a", "b"]), tokens=prompts, answer=st.integers(1, 40))
    def lease(self, tenant: str, tokens: list[int], answer: int) -> object:
        """A sequence gets pages enough, or there is no room for as many as it needs without sharing."""
        positions = len(tokens) + answer
        lease = self.pool.lease(tenant, tokens, positions)
        if lease is None:
            assert -(-positions // PAGE) > TOTAL - self.pool.used
            return multiple()
        assert len(lease.pages) == -(-positions // PAGE)
        assert lease.shared % PAGE == 0
        assert lease.shared < len(tokens), "the last token of a prompt is always computed"
        # What it does not compute was computed for this tenant, with these very tokens up to there.
        for number in range(lease.shared // PAGE):
            assert self.written[lease.pages[number]] == (tenant, tuple(tokens[: (number + 1) * PAGE]))
        for number in range(lease.shared // PAGE, len(lease.pages)):
            self.written[lease.pages[number]] = (tenant, tuple(tokens[: (number + 1) * PAGE]))
        entry = (tenant, tokens, lease)
        self.held.append(entry)
        return entry

    @rule(entry=consumes(leases))
    def release(self, entry: tuple[str, list[int], Lease]) -> None:
        """A sequence ends."""
        self.held = [other for other in self.held if other is not entry]
        self.pool.release(entry[2])

    @invariant()
    def nobody_writes_where_another_reads(self) -> None:
        """A page that two sequences hold is a common beginning of both; the pages in use are counted."""
        owners: dict[int, tuple[str, tuple[int, ...]]] = {}
        for tenant, tokens, lease in self.held:
            for number, page in enumerate(lease.pages):
                full = (number + 1) * PAGE < len(tokens)
                meaning = (tenant, tuple(tokens[: (number + 1) * PAGE])) if full else (tenant, (-1, id(lease), number))
                assert owners.setdefault(page, meaning) == meaning
        assert self.pool.used == len(owners)


Pages.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPages = Pages.TestCase


def test_a_common_beginning_is_computed_once_and_stays() -> None:
    """The second sequence shares all full pages, and so does one that comes when both are gone."""
    pool = PagePool(TOTAL)
    tokens = list(range(3 * PAGE + 2))
    first = pool.lease("a", tokens, 60)
    second = pool.lease("a", tokens, 60)
    assert first is not None
    assert second is not None
    assert (first.shared, second.shared) == (0, 3 * PAGE)
    assert first.pages[:3] == second.pages[:3]
    pool.release(first)
    pool.release(second)
    assert pool.used == 0
    third = pool.lease("a", tokens, 60)
    assert third is not None
    assert third.shared == 3 * PAGE
    other = pool.lease("b", tokens, 60)
    assert other is not None
    assert other.shared == 0, "another tenant shares nothing"


def test_pages_of_one_question_are_free_as_soon_as_it_is_answered() -> None:
    """What was never shared is not kept, and what was gives way when room is needed."""
    pool = PagePool(4)
    once = pool.lease("a", list(range(40)), 64)
    assert once is not None
    pool.release(once)
    again = pool.lease("a", list(range(40)), 48)
    assert again is not None
    assert again.shared == 0
    shared = pool.lease("a", list(range(40)), 40)
    assert shared is not None
    pool.release(again)
    pool.release(shared)
    everything = pool.lease("a", [7] * 10, 64)
    assert everything is not None
    assert sorted(everything.pages) == [0, 1, 2, 3]
