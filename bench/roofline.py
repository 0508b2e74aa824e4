"""How long a workload takes at least: its arithmetic, divided by the instruction peak.

Counted is what no way of batching can save: the shared prefix once, every other token once, the head once for an answer
token. The matrices run in int8, attention in fp32. Memory is taken to cost nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.workload import Request


def ideal_seconds(
    requests: Sequence[Request], prefix: int, config: Mapping[str, Any], *, int8: float, fp32: float
) -> float:
    """Seconds on one core whose peaks are `int8` and `fp32` giga-operations a second."""
    hidden, layers, vocabulary = config["hidden_size"], config["n_layer"], config["vocab_size"]
    # Query, key, value and output take 4 hidden^2, the MLP 8 hidden^2.
    layer_weights = 12 * layers * hidden * hidden
    first, rest = (0, prefix), [(prefix, len(r.prompt) + r.answer - 1) for r in requests]
    spans = [first, *rest]
    tokens = sum(end - start for start, end in spans)
    answers = sum(request.answer for request in requests)
    matrices = 2 * layer_weights * tokens + 2 * hidden * vocabulary * answers
    # The token at position p reads p + 1 keys and as many values.
    keys = sum((end * (end + 1) - start * (start + 1)) // 2 for start, end in spans)
    attention = 4 * hidden * layers * keys
    return float(1e-9 * (matrices / int8 + attention / fp32))
