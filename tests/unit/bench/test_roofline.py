"""The least time that a workload's arithmetic takes."""

import pytest

from bench.roofline import ideal_seconds
from bench.workload import Request

CONFIG = {"hidden_size": 8, "n_layer": 2, "vocab_size": 100}


def test_one_request_is_counted_by_hand() -> None:
    """Layers, head and attention."""
    # Two prompt tokens and three answer tokens: four tokens go through the layers, three through the head.
    seconds = ideal_seconds([Request((5, 6), 3)], 0, CONFIG, int8=1.0, fp32=1.0)
    matrices = 4 * 2 * 2 * 12 * 64 + 3 * 2 * 8 * 100
    attention = 2 * 4 * 8 * (1 + 2 + 3 + 4)
    assert seconds == pytest.approx(1e-9 * (matrices + attention))


def test_a_shared_prefix_is_counted_once() -> None:
    """Apart, two requests compute it twice."""
    one, two = Request((1, 2, 3, 4), 1), Request((1, 2, 3, 5), 1)
    together = ideal_seconds([one, two], 3, CONFIG, int8=1.0, fp32=1.0)
    apart = sum(ideal_seconds([request], 3, CONFIG, int8=1.0, fp32=1.0) for request in (one, two))
    prefix = 3 * 2 * 2 * 12 * 64 + 2 * 4 * 8 * (1 + 2 + 3)
    assert apart - together == pytest.approx(1e-9 * prefix)
