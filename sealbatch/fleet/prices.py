"""What a job costs, at prices that whoever asks has looked up: none is assumed here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sealbatch.fleet.instances import instance_type

SERVICES: Final = {
    "sqs": "a million SQS requests",
    "s3-put": "a thousand S3 PUT and LIST requests",
    "s3-get": "a thousand S3 GET requests",
    "s3-month": "a GiB in S3 for a month",
    "kms": "ten thousand KMS requests",
    "kms-key": "a KMS key for a month",
}
MONTH_HOURS: Final = 730
KEYS: Final = 2


@dataclass(frozen=True, slots=True)
class Requests:
    """What a job asks of the services: numbers of requests, and GiB that lie in S3 for so many days."""

    sqs: float
    puts: float
    gets: float
    kms: float
    gib: float
    days: float


def parse_prices(texts: Sequence[str]) -> dict[str, float]:
    """Prices by name from `NAME=USD`; an instance type's is for an hour.

    Raises:
        ValueError: a name is none, or a price no amount.
    """
    prices: dict[str, float] = {}
    for text in texts:
        name, _, amount = text.partition("=")
        if name not in SERVICES:
            try:
                instance_type(name)
            except ValueError:
                known = ", ".join(SERVICES)
                raise ValueError(f"{name[:32]}: neither an instance type nor one of {known}") from None
        try:
            prices[name] = float(amount)
        except ValueError:
            raise ValueError(f"{name}: {amount[:32]!r} is no amount in USD") from None
        if not math.isfinite(prices[name]) or prices[name] < 0:
            raise ValueError(f"{name}: an amount is 0 or more")
    return prices


def service_costs(requests: Requests, hours: float, prices: Mapping[str, float]) -> dict[str, float | None]:
    """USD by service; None where its price was not given."""
    amounts = {
        "sqs": requests.sqs / 1e6,
        "s3-put": requests.puts / 1e3,
        "s3-get": requests.gets / 1e3,
        "s3-month": requests.gib * requests.days * 24 / MONTH_HOURS,
        "kms": requests.kms / 1e4,
        "kms-key": KEYS * hours / MONTH_HOURS,
    }
    return {name: amount * prices[name] if name in prices else None for name, amount in amounts.items()}
