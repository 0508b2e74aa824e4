"""Looks at a job come often at first, then ever less, and oftener again when something moves."""

from results_consumer.pace import FIRST, LONGEST, MOVING, Pace


def test_pauses_grow_while_nothing_moves_and_no_further_than_the_longest() -> None:
    """A minute of silence is some twenty looks, an hour some three hundred and fifty."""
    pace, pauses = Pace(), list[float]()
    while sum(pauses) < 3600:
        pauses.append(pace.after(moved=False))
    assert pauses[0] == FIRST
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST
    assert len(pauses) < 400


def test_a_job_that_moves_is_looked_at_every_second() -> None:
    """Neither oftener for as long as it moves, nor as rarely as before when it moves again."""
    pace = Pace()
    moving = [pace.after(moved=True) for _ in range(50)]
    assert moving[-1] == MOVING
    for _ in range(50):
        pace.after(moved=False)
    again = [pace.after(moved=True) for _ in range(6)]
    assert again[0] == LONGEST
    assert again[-1] == MOVING
