"""The vocabulary of `clauses`: what each word or phrase of a schedule is, as tables.

`LEXICON` maps a phrase (words in lower case, joined by one space) to a kind and a value; the grammar in
`clauses` knows kinds only. A phrase of several words goes before the words in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TEENTHS = (
    "tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_NUMBERS = f"zero one two three four five six seven eight nine {_TEENS}".split()
_ORDINALS = f"first second third fourth fifth sixth seventh eighth ninth {_TEENTHS} twentieth".split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "ninety"]

NUMBERS = {word: value for value, word in enumerate(_NUMBERS)} | dict(
    zip(_TENS, (20, 30, 40, 50, 60, 90), strict=True)
)
WORKDAYS = (1, 2, 3, 4, 5)
LAST = -1  # the rank of a "last" Friday or day
ORDINALS = {word: rank for rank, word in enumerate(_ORDINALS, 1)} | {
    "thirtieth": 30,
    "last": LAST,
    "final": LAST,
}
SUFFIXES = ("st", "nd", "rd", "th")
RANKS = {LAST: "last", 1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}

UNITS = {
    "second": "second seconds sec secs s",
    "minute": "minute minutes min mins m",
    "hour": "hour hours hr hrs h",
    "day": "day days d|calendar day|calendar days",
    "week": "week weeks wk wks w",
    "month": "month months|calendar month",
    "quarter": "quarter quarters",
    "year": "year years yr yrs|calendar year",
}
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
MONTHS_IN = {"month": 1, "quarter": 3, "year": 12}

WEEKDAYS = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
]  # 0 to 6, as in cron
_DAYS = {
    0: "sunday sun",
    1: "monday mon",
    2: "tuesday tue tues",
    3: "wednesday wed weds",
    4: "thursday thu thur thurs",
    5: "friday fri",
    6: "saturday sat",
}
_DAY_SETS = {
    "weekday weekdays workday workdays|working day|working days|work day|work days|week day|week days"
    "|business day|business days|m f": WORKDAYS,
    "weekend weekends|weekend day|weekend days": (0, 6),
}

MONTHS = (
    "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sep sept"
    "|october oct|november nov|december dec"
)

MONTH_NAMES = [names.split()[0].title() for names in MONTHS.split("|")]

# Part of the day -> what a 12-hour hour becomes in it; an hour that is absent is none of that part.
PARTS = {
    "morning": {hour: hour for hour in range(1, 12)},
    "afternoon": {12: 12} | {hour: hour + 12 for hour in range(1, 7)},
    "evening": {hour: hour + 12 for hour in range(4, 12)},
    "tonight": {hour: hour + 12 for hour in range(5, 12)},
    "night": {12: 0} | {hour: hour for hour in range(1, 6)} | {hour: hour + 12 for hour in range(6, 12)},
}

ADVERBS = {
    "hourly": (1, "hour"),
    "half hourly": (30, "minute"),
    "daily": (1, "day"),
    "nightly": (1, "day"),
    "everyday": (1, "day"),
    "weekly": (1, "week"),
    "fortnightly": (2, "week"),
    "every fortnight": (2, "week"),
    "monthly": (1, "month"),
    "quarterly": (1, "quarter"),
    "yearly": (1, "year"),
    "annually": (1, "year"),
}

# Words that are understood and cannot be held, with the reason.
REFUSED = {
    "biweekly|bi weekly": '"biweekly" is twice a week to some and every two weeks to others',
    "bimonthly|bi monthly": '"bimonthly" is twice a month to some and every two months to others',
    "biannually|bi annually|biannual|semiannually|semi annually": "which two days of the year is not said",
    "holiday|holidays|bank holidays|public holidays": "holidays are in no calendar here",
    "business hours|office hours|working hours|work hours": "the hours are not said",
    "around|about|approximately|roughly|sometime|sometimes|occasionally|randomly": "it is not exact",
    "yesterday|ago": "that is past",
    "or": '"or" leaves a choice',
}

NAMED_TIMES = {"noon|midday|12 noon|twelve noon": 12, "midnight|12 midnight|twelve midnight": 0}
MARKS = {"on the hour|top of the hour|top of every hour|top of each hour": 0, "on the half hour": 30}

# Words of the grammar's own, by kind. What is in none of these tables is unknown, and refused.
_STRUCTURE = {
    "every": "every each all",
    "other": "other alternate",
    "at": "at @",
    "on": "on",
    "in": "in during|in the|during the",
    "of": "of|of the|in the month of",
    "to": "to through thru -",
    "until": "until till",
    "and": "and & plus , ;",
    "slash": "/",
    "between": "between from",
    "past": "past after",
    "half": "half",
    "article": "a an",
    "per": "per",
    "the": "the",
    "next": "next coming upcoming|this coming",
    "this": "this",
    "today": "today",
    "tonight": "tonight",
    "tomorrow": "tomorrow|the day after tomorrow|day after tomorrow",
    "now": "|from now|from today",
    "except": "except excluding but not|except for|but not|other than|apart from",
    "only": "only",
    "times": "times",
    "starting": "starting|starting from|starting on|starting at|beginning on|beginning from|beginning at",
    "nearest": "nearest|nearest to",
    "oclock": "o'clock oclock",
    "start": "start|beginning of|beginning of the",
    "end": "end",
}
FILLER = (
    "please run runs running execute trigger schedule scheduled job jobs task it do me date dates time clock"
    " standard daylight timezone zone local my our happen happens repeat repeats recurring sharp exactly"
    " backup backups report reports script build pipeline ( ) . ! : \" '"
)

# Phrase -> IANA zone. Cities, countries of one zone, names and abbreviations.
_PLACES = {
    "Africa/Cairo": "cairo egypt",
    "Africa/Casablanca": "casablanca",
    "Africa/Johannesburg": "johannesburg sast|cape town|south africa",
    "Africa/Lagos": "lagos nigeria wat",
    "Africa/Nairobi": "nairobi kenya eat",
    "America/Anchorage": "anchorage alaska akst akdt",
    "America/Argentina/Buenos_Aires": "argentina art|buenos aires",
    "America/Bogota": "bogota colombia",
    "America/Chicago": "chicago dallas houston austin central ct cdt|us central|new orleans|saint louis",
    "America/Denver": "denver mountain mt mdt|us mountain|salt lake city",
    "America/Halifax": "halifax atlantic adt",
    "America/Lima": "lima peru",
    "America/Los_Angeles": "seattle pacific pt pst pdt portland sf california|los angeles|san francisco"
    "|las vegas|san diego|us pacific|silicon valley",
    "America/Mexico_City": "|mexico city",
    "America/New_York": "boston eastern et edt nyc miami atlanta philadelphia|new york|us eastern"
    "|washington dc",
    "America/Phoenix": "phoenix arizona",
    "America/Santiago": "santiago",
    "America/Sao_Paulo": "brt brasilia|sao paulo|rio de janeiro",
    "America/St_Johns": "newfoundland",
    "America/Toronto": "toronto montreal ottawa",
    "America/Vancouver": "vancouver",
    "Asia/Bangkok": "bangkok thailand",
    "Asia/Dhaka": "dhaka bangladesh",
    "Asia/Dubai": "dubai|abu dhabi",
    "Asia/Ho_Chi_Minh": "hanoi saigon vietnam|ho chi minh city",
    "Asia/Hong_Kong": "hkt|hong kong",
    "Asia/Jakarta": "jakarta wib",
    "Asia/Jerusalem": "jerusalem israel|tel aviv",
    "Asia/Karachi": "karachi pakistan pkt",
    "Asia/Kathmandu": "kathmandu nepal",
    "Asia/Kolkata": "india kolkata mumbai delhi bangalore bengaluru chennai hyderabad pune|new delhi"
    "|india standard|indian standard|indian",
    "Asia/Kuala_Lumpur": "|kuala lumpur",
    "Asia/Manila": "manila philippines",
    "Asia/Riyadh": "riyadh",
    "Asia/Seoul": "seoul korea kst|south korea",
    "Asia/Shanghai": "shanghai beijing shenzhen china",
    "Asia/Singapore": "singapore sgt",
    "Asia/Taipei": "taipei taiwan",
    "Asia/Tehran": "tehran iran",
    "Asia/Tokyo": "tokyo osaka japan jst",
    "Atlantic/Reykjavik": "reykjavik iceland",
    "Australia/Adelaide": "adelaide acst acdt",
    "Australia/Brisbane": "brisbane",
    "Australia/Darwin": "darwin",
    "Australia/Melbourne": "melbourne",
    "Australia/Perth": "perth awst",
    "Australia/Sydney": "sydney aest aedt canberra",
    "CET": "cet cest|central european|central european summer",
    "EET": "eet eest|eastern european",
    "Etc/GMT": "gmt|greenwich mean",
    "Europe/Amsterdam": "amsterdam",
    "Europe/Athens": "athens greece",
    "Europe/Berlin": "berlin germany munich hamburg frankfurt cologne|german",
    "Europe/Brussels": "brussels belgium",
    "Europe/Bucharest": "bucharest romania",
    "Europe/Budapest": "budapest hungary",
    "Europe/Copenhagen": "copenhagen denmark",
    "Europe/Dublin": "dublin ireland",
    "Europe/Helsinki": "helsinki finland",
    "Europe/Istanbul": "istanbul turkey",
    "Europe/Kyiv": "kyiv kiev ukraine",
    "Europe/Lisbon": "lisbon",
    "Europe/London": "london uk edinburgh manchester|british|british summer",
    "Europe/Madrid": "madrid barcelona",
    "Europe/Moscow": "moscow msk",
    "Europe/Oslo": "oslo norway",
    "Europe/Paris": "paris france",
    "Europe/Prague": "prague",
    "Europe/Rome": "rome milan italy",
    "Europe/Stockholm": "stockholm sweden",
    "Europe/Vienna": "vienna austria",
    "Europe/Warsaw": "warsaw poland",
    "Europe/Zurich": "zurich geneva switzerland",
    "Pacific/Auckland": "auckland wellington nzst nzdt|new zealand",
    "Pacific/Honolulu": "honolulu hawaii hst",
    "UTC": "utc z zulu|coordinated universal|universal",
}
# Abbreviations of several zones: the one taken, and how it is called.
AMBIGUOUS = {
    "ist": ("Asia/Kolkata", "India, not Israel or Ireland"),
    "cst": ("America/Chicago", "US Central, not China"),
    "bst": ("Europe/London", "British, not Bangladesh"),
    "est": ("America/New_York", "US Eastern, with daylight saving time"),
    "mst": ("America/Denver", "US Mountain, with daylight saving time"),
    "ast": ("America/Halifax", "Atlantic, not Arabia"),
    "gst": ("Asia/Dubai", "Gulf"),
}
ZONE_LABELS = {
    "America/New_York": "Eastern Time",
    "America/Chicago": "Central Time",
    "America/Denver": "Mountain Time",
    "America/Los_Angeles": "Pacific Time",
    "America/Anchorage": "Alaska Time",
    "Pacific/Honolulu": "Hawaii Time",
}
ZONE_REGIONS = [
    "africa",
    "america",
    "antarctica",
    "arctic",
    "asia",
    "atlantic",
    "australia",
    "brazil",
    "canada",
    "chile",
    "etc",
    "europe",
    "indian",
    "mexico",
    "pacific",
    "us",
]


def _phrases(listed: str) -> list[str]:
    """`a b|c d` is the words a and b and the phrase `c d`; after a bar each entry is one phrase."""
    words, *phrases = listed.split("|")
    return [*words.split(), *phrases]


Entries = Iterable[tuple[str, str, Any]]
"""Phrases as listed above, their kind and their value."""


def _structure() -> Entries:
    yield "|".join(FILLER.split()), "filler", None
    yield from ((listed, kind, None) for kind, listed in _STRUCTURE.items())
    yield from (("|" + phrases, "refused", reason) for phrases, reason in REFUSED.items())


def _zones() -> Entries:
    yield from ((listed, "zone", (zone, None)) for zone, listed in _PLACES.items())
    for name, (zone, note) in AMBIGUOUS.items():
        yield name, "zone", (zone, f"{name.upper()} is taken as {zone} ({note})")


def _calendar() -> Entries:
    yield from ((listed, "unit", unit) for unit, listed in UNITS.items())
    for day, listed in _DAYS.items():
        yield listed, "weekday", (day,)
        yield f"{WEEKDAYS[day]}s", "weekdays", (day,)
    yield from ((listed, "weekdays", days) for listed, days in _DAY_SETS.items())
    yield from ((listed, "month", month) for month, listed in enumerate(MONTHS.split("|"), 1))
    yield from (("|" + adverb, "adverb", step) for adverb, step in ADVERBS.items())


def _clock() -> Entries:
    for part in PARTS.keys() - {"tonight"}:
        yield part, "part", part
        yield f"{part}s", "parts", part
    yield from (("|" + listed, "time", hour) for listed, hour in NAMED_TIMES.items())
    yield from (("|" + listed, "mark", minute) for listed, minute in MARKS.items())
    yield from ((word, "meridiem", word[0]) for word in ("am", "a.m.", "pm", "p.m."))


def _numbers() -> Entries:
    yield from ((word, "number", number) for word, number in NUMBERS.items())
    yield from ((word, "ordinal", rank) for word, rank in ORDINALS.items() if word != "second")
    yield from ((word, "suffix", None) for word in SUFFIXES)
    yield from ((word, "count", count) for word, count in (("once", 1), ("twice", 2), ("thrice", 3)))
    for tens in _TENS[:4]:
        for ones in range(1, 10):
            yield f"|{tens} {_NUMBERS[ones]}", "number", NUMBERS[tens] + ones
            yield f"|{tens} {_ORDINALS[ones - 1]}", "ordinal", NUMBERS[tens] + ones


LEXICON: dict[str, tuple[str, Any]] = {
    phrase: (kind, value)
    for entries in (_structure(), _zones(), _calendar(), _clock(), _numbers())
    for listed, kind, value in entries
    for phrase in _phrases(listed)
    if phrase
}
LONGEST_PHRASE = max(phrase.count(" ") + 1 for phrase in LEXICON)
