"""Junk identifiers."""

import json

import pytest

from demo_producer import Record, records
from demo_producer.junk import KINDS
from schemas.blocked import blocked
from tests.demo_producer.decoding import decoded


@pytest.fixture(scope="module")
def junk() -> list[Record]:
    """A stream's junk."""
    return [record for record in records(count=3_000, faults="junk=50") if record.fault == "junk"]


def test_a_stream_has_every_kind(junk: list[Record]) -> None:
    """Every kind of junk turns up, and each record names its own."""
    assert {record.kind for record in junk} == {name for kinds in KINDS.values() for name in kinds}


def test_junk_is_well_formed(junk: list[Record]) -> None:
    """A record with junk is one event and no dead letter."""
    for record in junk:
        found = decoded(record)
        assert (found.problem, len(found.events)) == (None, 1), record.kind


def test_junk_names_nobody(junk: list[Record]) -> None:
    """Every such record has a value that guard 2 takes out, or one that cannot be normalised."""
    for record in junk:
        (event,) = decoded(record).events
        taken_out = [each for person in event.participants for each in person.identifiers if blocked(each)]
        assert taken_out or event.rejected, record.kind


def test_junk_is_an_event_of_its_own(junk: list[Record]) -> None:
    """It carries an event id that no other record has."""
    ids = [json.loads(record.value or b"") for record in junk]
    assert len({call.get("messageId") or call["id"] for call in ids}) == len(junk)
