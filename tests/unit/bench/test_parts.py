"""Each operation has its time."""

import itertools
from types import SimpleNamespace

from bench.parts import Timed


def test_each_operation_has_its_time_and_products_their_sizes() -> None:
    """By a clock that ticks at each look."""
    ticks = itertools.count()
    told: list[tuple[object, ...]] = []
    operations = SimpleNamespace(linear=lambda *x: told.append(x), norm=lambda x: 2 * x, rescored=7)
    timed = Timed(operations, lambda: float(next(ticks)))
    for sizes in ((4, 12), (4, 4), (4, 12)):
        timed.linear("x", SimpleNamespace(inputs=sizes[0], outputs=sizes[1]))
    assert timed.norm(21) == 42
    assert timed.rescored == 7
    assert len(told) == 3
    assert timed.seconds == {"linear 4 x 12": 2.0, "linear 4 x 4": 1.0, "norm": 1.0}
