"""Belfry against crondst, which follows Debian's rule too: `python -m bench.cron_agreement`.

5,000 random expressions, each in one of seven zones, from a random minute within a day of a change of its
clock; all slots of the next two days are compared. Each class of difference is printed with an example.

Known of crondst 1.0.3: it refuses what names the 31st in months that all lack it, even among days that do
come (`* * * 4 *`); those are compared past that check. After a gap of a day it runs what fell into it at a
later hour, where the rule is the first minute after the gap. cronsim is put to the same draws, for scale.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

from crondst import CronDst, CronDstError
from cronsim import CronSim, CronSimError

from chalicelib.core.errors import Invalid
from chalicelib.core.schedule import cron

DRAWS = 5_000
YEARS = range(2011, 2035)
WINDOW = timedelta(hours=48)
ZONES = (
    "America/New_York",  # an hour at 2:00
    "Europe/Dublin",  # negative DST
    "Australia/Lord_Howe",  # half an hour
    "America/Havana",  # a gap at midnight
    "Africa/Cairo",  # likewise; the overlap ends at midnight
    "Asia/Beirut",  # likewise
    "Pacific/Apia",  # 30 December 2011 does not exist
)
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))

Change = tuple[datetime, timedelta]


def changes(zone: str) -> list[Change]:
    """The instants, to the minute, at which the zone's clock jumps, and by how much."""
    found: list[Change] = []
    hours = (YEARS.stop - YEARS.start) * 366 * 24
    first = datetime(YEARS.start, 1, 1, tzinfo=UTC)
    for early, late in pairwise(first + timedelta(hours=hour) for hour in range(hours)):
        jump = offset(late, zone) - offset(early, zone)
        if jump:
            minutes = (early + timedelta(minutes=minute) for minute in range(61))
            at = next(minute for minute in minutes if offset(minute, zone) != offset(early, zone))
            found.append((at, jump))
    return found


def offset(instant: datetime, zone: str) -> timedelta:
    return instant.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


def expression(draw: random.Random, near: datetime) -> str:
    """Random fields, with values near `near` likelier than others, so that many slots meet the change."""
    values = (near.minute, near.hour, near.day, near.month, near.isoweekday())
    stars = (0.25, 0.25, 0.6, 0.8, 0.6)
    return " ".join(
        "*" if draw.random() < star else field(draw, low, high, value)
        for (low, high), value, star in zip(FIELDS, values, stars, strict=True)
    )


def field(draw: random.Random, low: int, high: int, near: int) -> str:
    return ",".join(item(draw, low, high, near) for _ in range(draw.choice((1, 1, 1, 2, 3))))


def item(draw: random.Random, low: int, high: int, near: int) -> str:
    nearby = max(low, min(high, near + draw.randint(-2, 2)))
    value = nearby if draw.random() < 0.6 else draw.randint(low, high)
    step = draw.randint(1, high)
    until = draw.randint(value, high)
    return draw.choice((f"{value}", f"{value}", f"*/{step}", f"{value}-{until}", f"{value}-{until}/{step}"))


def belfry(text: str, zone: str, start: datetime) -> Iterator[datetime]:
    return cron(text, zone).occurrences(start, start + WINDOW)


def crondst(text: str, zone: str, start: datetime) -> Iterator[datetime]:
    return CronDst(text).iter(start.astimezone(ZoneInfo(zone)))


def crondst_unchecked(text: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Its check is on days and months together: read them apart, then join them."""
    minute, hour, day, month, weekday = text.split()
    engine = CronDst(f"{minute} {hour} {day} * {weekday}")
    engine.entry.months = CronDst(f"* * * {month} 1").entry.months
    return engine.iter(start.astimezone(ZoneInfo(zone)))


def cronsim(text: str, zone: str, start: datetime) -> Iterator[datetime]:
    return CronSim(text, start.astimezone(ZoneInfo(zone)))


Engine = Callable[[str, str, datetime], Iterator[datetime]]


def slots(engine: Engine, text: str, zone: str, start: datetime) -> list[datetime] | None:
    """The slots within the window; None if the engine refuses the expression."""
    try:
        instants = (slot.astimezone(UTC) for slot in engine(text, zone, start))
        return list(takewhile(lambda slot: slot <= start + WINDOW, instants))
    except (Invalid, CronDstError, CronSimError):
        return None


def draws() -> Iterator[tuple[str, str, datetime, Change]]:
    draw = random.Random(2026)
    known = {zone: changes(zone) for zone in ZONES}
    for number in range(DRAWS):
        zone = ZONES[number % len(ZONES)]
        at, jump = draw.choice(known[zone])
        start = at + timedelta(minutes=draw.randint(-24 * 60, 3 * 60))
        near = (at + timedelta(minutes=draw.randint(-60, 60))).astimezone(ZoneInfo(zone))
        yield expression(draw, near), zone, start, (at, jump)


def kind(zone: str, change: Change) -> str:
    """The class of a difference: the zone and what its clock did."""
    at, jump = change
    return f"{zone}, {'gap' if jump > timedelta() else 'overlap'} of {abs(jump)}" + (
        f" on {at:%F}" if abs(jump) > timedelta(hours=1) else ""
    )


def difference(ours: list[datetime], theirs: list[datetime]) -> str:
    sides = {"belfry": {*ours}.difference(theirs), "the other": {*theirs}.difference(ours)}
    parts = (f"{name} only {slot:%FT%RZ}" for name, mine in sides.items() for slot in sorted(mine)[:2])
    return "; ".join(parts) or "the same slots, repeated or in another order"


def report(name: str, engine: Engine, past_checks: Engine) -> None:
    classes: Counter[str] = Counter()
    examples: dict[str, str] = {}
    refused = compared = 0
    for text, zone, start, change in draws():
        ours, theirs = slots(belfry, text, zone, start), slots(engine, text, zone, start)
        if ours is not None and theirs is None:
            refused += 1
            theirs = slots(past_checks, text, zone, start)
        compared += len(ours or ())
        if ours != theirs:
            found = kind(zone, change)
            classes[found] += 1
            examples.setdefault(
                found, f"{text!r} from {start:%FT%R}Z: {difference(ours or [], theirs or [])}"
            )
    print(f"{name}: {DRAWS - classes.total():,} of {DRAWS:,} agree on {compared:,} slots", end="")
    print(f", {refused} of them only past its own check" if refused else "")
    for found, count in classes.most_common():
        print(f"  {count:4}  {found}\n        {examples[found]}")


def main() -> None:
    report("crondst", crondst, crondst_unchecked)
    report("cronsim", cronsim, cronsim)


if __name__ == "__main__":
    main()
