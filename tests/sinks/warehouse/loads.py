"""Loads for an event log: one event at each offset of one partition, and an erasure of two people."""

from __future__ import annotations

from random import Random

from schemas.erasures import Erasures
from schemas.identifiers import Keyring
from schemas.log_rows import LogRows, Rows
from schemas.operations import Operation
from schemas.tables import tables
from sinks.warehouse.promise import Load, Step
from tests.resolver.profile_histories import an_event
from tests.schemas.messages import message

KEYRING = Keyring("acme")


def rows_at(offset: int, erasures: Erasures | None = None) -> Rows:
    """The rows of one event, another one at each offset."""
    rows: Rows = {}
    events = [an_event(Random(offset))]
    LogRows(KEYRING, erasures or Erasures(KEYRING)).add_events(rows, message(b"", offset=offset), events)
    return rows


def load_at(offset: int, count: int = 1) -> Load:
    """A load of the events from an offset on."""
    step = Step("events", 0, offset or None, offset + count)
    return Load(expected(offset + count, first=offset), (step,), {"events": "id"})


def expected(count: int, erasures: Erasures | None = None, first: int = 0) -> Rows:
    """The rows of the first events together, or of those from another one on."""
    rows: Rows = {}
    for offset in range(first, count):
        for table, listed in rows_at(offset, erasures).items():
            rows.setdefault(table, []).extend(listed)
    return rows


def erasure_of(draw: Random, count: int) -> Load:
    """A load of the erasure of two persons whom the first events name."""
    victims = [draw.choice(expected(count)["nexus_person_identifiers"]) for _ in range(2)]
    keys = {row[tables()["nexus_person_identifiers"].place("identifier_key")] for row in victims}
    erase = Operation("erase", "person", "acme", "0" * 32, "bo", "", (), tuple(sorted(keys)))
    came = message(b"", topic="control", offset=0, timestamp_ms=1_000_000 + draw.randrange(12_000))
    erasures = Erasures(KEYRING)
    erasures.learn(keys, erase.position(came.timestamp_ms))
    rows: Rows = {}
    LogRows(KEYRING, erasures).add_operation(rows, came, erase)
    return Load(rows, (Step("control", 0, None, 1),), erased=erasures.positions)
