"""The next run found the slow way: every minute of a few days is looked at, one after the other.

It shares nothing with pgagent_py.recurrence but the specification, docs/schedule.md: wall times are
datetimes, and what the clock does with them is asked of their two readings, `fold=0` and `fold=1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Fields:
    """What a schedule allows: numbers as people write them, empty for a wildcard."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()  # 0 is Sunday
    monthdays: frozenset[int] = frozenset()  # 32 is the last day
    months: frozenset[int] = frozenset()
    exceptions: frozenset[tuple[date | None, time | None]] = field(default=frozenset())

    def selects_day(self, day: date) -> bool:
        """Tell whether a day matches (section 2)."""
        is_last = (day + DAY).month != day.month
        return (
            (not self.months or day.month in self.months)
            and (not self.weekdays or day.isoweekday() % 7 in self.weekdays)
            and (not self.monthdays or day.day in self.monthdays or (is_last and 32 in self.monthdays))
        )

    def selects_time(self, at: time) -> bool:
        """Tell whether a time of day matches (section 2)."""
        return (not self.hours or at.hour in self.hours) and (not self.minutes or at.minute in self.minutes)

    def excepts(self, wall: datetime) -> bool:
        """Tell whether an exception takes away a wall-clock time (section 3)."""
        on, at = wall.date(), wall.time()
        return not self.exceptions.isdisjoint({(on, at), (on, None), (None, at)})

    def goes_on_all_the_time(self) -> bool:
        """Tell whether times shown twice are run twice (section 4)."""
        return len(self.minutes) in {0, 60} or len(self.hours) in {0, 24}


def next_run(
    fields: Fields, zone: ZoneInfo, *, after: datetime, start: datetime, end: datetime, days: int
) -> datetime | None:
    """Return the first run from the earliest instant on, looking at `days` days after it."""
    earliest = max(cut_to_minute(start, zone), cut_to_minute(after + MINUTE, zone))
    eve = earliest.astimezone(zone).date() - 2 * DAY
    runs = [
        run
        for number in range(days + 3)
        if fields.selects_day(eve + number * DAY)
        for run in runs_on(fields, zone, eve + number * DAY)
        if earliest <= run <= end
    ]
    return min(runs, default=None)


def cut_to_minute(instant: datetime, zone: ZoneInfo) -> datetime:
    """Take the seconds off that the zone's clock shows."""
    wall = instant.astimezone(zone)
    return instant - timedelta(seconds=wall.second, microseconds=wall.microsecond)


def runs_on(fields: Fields, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """Yield the runs of the scheduled times of a matching day, as instants, in no order."""
    for minute in range(24 * 60):
        wall = datetime.combine(day, time(minute // 60, minute % 60))
        if fields.selects_time(wall.time()) and not fields.excepts(wall):
            yield from runs_at(fields, zone, wall)


def runs_at(fields: Fields, zone: ZoneInfo, wall: datetime) -> Iterator[datetime]:
    """Yield the instants of one scheduled time: one, two where the clock shows it twice (section 4)."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = first.astimezone(zone).replace(tzinfo=None)
    if shown == wall or not fields.excepts(shown):
        yield first
    if second > first and fields.goes_on_all_the_time():
        yield second
