"""Firings of a cron expression in a named time zone, as moments of UTC.

A firing that falls into the hour which spring leaves out happens right after it; one in the hour which autumn repeats
happens the first time only, unless the expression runs every hour or oftener. That is Debian cron's rule, which the
`cronsim` library implements; it also takes `L` and `#` in the day fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_BACK = timedelta(days=2)
"""How far before a moment the search begins: a firing that was moved out of a gap is found from before the gap only."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields in a time zone.

    Raises:
        ValueError: the expression is none, or has seconds, or never fires.
    """

    expression: str
    zone: ZoneInfo = field(compare=False)

    def __post_init__(self) -> None:
        if len(self.expression.split()) != 5:
            raise ValueError("a cron expression has five fields: minute, hour, day of month, month, day of week")
        try:
            next(CronSim(self.expression, datetime(2000, 1, 1, tzinfo=self.zone)))
        except CronSimError as error:
            raise ValueError(f"not a cron expression: {str(error).lower()}") from None
        except StopIteration:
            raise ValueError("this cron expression never fires") from None

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The firings later than `moment`, in UTC, each once and in order, without end.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError("moment: has no time zone")
        last = moment.astimezone(UTC)
        for local in CronSim(self.expression, (last - _BACK).astimezone(self.zone)):
            firing = local.astimezone(UTC)
            if firing > last:
                last = firing
                yield firing

    def between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The firings later than `begin` and not later than `end`."""
        for firing in self.after(begin):
            if firing > end:
                return
            yield firing

    def explain(self) -> str:
        """The expression in English."""
        return CronSim(self.expression, datetime(2000, 1, 1, tzinfo=UTC)).explain()
