"""Which sequences run next: nobody starves, nothing is lost or doubled, and the room is kept."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.engine import Prompt, Room, SamplingParams
from enclave_worker.scheduler import Scheduler


def prompt(key: int, positions: int) -> Prompt:
    """A sequence that takes so many positions."""
    return Prompt(key, [1] * (positions - 1), SamplingParams(1, 0.0, 1.0, 0, ()))


lengths = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(lengths, st.data())
def test_discarded_sequences_never_run(sizes: list[int], data: st.DataObject) -> None:
    """What was withdrawn while it waited is not taken, and the rest still is."""
    scheduler = Scheduler()
    scheduler.add(prompt(key, size) for key, size in enumerate(sizes))
    gone = data.draw(st.sets(st.integers(0, len(sizes) + 3)))
    scheduler.discard(gone)
    seen = []
    while scheduler:
        seen += [chosen.key for chosen in scheduler.take(Room(4, 100))]
    assert sorted(seen) == [key for key in range(len(sizes)) if key not in gone]


def test_nobody_overtakes_an_oldest_that_does_not_fit() -> None:
    """A long sequence waits for room and is not starved by short ones behind it."""
    scheduler = Scheduler()
    scheduler.add([prompt(0, 40), prompt(1, 2)])
    assert scheduler.take(Room(5, 39)) == []
    assert scheduler.take(Room(0, 100)) == []
    assert scheduler.take(Room(1, 40))[0].key == 0


def test_a_key_waits_once() -> None:
    """Two sequences of one name would be one answer too few."""
    scheduler = Scheduler()
    scheduler.add([prompt(0, 5)])
    with pytest.raises(ValueError, match="waiting already"):
        scheduler.add([prompt(0, 5)])


paged = st.builds(Room, st.integers(1, 9), st.integers(64, 300), st.just(16))


@given(lengths, paged, st.integers(1, 12))
def test_where_each_takes_its_own_room_nobody_is_passed_over_by_more_than_a_group(
    sizes: list[int], room: Room, window: int
) -> None:
    """Groups go in the order of their arrival, the longest of a group first, and each batch is within the room."""
    scheduler = Scheduler(window)
    scheduler.add(prompt(key, size) for key, size in enumerate(sizes))
    order: list[int] = []
    while scheduler:
        batch = scheduler.take(room)
        assert batch
        assert room.holds(batch)
        order += [chosen.key for chosen in batch]
    expected = sorted(range(len(sizes)), key=lambda key: (key // window, -sizes[key], key))
    assert order == expected


def test_tenants_are_kept_apart_where_that_is_asked_for() -> None:
    """A batch of one tenant runs empty before another tenant's sequences join; nobody waits for ever."""
    for room in (Room(8, 1000), Room(8, 1000, 16)):
        scheduler = Scheduler(single_tenant=True)
        scheduler.add(replace(prompt(key, 20), tenant="ab"[key % 2]) for key in range(6))
        first = scheduler.take(room)
        assert {chosen.key for chosen in first} == {0, 2, 4}
        assert scheduler.take(room, {"a"}) == []
        assert {chosen.key for chosen in scheduler.take(room)} == {1, 3, 5}


def test_tenants_share_batches_otherwise() -> None:
    """The default."""
    scheduler = Scheduler()
    scheduler.add(replace(prompt(key, 20), tenant="ab"[key % 2]) for key in range(6))
    assert len(scheduler.take(Room(8, 1000, 16), {"c"})) == 6
