"""What a bridge says of itself and of its enclaves, by its metrics (docs/reference/metrics.md)."""

from collections import Counter, defaultdict
from dataclasses import dataclass, fields
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from sealbatch.bridge_page import read_page

TIMEOUT: Final = 2.0
_OURS: Final = "sealbatch_"
_ENCLAVE: Final = "sealbatch_enclave_"


@dataclass(frozen=True, slots=True)
class EnclaveView:
    """One enclave by its own coarse report: `memory_bytes` in bytes, the ratio from 0 to 1; None where it says nothing.

    All but the address have the names of their metrics.
    """

    address: str
    ready: float | None = None
    tokens_per_second: float | None = None
    batch_occupancy_ratio: float | None = None
    sequences_in_flight: float | None = None
    sequences_waiting: float | None = None
    engine_restarts: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class BridgeView:
    """One bridge: numbers are None where it does not answer; `enclaves` are connected, `inside` has all it knows."""

    address: str
    enclaves: int | None = None
    in_flight: int | None = None
    answered: int | None = None
    failed: int | None = None
    retries: int | None = None
    inside: tuple[EnclaveView, ...] = ()


_FIGURES: Final = frozenset(field.name for field in fields(EnclaveView)) - {"address"}


def ask_bridge(address: str) -> BridgeView:
    """Ask the bridge whose `--health` address is HOST:PORT."""
    try:
        text = read_page(address, "metrics", TIMEOUT).decode("utf-8", "replace")
    except OSError:
        return BridgeView(address)
    counts: Counter[str] = Counter()
    inside: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            figure = sample.name.removeprefix(_ENCLAVE)
            if figure in _FIGURES:
                inside[sample.labels["enclave"]][figure] = sample.value
            elif sample.name == f"{_OURS}records_total":
                counts["answered" if sample.labels["outcome"] == "answered" else "failed"] += int(sample.value)
            elif not sample.labels:
                counts[sample.name.removeprefix(_OURS)] += int(sample.value)
    return BridgeView(
        address,
        counts["enclaves"],
        counts["in_flight"],
        counts["answered"],
        counts["failed"],
        counts["retries_total"],
        tuple(EnclaveView(enclave, **figures) for enclave, figures in inside.items()),
    )
