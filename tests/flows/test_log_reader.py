"""The embedded reader: records in batches, operator events one by one and first, under one lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from flows.log_reader import CONTROL, TOPIC, LogEnd, LogReader
from flows.reader import Taken
from schemas.errors import StoreUnavailable
from schemas.records import encode_record
from sinks.segments import SegmentedLog

NOW_MS = 1_767_600_000_000


class Place:
    """An input log and a control log, and a store that knows their offsets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "input"
        self.logs = {TOPIC: SegmentedLog(self.folder), CONTROL: SegmentedLog(folder / "control")}
        self.offsets: dict[str, int] = {}

    def append(self, topic: str, *values: bytes) -> None:
        """Put values into one of the logs."""
        self.logs[topic].append([encode_record(value, ingested_at_ms=NOW_MS) for value in values])

    def resume(
        self, topic: str, topic_id: str | None, committed: Mapping[int, int | None], from_beginning: bool
    ) -> Mapping[int, int | None]:
        """Where to go on."""
        assert topic_id
        return {0: self.offsets.get(topic)}

    def passed(self, topic: str) -> Mapping[int, int]:
        """The offsets of a topic, as the store has them."""
        return {0: self.offsets[topic]} if topic in self.offsets else {}

    def reader(self, *, of_input: bool = True) -> LogReader:
        """A reader of both logs, or of the operator events alone."""
        log = self.logs[TOPIC] if of_input else None
        return LogReader(log, self.folder, self.resume, control=self.logs[CONTROL], wait_s=0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give two empty logs."""
    return Place(tmp_path)


@pytest.fixture
def reader(place: Place) -> Iterator[LogReader]:
    """Give the reader of both."""
    with closing(place.reader()) as reader:
        yield reader


def values(taken: Taken | None) -> tuple[str, list[bytes | None]]:
    """From which topic a batch is, and what is in it."""
    assert taken is not None
    (move,) = taken.moves
    return move.topic, [message.value for message in taken.messages]


def eventually(take: Callable[[], Taken | None]) -> Taken:
    """Give the next batch, waited for."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        taken = take()
        if taken is not None:
            return taken
    raise AssertionError("nothing came in five seconds")


def test_operator_events_come_first_and_alone(place: Place, reader: LogReader) -> None:
    """Each is a batch of its own; the records follow in one."""
    place.append(TOPIC, b"1", b"2", b"3")
    place.append(CONTROL, b"a", b"b")
    assert values(reader.take()) == (CONTROL, [b"a"])
    assert values(reader.take()) == (CONTROL, [b"b"])
    assert values(reader.take()) == (TOPIC, [b"1", b"2", b"3"])


def test_an_operator_event_is_soon_seen_between_the_records(place: Place, reader: LogReader) -> None:
    """Though nobody looks for one at every batch."""
    assert reader.take() is None
    place.append(CONTROL, b"a")
    assert values(eventually(reader.take)) == (CONTROL, [b"a"])


def test_reading_goes_on_where_the_store_stands(place: Place) -> None:
    """In both logs, each with offsets of its own."""
    place.append(CONTROL, b"a")
    place.append(TOPIC, b"1")
    place.offsets = {topic: log.end() for topic, log in place.logs.items()}
    place.append(CONTROL, b"b")
    place.append(TOPIC, b"2")
    with closing(place.reader()) as reader:
        taken = reader.take()
        assert values(taken) == (CONTROL, [b"b"])
        assert taken is not None
        assert taken.moves[0].expected == place.offsets[CONTROL]
        assert values(reader.take()) == (TOPIC, [b"2"])


def test_who_cannot_ask_where_to_go_on_asks_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read before the store has said from where, and another reader may have the logs."""
    place.append(TOPIC, b"1")
    place.offsets = {TOPIC: place.logs[TOPIC].end()}
    place.append(TOPIC, b"2")
    with closing(place.reader()) as reader, closing(place.reader()) as other:
        with monkeypatch.context() as away:
            away.setattr(reader, "_resume", unavailable)
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    reader.take()
        assert values(other.take()) == (TOPIC, [b"2"])


def unavailable(*_: object) -> NoReturn:
    """A store that is away."""
    raise StoreUnavailable("away")


def test_a_refusal_of_one_log_leaves_the_other_alone(place: Place, reader: LogReader) -> None:
    """Only the log of the refused batch is read again, and batches that were under way count no more."""
    place.append(CONTROL, b"a")
    place.append(TOPIC, b"1")
    operation, records = reader.take(), reader.take()
    assert operation is not None
    assert records is not None
    reader.reposition(operation, {(CONTROL, 0): None})
    assert values(eventually(reader.take)) == (CONTROL, [b"a"])
    assert reader.take() is None
    reader.reposition(operation, {(CONTROL, 0): None})  # of an earlier epoch
    assert reader.take() is None
    reader.reposition(records, {(TOPIC, 0): None})
    assert values(reader.take()) == (TOPIC, [b"1"])


def test_one_lock_for_both(place: Place, reader: LogReader) -> None:
    """Who works off the operator events alone waits while a run reads, and takes its place afterwards."""
    place.append(CONTROL, b"a")
    assert reader.take() is not None
    with closing(place.reader(of_input=False)) as other:
        assert other.take() is None
        reader.close()
        place.append(TOPIC, b"1")
        assert values(other.take()) == (CONTROL, [b"a"])
        assert other.take() is None, "it does not read the input"


def test_a_line_that_is_no_record_has_no_instant(place: Place, reader: LogReader) -> None:
    """What somebody wrote into the control log past Nexus is no operator event, but a dead letter."""
    place.logs[CONTROL].append([b'{"operation": "block"}'])
    taken = reader.take()
    assert taken is not None
    assert taken.messages[0].ingested_at_ms == -1


def test_the_end_is_that_of_both(place: Place) -> None:
    """It is reached when the store has passed what was in either of them."""
    place.append(TOPIC, b"1")
    place.append(CONTROL, b"a")
    end = LogEnd(place.logs, place.passed)
    place.append(CONTROL, b"comes too late to count")
    assert not end()
    place.offsets[TOPIC] = place.logs[TOPIC].end()
    assert not end()
    place.offsets[CONTROL] = place.logs[CONTROL].end()
    assert end()
