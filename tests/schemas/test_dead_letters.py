"""Dead letters: headers that tools know, and a way back."""

import pytest

from schemas.dead_letters import DeadLetter, from_headers, headers, replay_headers
from schemas.errors import BadMessage
from tests.schemas.messages import NOW_MS, message

_LETTER = DeadLetter(
    message(
        b"\xff",
        key=b"k",
        partition=3,
        offset=2**40,
        next_offset=2**40 + 1,
        headers=(("trace", b"\x00\xff"), ("trace", b"2")),
    ),
    "not-utf8",
    "the text is not UTF-8",
    "segment",
)


def test_the_headers_are_kafka_connects() -> None:
    """Tools that read Connect's dead letters read ours; the producer's own headers come first, untouched."""
    assert headers(_LETTER) == [
        ("trace", b"\x00\xff"),
        ("trace", b"2"),
        ("__connect.errors.topic", b"events"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"1099511627776"),
        ("__connect.errors.connector.name", b"nexus"),
        ("__connect.errors.task.id", b"0"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"schemas.decode"),
        ("__connect.errors.exception.class.name", b"schemas.errors.BadMessage"),
        ("__connect.errors.exception.message", b"not-utf8: the text is not UTF-8"),
        ("nexus-ingested-at", str(NOW_MS).encode()),
        ("nexus-reason", b"not-utf8"),
        ("nexus-read-as", b"segment"),
    ]


@pytest.mark.parametrize("format_name", ["segment", None])
def test_a_dead_letter_can_be_read_back(format_name: str | None) -> None:
    """Topic, partition, offset, instant, reason, detail, format, key, headers and value are all there."""
    letter = DeadLetter(_LETTER.message, "limit", "message: longer: than 1 MiB", format_name)
    assert from_headers(headers(letter), b"k", b"\xff") == letter


def test_a_tombstone_stays_one() -> None:
    """No value is not an empty value."""
    letter = DeadLetter(message(None), "tombstone", "message: it has no value", "event")
    assert from_headers(headers(letter), None, None) == letter


def test_a_replayed_message_keeps_its_first_instant() -> None:
    """Replaying does not make a message younger, and its second death does not either."""
    again = message(b"\xff", timestamp_ms=NOW_MS + 5000, headers=tuple(replay_headers(_LETTER)))
    assert again.ingested_at_ms == NOW_MS
    twice = headers(DeadLetter(again, "not-utf8", "still", "segment"))
    assert [value for name, value in twice if name == "nexus-ingested-at"] == [str(NOW_MS).encode()]


def test_a_message_that_dies_twice_does_not_collect_headers() -> None:
    """Each of Nexus's headers is there once, whatever the message went through."""
    dead = message(b"\xff", headers=tuple(headers(_LETTER)))
    assert [name for name, _ in headers(DeadLetter(dead, "x", "y", "segment"))] == [
        name for name, _ in headers(_LETTER)
    ]


def test_a_replay_carries_what_decoding_needs_and_no_more() -> None:
    """The producer's headers and the first instant. What a topic was set to is not made into the producer's
    word, or correcting the setting would not help.
    """
    assert replay_headers(_LETTER) == [
        ("trace", b"\x00\xff"),
        ("trace", b"2"),
        ("nexus-ingested-at", str(NOW_MS).encode()),
    ]


def test_a_format_that_the_producer_named_stays_named() -> None:
    """The header `nexus-format` is the producer's: it goes out with the dead letter and comes back with the
    replay.
    """
    said = ("nexus-format", b"stripe")
    letter = DeadLetter(message(b"{", headers=(said,)), "not-json", "the text is not JSON", "stripe")
    assert said in headers(letter)
    assert said in replay_headers(from_headers(headers(letter), None, b"{"))


@pytest.mark.parametrize(
    "left_out", ["__connect.errors.topic", "__connect.errors.offset", "nexus-ingested-at", "nexus-reason"]
)
def test_what_is_no_dead_letter(left_out: str) -> None:
    """A message on the dead letter topic that Nexus did not write there is refused with a reason."""
    some = [each for each in headers(_LETTER) if each[0] != left_out]
    with pytest.raises(BadMessage, match="not-a-dead-letter"):
        from_headers(some, None, None)
