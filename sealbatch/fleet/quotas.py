"""AWS's documented quotas that a night can meet, and which of them a plan meets first."""

from dataclasses import dataclass
from typing import Final

SQS_IN_FLIGHT: Final = 120_000
KMS_A_SECOND: Final = 10_000
S3_PUTS: Final = 3_500
S3_GETS: Final = 5_500
VCPUS: Final = 5

SOURCES: Final = {
    "SQS messages in flight": "Amazon SQS developer guide, standard queue quotas: about 120,000 a queue",
    "KMS requests a second": "AWS KMS developer guide, request quotas: 10,000 to 100,000 by Region, the least is taken",
    "S3 puts a second": "Amazon S3 user guide, performance: at least 3,500 PUT a second for each prefix",
    "S3 gets a second": "Amazon S3 user guide, performance: at least 5,500 GET a second for each prefix",
    "vCPUs": "Amazon EC2 user guide, On-Demand quotas: L-1216C47A, 5 in a new account; yours is in Service Quotas",
}


@dataclass(frozen=True, slots=True)
class Load:
    """What a plan asks of AWS at its busiest moment."""

    in_flight: int
    kms: float
    puts: float
    gets: float
    vcpus: int


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota: its limit, what the plan uses of it, and where AWS states it."""

    name: str
    limit: int
    used: float
    source: str

    @property
    def share(self) -> float:
        """Used part; above 1 the quota stops the plan."""
        return self.used / self.limit


def quotas(load: Load, vcpus: int = VCPUS, kms: int = KMS_A_SECOND) -> list[Quota]:
    """All of them, the one that binds first at the front; `vcpus` and `kms` are the account's own, if known."""
    rows = {
        "SQS messages in flight": (SQS_IN_FLIGHT, float(load.in_flight)),
        "KMS requests a second": (kms, load.kms),
        "S3 puts a second": (S3_PUTS, load.puts),
        "S3 gets a second": (S3_GETS, load.gets),
        "vCPUs": (vcpus, float(load.vcpus)),
    }
    found = [Quota(name, limit, used, SOURCES[name]) for name, (limit, used) in rows.items()]
    return sorted(found, key=lambda quota: -quota.share)
