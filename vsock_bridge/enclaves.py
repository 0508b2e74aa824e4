"""What the bridge knows of its enclaves' state, for `/metrics` and `/healthz`: their own reports, which are coarse."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from wire.report import LEAST_RESTARTS, LEAST_SEQUENCES, LEAST_TOKENS, MEMORY_UNIT, OCCUPANCY_PARTS, Report, bound

READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class EnclaveState:
    """One configured enclave; `report` is its newest, None before the first and without a connection."""

    connected: bool
    report: Report | None = None

    @property
    def said(self) -> str:
        """In a word or three: ready, or why not."""
        if not self.connected:
            return "not connected"
        return READY if self.report is None or self.report.ready else "engine down"


States = Callable[[], Mapping[str, EnclaveState]]

_FIGURES: Final[tuple[tuple[str, str, Callable[[Report], float]], ...]] = (
    ("tokens_per_second", "Tokens generated", lambda report: bound(report.tokens, LEAST_TOKENS)),
    ("batch_occupancy_ratio", "Filled share of the batch", lambda report: report.occupancy / OCCUPANCY_PARTS),
    ("sequences_in_flight", "Unfinished records", lambda report: bound(report.sequences, LEAST_SEQUENCES)),
    ("sequences_waiting", "Records without room in the engine", lambda report: bound(report.waiting, LEAST_SEQUENCES)),
    ("engine_restarts", "Restarts of the engine", lambda report: bound(report.restarts, LEAST_RESTARTS)),
    ("memory_bytes", "Resident memory of the enclave's processes", lambda report: report.memory * MEMORY_UNIT),
)


class EnclaveCollector(Collector):
    """The enclaves' figures at the time of a scrape, labelled by address: as many series as are configured."""

    def __init__(self, states: States) -> None:
        self._states = states

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """A family for each figure; of an enclave that has not reported there is `ready` alone."""
        states = self._states()
        ready = GaugeMetricFamily("sealbatch_enclave_ready", "Connected, and its engine runs", labels=["enclave"])
        for address, state in states.items():
            ready.add_metric([address], float(state.said == READY))
        yield ready
        for name, text, read in _FIGURES:
            family = GaugeMetricFamily(f"sealbatch_enclave_{name}", f"{text}; at most", labels=["enclave"])
            for address, state in states.items():
                if state.report is not None:
                    family.add_metric([address], read(state.report))
            yield family
