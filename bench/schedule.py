"""What the next slot costs, beside cronsim: `python -m bench.schedule`.

Three calls answer the same question, the slot after a given slot: Belfry's `next` on a parsed schedule,
cronsim's `next` on an iterator that stands at the slot, and cronsim's `next(CronSim(...))`. They are timed in
turn, in one process, on the same slots; each figure is the median over rounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from statistics import geometric_mean, median
from time import perf_counter_ns
from zoneinfo import ZoneInfo

from cronsim import CronSim

from chalicelib.core.schedule import Cron, cron

EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "0 9 * * *",
    "30 2 * * *",
    "*/10 9-17 * * 1-5",
    "0 9 * * MON-FRI",
    "0 0 1 * *",
    "0 12 L * *",
    "0 8 * * 1#1",
    "0 0 1 1 *",
    "0 0 29 2 *",
)
ZONES = ("UTC", "America/New_York", "Europe/Berlin")
SLOTS, ROUNDS = 40, 15
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)

Timings = list[float]


def slots(schedule: Cron, count: int) -> list[datetime]:
    """Slots of the schedule from random times of one year."""
    draw = random.Random(4)
    instants = (FIRST_DAY + timedelta(minutes=draw.randrange(525_600)) for _ in range(count))
    return [slot for slot in map(schedule.next, instants) if slot]


def microseconds(call: Callable[[], object], calls: int) -> float:
    began = perf_counter_ns()
    call()
    return (perf_counter_ns() - began) / 1000 / calls


def exhaust(values: Iterable[object]) -> None:
    for _ in values:
        pass


def compare(expression: str, zone: str) -> tuple[float, float, float]:
    """Belfry's next, cronsim's next on an iterator, cronsim's construction and next: microseconds each."""
    schedule = cron(expression, zone)
    due = slots(schedule, SLOTS)
    quickest = UTC if zone == "UTC" else ZoneInfo(zone)  # cronsim has a shorter way for this object
    local = [slot.astimezone(quickest) for slot in due]
    ours, iterated, constructed = Timings(), Timings(), Timings()
    for _ in range(ROUNDS):
        standing = [CronSim(expression, slot) for slot in local]
        ours.append(microseconds(lambda: exhaust(map(schedule.next, due)), len(due)))
        iterated.append(microseconds(lambda: exhaust(map(next, standing)), len(due)))  # noqa: B023
        constructed.append(
            microseconds(lambda: exhaust(next(CronSim(expression, slot)) for slot in local), len(due))
        )
    return median(ours), median(iterated), median(constructed)


def cached_parse() -> float:
    calls = 2000
    instants = [("0 9 * * 1-5", "Europe/Berlin")] * calls
    return median(microseconds(lambda: exhaust(cron(*one) for one in instants), calls) for _ in range(ROUNDS))


def fresh_parse() -> float:
    """A minute and hour that no call before it had, so that the cache does not help."""
    texts = [f"{minute} {hour} {hour + 1} 3 *" for minute, hour in product(range(60), range(12))]
    return microseconds(lambda: exhaust(cron(text, "UTC") for text in texts), len(texts))


def main() -> None:
    print("microseconds a call; ratio = belfry / cronsim, below 1 is faster\n")
    row = "{:<20} {:<18} {:>8} {:>13} {:>7} {:>17} {:>7}".format
    print(row("expression", "zone", "belfry", "cronsim next", "ratio", "CronSim() + next", "ratio"))
    ratios: list[tuple[float, float]] = []
    for expression, zone in product(EXPRESSIONS, ZONES):
        ours, iterated, constructed = compare(expression, zone)
        ratios.append((ours / iterated, ours / constructed))
        shown = (f"{ours:.2f}", f"{iterated:.2f}", f"{ratios[-1][0]:.2f}")
        print(row(expression, zone, *shown, f"{constructed:.2f}", f"{ratios[-1][1]:.2f}"))
    for name, values in zip(("cronsim next", "CronSim() + next"), zip(*ratios, strict=True), strict=True):
        print(f"\nagainst {name}: geometric mean {geometric_mean(values):.2f}, worst {max(values):.2f}")
    print(f"\ncron() of a cached expression {cached_parse():.2f}, of a new one {fresh_parse():.0f}")


if __name__ == "__main__":
    main()
