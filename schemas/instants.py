"""Instants: RFC 3339 text in, whole milliseconds since 1970 in UTC inside, RFC 3339 with `Z` out."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.errors import BadMessage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_MS, _HOUR_MS, _MINUTE_MS = 86_400_000, 3_600_000, 60_000
_FIRST = (1 - _EPOCH_DAY) * _DAY_MS
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


def parse_instant(text: str, path: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 instant, cut (not rounded) to the millisecond.

    `BadMessage("instant")`, naming `path`, for anything else: a time without a zone, the year 0, February 30.
    A leap second counts as the second before it.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise BadMessage("instant", f"{path}: not an RFC 3339 instant with a zone")
    day, hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = match.groups()
    milliseconds = int(f"{fraction[:3]:0<3}") if fraction else 0
    if seconds == "60":
        seconds, milliseconds = "59", 999
    try:
        instant = _day_ms(day) + int(hours) * _HOUR_MS + int(minutes) * _MINUTE_MS + int(seconds) * 1000
    except ValueError:
        raise BadMessage("instant", f"{path}: no such date") from None
    if sign is not None:
        ahead = int(zone_hours) * _HOUR_MS + int(zone_minutes) * _MINUTE_MS
        instant += ahead if sign == "-" else -ahead
    if instant < _FIRST:  # its zone takes it back into the year 0, and it could not be written out again
        raise BadMessage("instant", f"{path}: no such date, time or zone")
    return instant + milliseconds


def parse_local(text: str, zone: str, path: str) -> int:
    """Milliseconds since 1970 of a time without an offset, as clocks in `zone` (`Europe/Berlin`) show it.

    Of an hour that comes twice it is the first. `BadMessage("instant")`, naming `path`, for anything else.
    """
    shown = parse_instant(text + "Z", path)
    try:
        ahead = ZoneInfo(zone).utcoffset(_EPOCH.replace(tzinfo=None) + timedelta(milliseconds=shown))
    except (ZoneInfoNotFoundError, ValueError, OverflowError, OSError):  # OSError: `Europe` is a folder
        raise BadMessage("instant", f"{path}: its time zone is unknown") from None
    instant = shown - ahead // timedelta(milliseconds=1) if ahead else shown
    if instant < _FIRST:
        raise BadMessage("instant", f"{path}: no such date, time or zone")
    return instant


@lru_cache(maxsize=4096)
def _day_ms(day: str) -> int:
    """The beginning of a day in UTC; days come back again and again. ValueError for February 30."""
    return (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * _DAY_MS


def format_instant(milliseconds: int) -> str:
    """`2026-01-05T10:00:00.000Z`: always UTC, always three decimals, so that text sorts as time does."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{moment.microsecond // 1000:03d}Z"
