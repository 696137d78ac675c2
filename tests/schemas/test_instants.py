"""Instants in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadMessage
from schemas.instants import format_instant, parse_instant


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T00:00:00.0019999999Z", 1),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2016-12-31T23:59:60Z", 1_483_228_799_999),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999-23:59", 253_402_300_799_999 + 86_340_000),
    ],
)
def test_instants_are_cut_to_milliseconds_in_utc(text: str, milliseconds: int) -> None:
    """Zones are taken into account, digits beyond the third dropped, also before 1970."""
    assert parse_instant(text, "occurred_at") == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-05",
        "2026-01-05T10:00:00",
        "2026-01-05 10:00:00Z",
        "2026-01-05T10:00Z",
        "2026-01-05T10:00:00+0100",
        "2026-01-05T10:00:00 Z",
        "2026-01-05T10:00:00.Z",
        "2026-02-30T10:00:00Z",
        "2026-01-05T24:00:00Z",
        "2026-01-05T10:00:61Z",
        "2026-01-05T10:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-W01-1T10:00:00Z",
        "２026-01-05T10:00:00Z",
        "2026-01-05T10:00:00Z\n",
        "yesterday",
        "1767607200",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """Naive times, years that do not exist and other notations are refused, by path and without the text."""
    with pytest.raises(BadMessage) as refused:
        parse_instant(text, "occurred_at")
    assert refused.value.reason == "instant"
    assert refused.value.detail.startswith("occurred_at: ")
    assert not text or text.strip() not in refused.value.detail


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    """Every instant of the years 1 to 9999 has one text, 24 characters long."""
    text = format_instant(milliseconds)
    assert len(text) == 24
    assert parse_instant(text, "") == milliseconds
