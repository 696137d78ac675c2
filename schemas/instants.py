"""Instants: RFC 3339 text in, whole milliseconds since 1970 in UTC inside, RFC 3339 with `Z` out."""

import re
from datetime import UTC, datetime, timedelta

from schemas.errors import BadMessage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
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
    date, minute, second, fraction, zone = match.groups()
    if second == "60":
        second, fraction = "59", ".999"
    milliseconds = f".{(fraction or '.')[1:4]:0<3}"
    try:
        moment = datetime.fromisoformat(
            f"{date}T{minute}{second}{milliseconds}{'+00:00' if zone in 'Zz' else zone}"
        )
    except ValueError:
        raise BadMessage("instant", f"{path}: no such date, time or zone") from None
    instant = (moment - _EPOCH) // _MILLISECOND
    if instant < _FIRST:  # its zone takes it back into the year 0, and it could not be written out again
        raise BadMessage("instant", f"{path}: no such date, time or zone")
    return instant


def format_instant(milliseconds: int) -> str:
    """`2026-01-05T10:00:00.000Z`: always UTC, always three decimals, so that text sorts as time does."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{moment.microsecond // 1000:03d}Z"
