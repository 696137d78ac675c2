"""flows.archive over real logs on disk and a real event log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flows.archive import Gathered, Gatherer, Opened, Source, Work, build
from flows.log_reader import CONTROL, TOPIC, LogEnd, LogReader
from flows.operations import Operations
from flows.reader import IdleReader, Taken
from flows.running import Flow, run_flows
from flows.stopping import Steps, Stop
from flows.transitions_reader import LogTransitions, Published
from resolver.store import Move
from schemas.errors import BrokerUnavailable, SinkUnavailable, StartRefused
from schemas.identifiers import Identifier, Keyring, identifier
from schemas.operations import Operation, encode_operation
from schemas.records import encode_record
from schemas.tables import tables
from schemas.transitions import Change, to_json
from sinks.segments import SegmentedLog
from sinks.warehouse.promise import Load, Standing, Step
from sinks.warehouse.segments import SegmentedEventLog
from tests.end_to_end.programs import eventually
from tests.schemas.messages import NOW_MS, as_bytes, payload, person
from tests.schemas.test_erased_rows import ADA_ID, added, erasure
from tests.sinks.warehouse.reading import manifest, read, read_all

KEYRING = Keyring("acme")
FORMAT = (("nexus-format", b"event"),)


@dataclass
class Moody:
    """An event log whose warehouse is away as long as `is_down`, and whose next answers get lost."""

    log: SegmentedEventLog
    is_down: bool = False
    lost_answers: int = 0
    loads: list[Load] = field(default_factory=list)

    def open(self) -> Standing | None:
        """As the log."""
        self._look()
        return self.log.open()

    def load(self, load: Load) -> bool:
        """As the log, but the answer may get lost."""
        self._look()
        self.loads.append(load)
        is_in = self.log.load(load)
        if self.lost_answers:
            self.lost_answers -= 1
            raise SinkUnavailable("the answer was lost")
        return is_in

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """As the log."""
        return self.log.offsets()

    def tidy(self) -> None:
        """As the log."""
        self._look()
        self.log.tidy()

    def close(self) -> None:
        """As the log."""
        self.log.close()

    def _look(self) -> None:
        if self.is_down:
            raise SinkUnavailable("the warehouse is away")


@dataclass
class House:
    """A data folder with its logs, and the event log that is made of them."""

    folder: Path

    def log(self, name: str) -> SegmentedLog:
        """One of the logs."""
        return SegmentedLog(self.folder / name)

    def event_log(self) -> Moody:
        """The event log, for one more archive."""
        return Moody(SegmentedEventLog(self.folder / "events", KEYRING))

    def send(self, *numbers: int, value: str = "ada@acme.test", ms: int = NOW_MS) -> None:
        """Put events about one person into the input."""
        self.log(TOPIC).append(
            [
                encode_record(
                    as_bytes(payload(event_id=f"e-{n}", participants=[person(value)])),
                    ingested_at_ms=ms + n,
                    headers=FORMAT,
                )
                for n in numbers
            ]
        )

    def erase(self, ms: int = NOW_MS + 500) -> None:
        """Erase Ada."""
        key = KEYRING.key(Identifier("person", "email", "ada@acme.test"))
        erase = Operation("erase", "person", "acme", "0" * 32, "bo", "", (), (key,))
        self.log(CONTROL).append([encode_record(encode_operation(erase), ingested_at_ms=ms)])

    def events(self) -> list[str]:
        """The event ids that are archived, in order."""
        table = tables()["nexus_events"]
        return sorted(row[table.place("event_id")] for row in read(self.folder / "events", table))

    def flow(
        self,
        event_log: Moody,
        stop: Stop,
        *,
        until_end: bool,
        every_s: float = 0.05,
        transitions: LogTransitions | None = None,
    ) -> Flow:
        """The flow over these logs."""

        def reader(resume: Callable[..., Mapping[int, int | None]]) -> LogReader:
            control = self.log(CONTROL)
            return LogReader(
                self.log(TOPIC), self.folder / TOPIC, resume, control=control, lock="archive.lock"
            )

        def end(offsets: Callable[[str], Mapping[int, int]]) -> LogEnd:
            return LogEnd({name: self.log(name) for name in (TOPIC, CONTROL)}, offsets)

        transitions = transitions or LogTransitions(self.log("transitions"))
        no_more = (lambda: True) if until_end else None
        gatherer = Gatherer(event_log, KEYRING, reader, transitions, 100, every_s, end, no_more)
        operations = Operations(CONTROL, KEYRING, identifier)
        work = Work(event_log, gatherer, operations, {}, identifier, "acme", stop)
        return Flow("archive", build(Source(gatherer, stop), work, Steps(stop)))

    def archive(self, event_log: Moody | None = None) -> None:
        """Archive what is there."""
        stop = Stop()
        run_flows([self.flow(event_log or self.event_log(), stop, until_end=True)], stop)

    @contextmanager
    def archiving(self, event_log: Moody, every_s: float = 0.05) -> Iterator[Stop]:
        """Archive beside the block, and wait for the end."""
        stop = Stop()
        flow = self.flow(event_log, stop, until_end=False, every_s=every_s)
        thread = threading.Thread(target=run_flows, args=([flow], stop))
        thread.start()
        try:
            yield stop
        finally:
            stop.request()
            thread.join(15)
            assert not thread.is_alive()


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Give an empty data folder."""
    return House(tmp_path)


def test_what_is_there_is_archived_once(house: House) -> None:
    """A second run adds only what came since."""
    house.send(1, 2)
    house.archive()
    house.send(3)
    house.archive()
    assert house.events() == ["e-1", "e-2", "e-3"]


def test_a_warehouse_that_is_away_costs_delay(house: House) -> None:
    """While it is away nothing ends; when it is back everything is there."""
    event_log = house.event_log()
    with house.archiving(event_log):
        house.send(1)
        eventually(lambda: event_log.loads != [], "the first event is loaded")
        event_log.is_down = True
        house.send(2, 3)
        time.sleep(0.5)
        assert house.events() == ["e-1"]
        event_log.is_down = False
        eventually(lambda: house.events() == ["e-1", "e-2", "e-3"], "it catches up")


def test_a_warehouse_that_is_away_at_the_start_is_waited_for(house: House) -> None:
    """The archive begins when it answers."""
    house.send(1)
    event_log = house.event_log()
    event_log.is_down = True
    with house.archiving(event_log):
        time.sleep(0.3)
        event_log.is_down = False
        eventually(lambda: event_log.loads != [], "it begins")
    assert house.events() == ["e-1"]


def test_it_ends_at_once_while_the_warehouse_is_away(house: House) -> None:
    """Who is told to end does not wait for a warehouse; the next run archives what is missing."""
    house.archive()
    house.send(1)
    event_log = house.event_log()
    with house.archiving(event_log) as stop:
        eventually(lambda: event_log.log.offsets() != {}, "the first event is loaded")
        event_log.is_down = True
        house.send(2)
        time.sleep(0.3)
        began = time.monotonic()
        stop.request()
    assert time.monotonic() - began < 5
    house.archive()
    assert house.events() == ["e-1", "e-2"]


def test_what_is_gathered_at_the_end_is_loaded(house: House) -> None:
    """An end that is asked for does not wait until a load is due, and leaves nothing behind."""
    house.send(1)
    with house.archiving(house.event_log(), every_s=3600):
        time.sleep(1.0)
    assert house.events() == ["e-1"]


def test_a_lost_answer_loads_nothing_twice(house: House) -> None:
    """A load that is sent again because its answer was lost is in, once."""
    house.send(1, 2, 3)
    event_log = house.event_log()
    event_log.lost_answers = 1
    house.archive(event_log)
    assert house.events() == ["e-1", "e-2", "e-3"]
    assert len(event_log.loads) == 2


def test_it_reads_on_from_where_the_log_stands(house: House) -> None:
    """Where another process has loaded meanwhile, the load is refused, and this one goes on behind it."""
    house.send(1)
    event_log = house.event_log()
    with house.archiving(event_log):
        eventually(lambda: event_log.log.offsets().get((TOPIC, 0), 0) > 0, "the first event is loaded")
        event_log.is_down = True
        before = house.log(TOPIC).end()
        house.send(2)
        step = Step(TOPIC, 0, before, house.log(TOPIC).end())
        time.sleep(0.5)
        assert event_log.log.load(Load({}, (step,)))  # without its row, to tell who loaded
        event_log.is_down = False
        house.send(3)
        eventually(lambda: house.events() == ["e-1", "e-3"], "it goes on")


class Faltering(LogTransitions):
    """Transitions of which every other read fails in passing."""

    _reads = 0

    def read(self) -> list[Published]:
        """What comes next, if it is the turn."""
        self._reads += 1
        if self._reads % 2:
            raise BrokerUnavailable("not now")
        return super().read()


def test_what_was_read_outlives_a_broker_that_falters(house: House) -> None:
    """What was read of the input is kept while the transitions cannot be read."""
    house.log("transitions").append([to_json(added(1, ADA_ID))])
    stop = Stop()
    transitions = Faltering(house.log("transitions"))
    flow = house.flow(house.event_log(), stop, until_end=True, transitions=transitions)
    house.send(1, 2, 3)
    run_flows([flow], stop)
    assert house.events() == ["e-1", "e-2", "e-3"]
    assert len(_transitions(house)) == 1


def test_input_that_does_not_go_on_is_not_taken() -> None:
    """What begins elsewhere than the last ended, as after the group was lost, is read again from the log's
    place.
    """
    opened = Opened.at(Standing({("events", 0): 7}), KEYRING)
    gathered = Gathered(opened)
    assert gathered.add_taken(taken(7, 9))
    assert not gathered.add_taken(taken(7, 9))
    assert gathered.add_taken(taken(9, 12))
    assert tuple(gathered.steps.values()) == (Step("events", 0, 7, 12),)


def taken(start: int, end: int) -> Taken:
    """What a reader took between two offsets."""
    return Taken(IdleReader(), (), (Move("events", 0, start, end),), (0,))


def test_one_archives_and_the_other_waits(house: House) -> None:
    """A second archive takes over when the first ends."""
    house.send(1)
    first, second = house.event_log(), house.event_log()
    with house.archiving(first):
        eventually(lambda: first.loads != [], "the first one loads")
        with house.archiving(second):
            house.send(2)
            eventually(lambda: house.events() == ["e-1", "e-2"], "the first one goes on")
            assert second.loads == []
    with house.archiving(second):
        house.send(3)
        eventually(lambda: house.events() == ["e-1", "e-2", "e-3"], "the second takes over")


def test_an_erasure_in_the_batch_comes_first(house: House) -> None:
    """Events and their erasure that are read together leave nothing, in whatever order they stand."""
    house.send(1)
    house.send(2, value="bo@acme.test")
    house.erase()
    house.archive()
    assert house.events() == ["e-2"]
    assert "ada@acme.test" not in str(read_all(house.folder / "events"))


def test_an_erasure_takes_out_what_is_there(house: House) -> None:
    """What was archived before goes with all its files, a replay brings nothing back, and what comes above
    the erasure is another identifier's.
    """
    house.send(1)
    house.archive()
    house.erase()
    house.archive()
    house.send(1)
    house.archive()
    assert house.events() == []
    house.send(999)
    house.archive()
    table = tables()["nexus_person_identifiers"]
    ((key, value),) = [
        (row[table.place("identifier_key")], row[table.place("identifier_value")])
        for row in read(house.folder / "events", table)
    ]
    assert value == "ada@acme.test"
    assert key != KEYRING.key(Identifier("person", "email", value))


def test_published_erasures_reach_back(house: House) -> None:
    """Transitions that named the erased are redacted: what was there, what is beside it, what comes late."""
    batches: list[list[Change]] = [
        [added(1, ADA_ID)],
        [added(2, ADA_ID), erasure(10)],
        [added(3, ADA_ID), added(11, ADA_ID)],
    ]
    for changes in batches:
        house.log("transitions").append([to_json(one) for one in changes])
        house.archive()
    table = tables()["nexus_transitions"]
    kinds = {row[table.place("number")]: row[table.place("transition")] for row in _transitions(house)}
    assert kinds == {
        1: "redacted",
        2: "redacted",
        3: "redacted",
        10: "entity_erased",
        11: "identifier_added",
    }


def _transitions(house: House) -> list[tuple[object, ...]]:
    return read(house.folder / "events", tables()["nexus_transitions"])


def test_what_is_no_transition_is_passed_over(house: House) -> None:
    """What somebody else wrote among the transitions stops nothing."""
    house.log("transitions").append([b"{}", b"nonsense", to_json(added(1, ADA_ID))])
    house.archive()
    assert len(_transitions(house)) == 1


def test_what_cannot_be_decoded_is_left_to_the_stream(house: House) -> None:
    """A message that is no event has no row, and the offsets pass it."""
    house.log(TOPIC).append([b"nonsense", encode_record(b"{}", ingested_at_ms=NOW_MS, headers=FORMAT)])
    house.log(CONTROL).append([encode_record(b"{}", ingested_at_ms=NOW_MS)])
    house.archive()
    assert read_all(house.folder / "events") == {}
    assert manifest(house.folder / "events").places() == {
        (TOPIC, 0): house.log(TOPIC).end(),
        (CONTROL, 0): house.log(CONTROL).end(),
    }


def test_a_topic_that_was_made_anew_is_refused() -> None:
    """Offsets of the old topic mean nothing in one of the same name."""
    opened = Opened.at(Standing({("events", 0): 7}, {"events": "one"}), KEYRING)
    assert opened.resume("events", "one", {0: 7, 1: None}, False) == {0: 7, 1: None}
    with pytest.raises(StartRefused, match="deleted and created again since it was archived"):
        opened.resume("events", "another", {0: None}, False)


def test_a_log_that_was_lost_is_filled_again(caplog: pytest.LogCaptureFixture) -> None:
    """Where the group has read on, and the log holds nothing, it begins at the beginning, and says so."""
    opened = Opened.at(Standing(), KEYRING)
    assert opened.resume("events", "one", {0: 7}, False) == {0: None}
    assert "reading it again" in caplog.text
