"""Messages and log positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, LogPosition, log_position, parse_position
from tests.schemas.messages import NOW_MS, message


def test_the_last_header_of_a_name_counts() -> None:
    """Kafka allows a name twice; its own clients read the last."""
    made = message(b"", headers=(("a", b"1"), ("b", b"2"), ("a", b"3")))
    assert made.header("a") == b"3"
    assert made.header("c") is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"1000", 1000),
        (str(NOW_MS + 1).encode(), NOW_MS),
        (b"-5", NOW_MS),
        (b"soon", NOW_MS),
        (b"", NOW_MS),
        (b"9" * 30, NOW_MS),
        ("\u0661".encode(), NOW_MS),
    ],
)
def test_a_header_can_only_make_a_message_older(header: bytes, expected: int) -> None:
    """A replayed dead letter keeps its first instant; nonsense and later instants are not believed."""
    assert message(b"", headers=(("nexus-ingested-at", header),)).ingested_at_ms == expected


def test_without_headers_the_brokers_timestamp_counts() -> None:
    """`ingested_at` is the message's timestamp."""
    assert message(b"").ingested_at_ms == NOW_MS


_TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=4)
_POSITIONS = st.tuples(st.integers(0, 3) | st.integers(0, 253_402_300_799_999), _TEXT, _TEXT)


@given(_POSITIONS, _POSITIONS)
def test_positions_sort_as_their_parts(one: tuple[int, str, str], other: tuple[int, str, str]) -> None:
    """The order of the bytes is the order of (ingested_at, source, event_id), by code points."""
    assert (log_position(*one) < log_position(*other)) == (one < other)


@given(_POSITIONS)
def test_a_position_can_be_read_back(parts: tuple[int, str, str]) -> None:
    """A position says when, from where and which event."""
    assert parse_position(log_position(*parts)) == LogPosition(*parts)


def test_an_event_knows_its_position() -> None:
    """The position is made from when the event was ingested, not from when it happened."""
    event = Event("e-1", "app", "x", None, occurred_at_ms=1, ingested_at_ms=2, participants=())
    assert event.position == log_position(2, "app", "e-1")
