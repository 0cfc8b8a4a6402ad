from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgagent_py import cron
from pgagent_py.cron import CronError, Fields

LAST = 32
EVERY_MINUTE = range(60)

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def flags(chosen: Iterable[int], size: int, first: int = 0) -> tuple[bool, ...]:
    wanted = set(chosen)
    return tuple(number in wanted for number in range(first, first + size))


def fields(
    minutes: Iterable[int] = (),
    hours: Iterable[int] = (),
    monthdays: Iterable[int] = (),
    months: Iterable[int] = (),
    weekdays: Iterable[int] = (),
) -> Fields:
    """The arrays that allow these numbers, in crontab's order; nothing stands for a wildcard."""
    return Fields(
        minutes=flags(minutes, 60),
        hours=flags(hours, 24),
        weekdays=flags(weekdays, 7),
        monthdays=flags(monthdays, 32, first=1),
        months=flags(months, 12, first=1),
    )


# ---- From text to arrays -----------------------------------------------------------------------------------

VALID: dict[str, tuple[str, Fields]] = {
    "everything": ("* * * * *", fields()),
    "one of each": ("30 2 15 6 *", fields([30], [2], [15], [6])),
    "workdays": ("30 2 * * 1-5", fields([30], [2], weekdays=range(1, 6))),
    "step over everything": ("*/15 * * * *", fields([0, 15, 30, 45])),
    "step over everything, uneven": ("*/25 * * * *", fields([0, 25, 50])),
    "step over a range": ("10-50/5 * * * *", fields(range(10, 51, 5))),
    "step that misses the end": ("10-14/3 * * * *", fields([10, 13])),
    "step longer than its range": ("10-14/30 * * * *", fields([10])),
    "step of one": ("*/1 */1 */1 */1 */1", fields()),
    "largest steps": ("*/59 */23 * */12 *", fields([0, 59], [0, 23], months=[1])),
    "days from the first": ("0 0 */10 * *", fields([0], [0], [1, 11, 21, 31])),
    "months from January": ("0 0 1 */3 *", fields([0], [0], [1], [1, 4, 7, 10])),
    "list": ("5,10,55 * * * *", fields([5, 10, 55])),
    "list of all kinds": ("1,10-12,30-40/5,7 * * * *", fields([1, 7, 10, 11, 12, 30, 35, 40])),
    "list with a number twice": ("5,5 * * * *", fields([5])),
    "list with everything": ("5,* * * * *", fields()),
    "range of one": ("5-5 * * * *", fields([5])),
    "range of everything": ("0-59 0-23 1-31 1-12 0-6", fields()),
    "leading zeros": ("05 002 1 01 *", fields([5], [2], [1], [1])),
    "many leading zeros": (f"{'0' * 5000}7 0 * * *", fields([7], [0])),
    "bounds": ("0,59 0,23 1,31 1,12 *", fields([0, 59], [0, 23], [1, 31], [1, 12])),
    "Sunday is 0": ("0 0 * * 0", fields([0], [0], weekdays=[0])),
    "Sunday is 7": ("0 0 * * 7", fields([0], [0], weekdays=[0])),
    "Friday to Sunday": ("0 0 * * 5-7", fields([0], [0], weekdays=[5, 6, 0])),
    "weekdays 0-7": ("0 0 * * 0-7", fields([0], [0])),
    "weekdays 1-7": ("0 0 * * 1-7", fields([0], [0])),
    "weekdays 1-7/2": ("0 0 * * 1-7/2", fields([0], [0], weekdays=[1, 3, 5, 0])),
    "every second weekday": ("0 0 * * */2", fields([0], [0], weekdays=[0, 2, 4, 6])),
    "every seventh weekday": ("0 0 * * */7", fields([0], [0], weekdays=[0])),
    "names": ("0 0 * jan,dec mon-fri", fields([0], [0], months=[1, 12], weekdays=range(1, 6))),
    "names in any case": ("0 0 * Feb-APR sUn,SAT", fields([0], [0], months=[2, 3, 4], weekdays=[0, 6])),
    "names and numbers": ("0 0 * jan-3/2 sun-3", fields([0], [0], months=[1, 3], weekdays=[0, 1, 2, 3])),
    "last day": ("0 0 L * *", fields([0], [0], [LAST])),
    "last day in lower case": ("0 0 l * *", fields([0], [0], [LAST])),
    "last day in a list": ("0 0 1,L,15 * *", fields([0], [0], [1, 15, LAST])),
    "days to the 31st": ("0 0 1-31 * *", fields([0], [0])),
    "days to the last": ("0 0 1-30,L * *", fields([0], [0])),
    "days to the 29th and the last": ("0 0 1-29,L * *", fields([0], [0], [*range(1, 30), LAST])),
    "days but the 31st": ("0 0 1-30 * *", fields([0], [0], range(1, 31))),
    "blanks": (" \t 0   0\t1 * *\t \n", fields([0], [0], [1])),
    "line end of DOS": ("0 0 1 * *\r\n", fields([0], [0], [1])),
    "@yearly": ("@yearly", fields([0], [0], [1], [1])),
    "@annually": ("@annually", fields([0], [0], [1], [1])),
    "@monthly": ("@monthly", fields([0], [0], [1])),
    "@weekly": ("@weekly", fields([0], [0], weekdays=[0])),
    "@daily": ("@daily", fields([0], [0])),
    "@midnight": ("@midnight", fields([0], [0])),
    "@hourly": ("@hourly", fields([0])),
    "macro in any case, with blanks": (" @Daily\n", fields([0], [0])),
    "both days, the first begins with *": ("0 0 */2 * 1", fields([0], [0], range(1, 32, 2), weekdays=[1])),
    "both days, the second begins with *": ("0 0 13 * */5", fields([0], [0], [13], weekdays=[0, 5])),
    "both days, a list begins with *": ("0 0 *,5 * 1", fields([0], [0], weekdays=[1])),
    "both days, both begin with *": ("0 0 */2 * */2", fields([0], [0], range(1, 32, 2), weekdays=[0, 2, 4, 6])),
    "both days, all days of a month": ("0 0 1-31 * 1", fields([0], [0])),
    "both days, all weekdays": ("0 0 13 * 0-6", fields([0], [0])),
    "both days, * at the end of a list": ("0 0 5,* * 1", fields([0], [0])),
}


@pytest.mark.parametrize(("text", "expected"), VALID.values(), ids=VALID)
def test_text_is_read(text: str, expected: Fields) -> None:
    assert cron.parse(text) == expected


# The character ^ marks the one to which the error must point: it is taken out of the text.
INVALID: dict[str, tuple[str, str, str]] = {
    "empty": ("^", "crontab text is empty", "five fields"),
    "blanks alone": ("^ \t\n", "crontab text is empty", "five fields"),
    "one field": ("30^", "crontab text has 1 field instead of five", "minute, hour, day of the month, month"),
    "four fields": ("* * * *^  ", "crontab text has 4 fields instead of five", "minute, hour"),
    "seconds": (
        " ^0 30 2 * * 1-5",
        "has 6 fields instead of five",
        "Seconds are not crontab's: see column jscinterval",
    ),
    "seconds, with names and ?": ("^0 0 12 ? * MON-FRI", "has 6 fields", "Seconds"),
    "command": ("30 2 * * * ^/usr/bin/vacuumdb", "has 6 fields", "command"),
    "command and argument": ("30 2 * * * ^vacuumdb -a", "has 7 fields", "command"),
    "comment": ("30 2 * * * ^# at night", "has 8 fields", "command"),
    "two lines": ("0 0 * * *^\n0 1 * * *", "crontab text has more than one line", "by itself"),
    "@reboot": (" ^@Reboot", "@reboot names no time", "start of the server"),
    "@every": ("^@every 5m", "@every is an interval", "jscinterval"),
    "@every without a blank": ("^@every_minute", "@every is an interval", "jscinterval"),
    "unknown macro": ("^@fortnightly", 'unknown macro "@fortnightly"', "@yearly, @annually, @monthly, @weekly, @daily"),
    "lone @": ("^@", 'unknown macro "@"', "@daily"),
    "text after a macro": ("@daily ^root", "text after @daily", "nothing follows"),
    "macro as a field": ("0 0 * * ^@daily", 'unexpected character "@" in the weekday field', "0 and 7 are Sunday"),
    "minute 60": ("^60 * * * *", "minute 60 is out of range", "0 to 59"),
    "hour 24": ("0 ^24 * * *", "hour 24 is out of range", "0 to 23"),
    "day 0": ("0 0 ^0 * *", "day of the month 0 is out of range", "1 to 31"),
    "day 32": ("0 0 1,^32 * *", "day of the month 32 is out of range", "1 to 31"),
    "month 0": ("0 0 1 ^0 *", "month 0 is out of range", "1 to 12, names jan to dec"),
    "month 13": ("0 0 1 1-^13 *", "month 13 is out of range", "1 to 12"),
    "weekday 8": ("0 0 * * ^8", "weekday 8 is out of range", "0 to 7, names sun to sat; 0 and 7 are Sunday"),
    "huge number": (f"^{'9' * 5000} * * * *", f"minute {'9' * 20}... is out of range", "0 to 59"),
    "number that ends well": ("^1000000005 * * * *", "minute 1000000005 is out of range", "0 to 59"),
    "descending hours": ("0 ^22-4 * * *", 'range "22-4" is descending', 'Write "22-23,0-4"'),
    "descending to the first": ("^59-0 * * * *", 'range "59-0" is descending', 'Write "59,0"'),
    "descending in a list": ("0 1,^22-4 * * *", "descending", 'Write "22-23,0-4"'),
    "descending months": ("0 0 1 ^nov-feb *", 'range "nov-feb" is descending', 'Write "11-12,1-2"'),
    "descending days": ("0 0 ^25-5 * *", "descending", 'Write "25-31,1-5"'),
    "descending with a step": ("0 ^20-5/3 * * *", "descending", 'Write "20-23/3,2-5/3"'),
    "descending with a long step": ("0 ^22-4/23 * * *", "descending", 'Write "22"'),
    "descending weekdays": ("0 0 * * ^fri-mon", "descending", 'Write "5-6,0-1"'),
    "descending to Sunday": ("0 0 * * ^fri-sun", "descending", 'Write "5-7"'),
    "descending from 7": ("0 0 * * ^7-2", "descending", 'Write "0-2"'),
    "step 0": ("*/^0 * * * *", "a step of 0", "from 1"),
    "step 000": ("1-5/^000 * * * *", "a step of 0", "from 1"),
    "step 60": ("*/^60 * * * *", "a step of 60 goes beyond the last minute, 59", "jscinterval"),
    "step of 90 minutes": ("*/^90 * * * *", "a step of 90", "jscinterval"),
    "step of 32 days": ("0 0 */^32 * *", "a step of 32 goes beyond the last day of the month, 31", "anew"),
    "huge step": (f"*/^{'1' * 5000} * * * *", f"a step of {'1' * 20}... goes", "anew"),
    "number with a step": ("^5/15 * * * *", 'what "5/15" means', 'Write "5-59/15", or "5"'),
    "day with a step": ("0 0 1,^2/7 * *", 'what "2/7" means', 'Write "2-31/7"'),
    "name with a step": ("0 0 * * ^mon/2", 'what "mon/2" means', 'Write "1-6/2", or "1"'),
    "7 with a step": ("0 0 * * ^7/2", 'what "7/2" means', 'Write "0-6/2"'),
    "step is missing": ("*/^ * * * *", "a step has to be a number", "*/15"),
    "step is a name": ("*/^x * * * *", "a step has to be a number", "*/15"),
    "step is negative": ("*/^-5 * * * *", "a step has to be a number", "*/15"),
    "step without a range": ("^/15 * * * *", "step without a range", "*/15"),
    "two steps": ("*/2^/3 * * * *", 'unexpected character "/" in the minute field', "steps"),
    "range without an end": ("* 5^- * * *", "range without an end", "0 to 23"),
    "range without a beginning": ("* ^-5 * * *", "range without a beginning", "0 to 23"),
    "range of *": ("*^-5 * * * *", '"*" cannot begin a range', "0 to 59"),
    "range to *": ("5^-* * * * *", 'unexpected character "-"', "low-high"),
    "range of three": ("1-5^-9 * * * *", 'unexpected character "-"', "low-high"),
    "comma at the beginning": ("^,5 * * * *", "empty item in the minute field", "comma"),
    "comma at the end": ("5,^ * * * *", "empty item in the minute field", "comma"),
    "two commas": ("* * * 1,^,2 *", "empty item in the month field", "comma"),
    "? for any day": ("0 0 ^? * 1", '"?" is not crontab\'s', "Write *"),
    "workday nearest": ("0 0 15^W * *", 'cannot say "the workday nearest to"', "1-5"),
    "workday nearest, lower case": ("0 0 15^w * *", 'cannot say "the workday nearest to"', "1-5"),
    "workday alone": ("0 0 ^W * *", 'cannot say "the workday nearest to"', "1-5"),
    "last workday": ("0 0 L^W * *", 'cannot say "the workday nearest to"', "1-5"),
    "second Monday": ("0 0 * * 1^#2", "n-th weekday", "jscmonthdays 8 to 14"),
    "second Monday by name": ("0 0 * * mon^#2", "n-th weekday", "jscmonthdays 8 to 14"),
    "last Friday": ("0 0 * * 5^L", "last weekday of a month", "last seven days"),
    "last Friday by name": ("0 0 * * FRI^L", "last weekday of a month", "last seven days"),
    "L as a weekday": ("0 0 * * ^L", "last weekday of a month", "last seven days"),
    "L after a day": ("0 0 5^L * *", '"L" takes no number', "15,L"),
    "L as an end": ("0 0 20-^L * *", '"L" takes no number', "15,L"),
    "L as a beginning": ("0 0 ^L-3 * *", '"L" takes no number', "15,L"),
    "L with a step": ("0 0 ^L/2 * *", '"L" takes no number', "15,L"),
    "L as an hour": ("0 ^L * * *", '"L" is no hour', "third field"),
    "pg_cron's last day": ("0 0 ^$ * *", '"$" is not crontab\'s', "is L"),
    "cronie's random time": ("0^~59 * * * *", '("~")', "Choose"),
    "percent sign": ("^% * * * *", '"%" belongs to a command', "time"),
    "name as a minute": ("^H * * * *", 'unknown minute "H"', "0 to 59"),
    "long name": ("0 0 * ^January *", 'unknown month "January"', 'write "jan"'),
    "weekday as a month": ("0 0 * ^mon *", 'unknown month "mon"', "names jan to dec"),
    "unknown name": ("0 0 * * 1,^lun", 'unknown weekday "lun"', "names sun to sat"),
    "very long name": (f"^{'a' * 99} * * * *", f'unknown minute "{"a" * 20}..."', "0 to 59"),
    "digit after a name": ("0 0 * jan^5 *", 'unexpected character "5"', "names jan to dec"),
    "fraction": ("1^.5 * * * *", 'unexpected character "."', "0 to 59"),
    "sign": ("^+5 * * * *", 'unexpected character "+"', "0 to 59"),
    "digits of another script": ("0 1^٢ * * *", '"٢" is not an ASCII digit', "0 to 9"),
    "full-width digit": ("^\uff15 * * * *", '"\uff15" is not an ASCII digit', "0 to 9"),
    "superscript": ("0 1^² * * *", 'unexpected character "²"', "0 to 23"),
    "dash that is none": ("0 9^\u201317 * * *", 'unexpected character "\u2013"', "0 to 23"),
    "blank that is none": ("0 0^\u00a0* * * *", "unexpected character U+00A0", "0 to 23"),
    "letters of another script": ("0 0 * * ^пн", 'unexpected character "п"', "names sun to sat"),
    "control character": ("0^\x01 * * * *", "unexpected character U+0001", "0 to 59"),
    "both days": (
        "30 2 1,15 jan ^Fri",
        "crontab runs when the day of the month or the weekday matches, a schedule when both match",
        '"30 2 1,15 jan *" and "30 2 * jan Fri"',
    ),
    "both days, last day": ("0 0 L * ^1", "when both match", '"0 0 L * *" and "0 0 * * 1"'),
    "both days, ranges": (
        " 0  0 1-30/2\t* ^1-7/2 ",
        "when both match",
        '"0 0 1-30/2 * *" and "0 0 * * 1-7/2"',
    ),
    "errors come before the rule on days": ("0 0 1 ^13 1", "month 13 is out of range", "1 to 12"),
}


@pytest.mark.parametrize(("marked", "message", "hint"), INVALID.values(), ids=INVALID)
def test_text_is_refused(marked: str, message: str, hint: str) -> None:
    with pytest.raises(CronError, match=re.escape(message)) as caught:
        cron.parse(marked.replace("^", "", 1))
    assert caught.value.position == marked.index("^")
    assert hint in caught.value.hint


def test_messages_are_in_the_servers_style() -> None:
    for marked, _, _ in INVALID.values():
        with pytest.raises(CronError) as caught:
            cron.parse(marked.replace("^", "", 1))
        message = str(caught.value)
        assert message[0] == message[0].lower()
        assert not message.endswith(".")
        assert caught.value.hint[0] == caught.value.hint[0].upper()
        assert caught.value.hint.endswith(".")


@pytest.mark.parametrize(
    "name",
    ["descending hours", "descending with a step", "descending weekdays", "descending to Sunday", "7 with a step"],
)
def test_text_of_a_hint_is_read(name: str) -> None:
    marked, _, hint = INVALID[name]
    before, _, after = marked.partition("^")
    found = re.search(r'"(.+)"', hint)
    assert found
    remedied = f"{before}{found[1]}{re.sub(r'^[^ ]+', '', after)}"
    assert cron.format(cron.parse(remedied)) is not None


def read_or_refuse(text: str) -> Fields | CronError:
    try:
        return cron.parse(text)
    except CronError as error:
        return error


@given(
    st.one_of(
        st.text(),
        st.text("0123456789*/,-LW#?@$ \t\njanmofri"),
        st.lists(st.text("0123456789*/,-LW", min_size=1, max_size=4), min_size=5, max_size=5).map(" ".join),
    )
)
def test_any_text_is_read_or_refused(text: str) -> None:
    read = read_or_refuse(text)
    if isinstance(read, CronError):
        assert 0 <= read.position <= len(text)
        assert cron.point_at(text, read.position).count("\n") == 1
    else:
        assert cron.normalise(read.minutes, read.hours, read.weekdays, read.monthdays, read.months) == read


# ---- Where an error is -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position", "lines"),
    [
        ("0 24 * * *", 2, ["0 24 * * *", "  ^"]),
        ("", 0, ["", "^"]),
        ("* * *", 5, ["* * *", "     ^"]),
        ("0\t24\t* * *", 2, ["0\t24\t* * *", " \t^"]),
        ("0\n24", 2, ["0 24", "  ^"]),
        ("\x01\u202e24", 2, ["  24", "  ^"]),
        ("\uff15 \uff15 x", 4, ["\uff15 \uff15 x", "      ^"]),
        ("e\u0301 x", 3, ["e\u0301 x", "  ^"]),
        ("1" * 100, 0, ["1" * 72 + "...", "^"]),
        ("1" * 100, 100, ["..." + "1" * 72, " " * 75 + "^"]),
        ("1" * 100 + "x" + "2" * 100, 100, ["..." + "1" * 36 + "x" + "2" * 35 + "...", " " * 39 + "^"]),
    ],
)
def test_caret_stands_under_the_character(text: str, position: int, lines: list[str]) -> None:
    assert cron.point_at(text, position).split("\n") == lines


# ---- Vixie cron, the slow way ------------------------------------------------------------------------------


def number_of(token: str, names: Sequence[str], first: int) -> int:
    return int(token) if token.isdigit() else names.index(token.lower()) + first


def field_allows(text: str, value: int, first: int, last: int, names: Sequence[str] = ()) -> bool:
    """Tell whether one field of a crontab line lets a number through; L is let through by its caller."""
    for item in text.split(","):
        if item.upper() == "L":
            continue
        bounds, _, step = item.partition("/")
        low, _, high = (f"{first}-{last}" if bounds == "*" else bounds).partition("-")
        begin = number_of(low, names, first)
        end = number_of(high, names, first) if high else begin
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def monthday_allows(text: str, moment: datetime) -> bool:
    is_last = (moment + timedelta(days=1)).day == 1
    return field_allows(text, moment.day, 1, 31) or (is_last and "L" in text.upper().split(","))


def weekday_allows(text: str, moment: datetime) -> bool:
    """As Vixie cron: weekdays are 0 to 7, and Sunday is let through as either."""
    return any(field_allows(text, number, 0, 7, WEEKDAYS) for number in (moment.isoweekday(), moment.isoweekday() % 7))


def cron_fires(text: str, moment: datetime) -> bool:
    """Tell whether Vixie cron runs a line at a minute."""
    minute, hour, monthday, month, weekday = text.split()
    days = (monthday_allows(monthday, moment), weekday_allows(weekday, moment))
    return (
        field_allows(minute, moment.minute, 0, 59)
        and field_allows(hour, moment.hour, 0, 23)
        and field_allows(month, moment.month, 1, 12, MONTHS)
        and (all(days) if monthday[0] == "*" or weekday[0] == "*" else any(days))
    )


def schedule_fires(arrays: Fields, moment: datetime) -> bool:
    """Tell whether the arrays match a minute by pgAgent's rules."""
    is_last = (moment + timedelta(days=1)).day == 1
    monthdays = arrays.monthdays
    return (
        (arrays.minutes[moment.minute] or not any(arrays.minutes))
        and (arrays.hours[moment.hour] or not any(arrays.hours))
        and (arrays.months[moment.month - 1] or not any(arrays.months))
        and (arrays.weekdays[moment.isoweekday() % 7] or not any(arrays.weekdays))
        and (monthdays[moment.day - 1] or (is_last and monthdays[31]) or not any(monthdays))
    )


def telling_moments(text: str) -> Iterator[datetime]:
    """Yield every day of a year at an allowed time, and times that differ in one field, on a day that is allowed."""
    minute, hour, *_ = text.split()
    minutes = [number for number in range(60) if field_allows(minute, number, 0, 59)]
    hours = [number for number in range(24) if field_allows(hour, number, 0, 23)]
    days = [
        datetime(2028, 1, 1, hours[0], minutes[0], tzinfo=timezone.utc) + timedelta(days=number)
        for number in range(366)
    ]
    yield from days
    allowed = next((day for day in days if cron_fires(text, day)), days[0])
    yield from (allowed.replace(minute=number) for number in range(60))
    yield from (allowed.replace(hour=number) for number in range(24))


@st.composite
def items(draw: st.DrawFn, first: int, last: int, names: Sequence[str]) -> str:
    def spell(number: int) -> str:
        if names and number - first < len(names) and draw(st.booleans()):
            return draw(st.sampled_from([str.lower, str.upper, str.title]))(names[number - first])
        return str(number)

    low = draw(st.integers(first, last))
    kind = draw(st.sampled_from(["number", "number", "range", "stepped range", "all", "stepped all"]))
    if kind == "number":
        return spell(low)
    step = f"/{draw(st.integers(1, last))}" if kind.startswith("stepped") else ""
    if kind.endswith("all"):
        return f"*{step}"
    high = draw(st.integers(low, last))
    return f"{spell(low)}-{spell(high)}{step}"


def lists(first: int, last: int, names: Sequence[str] = (), *, more: Sequence[str] = ()) -> st.SearchStrategy[str]:
    item = items(first, last, names)
    return st.lists(item | st.sampled_from(more) if more else item, min_size=1, max_size=3).map(",".join)


CRONTABS = st.tuples(
    lists(0, 59),
    lists(0, 23),
    lists(1, 31, more=["L", "*", "1-31"]),
    lists(1, 12, MONTHS),
    lists(0, 7, WEEKDAYS, more=["*"]),
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(CRONTABS)
@example("0 0 1-31 * 1")
@example("0 0 *,1 * 1")
@example("0 0 1,* * 1")
@example("0 0 L * */7")
@example("0 0 1-30,L * 1")
def test_arrays_match_when_cron_fires(text: str) -> None:
    """What is refused because of its days is made into two lines, which together run when cron does."""
    read = read_or_refuse(text)
    schedules = [read] if isinstance(read, Fields) else [cron.parse(line) for line in re.findall('"(.+?)"', read.hint)]
    if isinstance(read, CronError):
        _, _, monthday, _, weekday = text.split()
        assert "*" not in {monthday[0], weekday[0]}
        by_monthday, by_weekday = schedules
        assert any(by_monthday.monthdays)
        assert any(by_weekday.weekdays)
    for moment in telling_moments(text):
        assert cron_fires(text, moment) == any(schedule_fires(arrays, moment) for arrays in schedules), moment


# ---- From arrays to text -----------------------------------------------------------------------------------

WRITTEN = {
    "* * * * *": fields(),
    "0 0 * * *": fields([0], [0], EVERY_MINUTE[1:32], range(1, 13), range(7)),
    "*/15 * * * *": fields([0, 15, 30, 45]),
    "*/30 */12 * * *": fields([0, 30], [0, 12]),
    "0,59 0,13 * * *": fields([0, 59], [0, 13]),
    "0 9-17 * * 1-5": fields([0], range(9, 18), weekdays=range(1, 6)),
    "5-50/15 * * * *": fields([5, 20, 35, 50]),
    "1-59/2 * * * *": fields(range(1, 60, 2)),
    "10-50/5 * * * *": fields(range(10, 51, 5)),
    "1,2,10-14,30-58/4 * * * *": fields([1, 2, *range(10, 15), *range(30, 60, 4)]),
    "0 9,11 * * *": fields([0], [9, 11]),
    "0 1,3,5 * * *": fields([0], [1, 3, 5]),
    "0 9-13/2 * * *": fields([0], [9, 11, 13]),
    "0 0 1 */3 *": fields([0], [0], [1], [1, 4, 7, 10]),
    "0 0 */2 * *": fields([0], [0], range(1, 32, 2)),
    "0 0 L * *": fields([0], [0], [LAST]),
    "0 0 1,15,L * *": fields([0], [0], [1, 15, LAST]),
    "0 0 1-29,L * *": fields([0], [0], [*range(1, 30), LAST]),
    "0 0 1-30 * *": fields([0], [0], range(1, 31)),
    "0 0 * * 0": fields([0], [0], weekdays=[0]),
    "0 0 * * 0,6": fields([0], [0], weekdays=[0, 6]),
    "0 0 * 6-8 0,5,6": fields([0], [0], months=[6, 7, 8], weekdays=[0, 5, 6]),
    "0 0 * * */2": fields([0], [0], weekdays=[0, 2, 4, 6]),
}


@pytest.mark.parametrize(("text", "arrays"), WRITTEN.items(), ids=WRITTEN)
def test_text_is_short(text: str, arrays: Fields) -> None:
    assert cron.format(arrays) == text


def test_both_kinds_of_days_cannot_be_written() -> None:
    assert cron.format(fields(monthdays=[13], weekdays=[5])) is None
    assert cron.format(cron.parse("0 0 */2 * 1")) is None
    assert cron.format(fields(monthdays=[LAST], weekdays=[5])) is None


def test_days_that_restrict_nothing_can_be_written() -> None:
    assert cron.format(fields(monthdays=range(1, 32), weekdays=[5])) == "* * * * 5"
    assert cron.format(fields(monthdays=[13], weekdays=range(7))) == "* * 13 * *"


def arrays_of(size: int) -> st.SearchStrategy[list[bool | None]]:
    return st.one_of(
        st.lists(st.sampled_from([True, False, None]), max_size=size + 2),
        st.lists(st.booleans(), min_size=size, max_size=size),
        st.just([False] * size),
        st.just([True] * size),
    )


@given(arrays_of(60), arrays_of(24), arrays_of(7), arrays_of(32), arrays_of(12))
@example([], [], [], [True] * 30 + [False, True], [])
@example([None] * 60, [True], [], [None] * 31 + [True], [False] * 12 + [True])
def test_arrays_are_read_back(
    minutes: list[bool | None],
    hours: list[bool | None],
    weekdays: list[bool | None],
    monthdays: list[bool | None],
    months: list[bool | None],
) -> None:
    arrays = cron.normalise(minutes, hours, weekdays, monthdays, months)
    text = cron.format(arrays)
    if text is None:
        assert any(arrays.monthdays)
        assert any(arrays.weekdays)
        text = cron.format(cron.normalise(minutes, hours, [], monthdays, months))
        arrays = cron.normalise(minutes, hours, [], monthdays, months)
        assert text is not None
    assert cron.parse(text) == arrays


@given(st.sets(st.integers(0, 59), min_size=1, max_size=59))
def test_written_text_is_not_longer_than_a_list_of_numbers(minutes: set[int]) -> None:
    written = cron.format(fields(minutes))
    assert written is not None
    assert len(written.split()[0]) <= len(",".join(map(str, minutes)))


def test_sizes_and_wildcards_are_normalised() -> None:
    assert cron.normalise([True], [None, True], [], [True] * 31, [True] * 12) == fields([0], [1])
    assert cron.normalise([True] * 60, [False] * 99, [True] * 9, [False] * 32 + [True], [None]) == fields()
