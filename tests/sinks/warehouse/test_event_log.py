"""What every event log promises (`sinks.warehouse.promise`): a folder of files, and tables in a warehouse."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from schemas.erasures import Erasures
from schemas.errors import SinkUnavailable, StartRefused, TerminalError, TransientError
from schemas.identifiers import Identifier, Keyring
from schemas.log_rows import LogRows, Rows, add_transition
from schemas.operations import Operation
from schemas.tables import LOG, tables
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from sinks.warehouse.promise import EventLog, Load, Standing, Step
from sinks.warehouse.segments import SegmentedEventLog
from sinks.warehouse.tabled import TabledEventLog, stored_rows
from tests.resolver.histories import event
from tests.schemas.messages import message
from tests.schemas.test_erased_rows import ADA_ID, added, erasure
from tests.schemas.test_log_rows import ADA
from tests.services import BigQueryServer, SnowflakeServer
from tests.sinks.warehouse.conftest import KINDS, Connect
from tests.sinks.warehouse.loads import KEYRING, erasure_of, expected, load_at
from tests.sinks.warehouse.lossy import Lossy
from tests.sinks.warehouse.reading import in_order, read_all
from tests.sinks.warehouse.test_segments import in_a_process

pytestmark = pytest.mark.timeout(300)

EVENTS = tables()["nexus_events"]
PLACE = ("events", 0)


@dataclass(frozen=True)
class Home:
    """Where an event log is kept. `log` gives it as one more process would, which other may have it."""

    log: Callable[[], EventLog]
    rows: Callable[[], Rows]

    def opened(self) -> tuple[EventLog, Standing]:
        """The log, and how far it is."""
        log = self.log()
        standing = log.open()
        assert standing is not None
        return log, standing

    def offsets_of_events(self) -> list[int]:
        """The offset of each row of nexus_events."""
        return sorted(row[EVENTS.place("log_offset")] for row in self.rows().get("nexus_events", []))


def in_tables(connect: Connect, lease_s: float = 60.0) -> Home:
    """An event log in a warehouse."""

    def rows() -> Rows:
        engine = connect()
        engine.create(LOG)
        return in_order({table.name: list(stored_rows(engine, table)) for table in LOG})

    return Home(lambda: TabledEventLog(connect, KEYRING, lease_s), rows)


@pytest.fixture(params=["segments", *KINDS])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Give each kind of event log in turn, with nothing in it."""
    if request.param != "segments":
        return in_tables(request.getfixturevalue(f"connect_{request.param}"))
    folder = tmp_path / "events"
    return Home(lambda: SegmentedEventLog(folder, KEYRING), lambda: read_all(folder))


def of_events(rows: Rows) -> Rows:
    """The rows that events have."""
    return {name: listed for name, listed in rows.items() if "event_index" in tables()[name].names}


def test_rows_come_back(home: Home) -> None:
    """What was loaded is what is read, value for value, and whoever opens the log finds where it ended."""
    log, standing = home.opened()
    assert (standing.offsets, standing.topics) == ({}, {})
    assert log.load(load_at(0, 10))
    assert log.load(load_at(10))
    log.close()
    assert of_events(home.rows()) == in_order(expected(11))
    log, standing = home.opened()
    assert (standing.offsets, standing.topics) == ({PLACE: 11}, {"events": "id"})
    assert log.offsets() == {PLACE: 11}
    log.close()


def test_a_log_that_nobody_began_is_at_no_offset(home: Home) -> None:
    """Who only asks how far it is need not have it."""
    assert home.log().offsets() == {}


def test_a_load_twice_is_one(home: Home) -> None:
    """A load that is sent again, as after a lost answer, is in, and once; the next one is taken."""
    log, _ = home.opened()
    assert log.load(load_at(0))
    assert log.load(load_at(0))
    assert log.load(load_at(1))
    assert home.offsets_of_events() == [0, 1]
    log.close()


def test_a_load_from_elsewhere_changes_nothing(home: Home) -> None:
    """A load that expects other offsets than there are is refused."""
    log, _ = home.opened()
    assert log.load(load_at(0))
    assert not log.load(load_at(7))
    assert (home.offsets_of_events(), log.offsets()) == ([0], {PLACE: 1})
    log.close()


def test_a_load_may_have_no_rows(home: Home) -> None:
    """Where all that was read are dead letters the offsets move alone, of each partition its own."""
    log, _ = home.opened()
    assert log.load(load_at(0))
    steps = (Step("events", 0, 1, 5), Step("events", 1, None, 3), Step("control", 0, None, 1))
    assert log.load(Load({}, steps, {"control": "other"}))
    standing = log.open()
    assert standing is not None
    assert standing.offsets == {PLACE: 5, ("events", 1): 3, ("control", 0): 1}
    assert standing.topics == {"events": "id", "control": "other"}
    log.close()


def test_one_process_has_the_log(home: Home) -> None:
    """Another one is refused until the first lets go."""
    log, _ = home.opened()
    assert home.log().open() is None
    log.close()
    other, _ = home.opened()
    other.close()


@pytest.mark.parametrize("seed", range(3))
def test_an_erasure_leaves_nothing(home: Home, seed: int) -> None:
    """After an erasure the log is what it would be had it been known first, and whoever opens it next
    knows of it. The seed is the test's parameter.
    """
    log, _ = home.opened()
    log.load(load_at(0, 20))
    load = erasure_of(Random(seed), 20)
    assert log.load(load)
    rows = home.rows()
    assert of_events(rows) == in_order(expected(20, Erasures(KEYRING, dict(load.erased))))
    assert rows["nexus_operator_events"] == load.rows["nexus_operator_events"]
    log.close()
    log, standing = home.opened()
    assert standing.erased == load.erased
    log.close()


def test_transitions_forget_the_erased(home: Home) -> None:
    """Those that named the erased are redacted under their numbers, and the others stay as they are."""
    log, _ = home.opened()
    told = Rows()
    for change in (added(1, ADA_ID), added(2, ADA_ID, "bo@acme.test")):
        add_transition(told, change)
    assert log.load(Load(told, (Step("transitions", 0, None, 2),)))
    ended, erased = Rows(), {KEYRING.key(ADA): b"\xff" * 20}
    add_transition(ended, erasure(3))
    assert log.load(Load(ended, (Step("transitions", 0, 2, 3),), erased=erased, ended=(erasure(3),)))
    kinds = {row[2]: row[3] for row in home.rows()["nexus_transitions"]}
    assert kinds == {1: "redacted", 2: "identifier_added", 3: "entity_erased"}
    standing = log.open()
    assert standing is not None
    assert standing.ended == (erasure(3),)
    log.close()


# in tables


def test_who_went_quiet_is_succeeded_and_then_refused(connect: Connect) -> None:
    """When the time is over another process has the log. What the first one sends then changes nothing."""
    home = in_tables(connect)
    first, _ = in_tables(connect, lease_s=1.0).opened()
    assert first.load(load_at(0))
    time.sleep(1.2)
    second, standing = home.opened()
    assert standing.offsets == {PLACE: 1}
    assert not first.load(load_at(1))
    assert second.load(load_at(1, 2))
    assert not first.load(load_at(1))
    assert first.open() is None
    assert home.offsets_of_events() == [0, 1, 2]
    second.close()


def test_who_was_only_slow_goes_on(connect: Connect) -> None:
    """Nobody else wanted the log: it is still the one's who had it."""
    log, _ = in_tables(connect, lease_s=0.1).opened()
    time.sleep(0.2)
    assert log.load(load_at(0))
    log.close()


def test_another_namespace_is_refused(connect: Connect) -> None:
    """Two namespaces in one dataset would be one: the second is told what to do."""
    log, _ = in_tables(connect).opened()
    log.close()
    with pytest.raises(StartRefused, match="a dataset or schema of its own"):
        TabledEventLog(connect, Keyring("other")).open()


def test_a_warehouse_that_is_away_is_connected_to_later(connect_duckdb: Connect) -> None:
    """Nothing is asked of it before the log is opened; and after it failed another connection is made."""
    is_away = [True]

    def connect() -> Engine:
        if is_away:
            raise SinkUnavailable("away")
        return connect_duckdb()

    log = TabledEventLog(connect, KEYRING)
    with pytest.raises(SinkUnavailable):
        log.open()
    is_away.clear()
    assert log.open() is not None
    assert log.load(load_at(0))
    log.close()


def eager(log: EventLog, end: int) -> None:
    """Take hold of the log and load what is next, one event after the other, whoever else does."""
    while True:
        try:
            standing = log.open()
            if standing is not None:
                at = standing.offsets.get(PLACE, 0)
                if at == end:
                    return
                log.load(load_at(at))
        except TransientError:
            continue


def test_two_at_once_load_each_event_once(connect_duckdb: Connect) -> None:
    """Two archives that take the log from each other all the time lose nothing and double nothing."""
    home = in_tables(connect_duckdb, lease_s=0.0)
    home.opened()[0].close()
    archives = [threading.Thread(target=eager, args=(home.log(), 30)) for _ in range(2)]
    for archive in archives:
        archive.start()
    for archive in archives:
        archive.join(100)
    assert home.offsets_of_events() == list(range(30))


def test_a_load_that_another_process_made_and_cleared_away_is_in(
    connect_duckdb: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the warehouse has against tables that are gone meanwhile is no fault of this load."""
    home = in_tables(connect_duckdb, lease_s=0.0)
    first, _ = home.opened()
    load = DuckDB.load

    def overtaken(*_: object) -> None:
        monkeypatch.setattr(DuckDB, "load", load)
        second = home.opened()[0]
        assert second.load(load_at(0))
        raise TerminalError("cannot run MERGE: there is no such table")

    monkeypatch.setattr(DuckDB, "load", overtaken)
    assert first.load(load_at(0))
    assert home.offsets_of_events() == [0]
    monkeypatch.setattr(DuckDB, "load", failing)
    log, _ = home.opened()
    with pytest.raises(TerminalError):
        log.load(load_at(1))


def failing(*_: object) -> None:
    """A load that the warehouse refuses."""
    raise TerminalError("cannot run MERGE")


def killed_at(file: Path, point: str) -> None:
    """Load what is next, up to 10 events, and be killed the second time that a point is passed."""
    passed = Counter[str]()

    def step(name: str) -> None:
        passed[name] += 1
        if (name, passed[name]) == (point, 2):
            os.kill(os.getpid(), signal.SIGKILL)

    eager(TabledEventLog(lambda: DuckDB(file), KEYRING, 0.0, step), 10)


@pytest.mark.parametrize("point", ["written", "loaded"])
def test_kills_lose_nothing_and_load_nothing_twice(tmp_path: Path, point: str) -> None:
    """A process that is killed again and again before or after the transaction is followed by one that goes
    on where the log stood.
    """
    file, kills = tmp_path / "warehouse.duckdb", 0
    while in_a_process(killed_at, file, point) == -signal.SIGKILL:
        kills += 1
        assert kills < 20
    assert kills > 3
    with closing(DuckDB(file)) as engine:
        found = {table.name: list(stored_rows(engine, table)) for table in LOG}
    assert of_events(in_order(found)) == in_order(expected(10))


def replies_lost(connect: Connect, port: int) -> int:
    """Load and erase, and lose another reply each time, every eleventh of them; how many were lost."""
    nth, lost = 0, 0
    with Lossy(port) as lossy:
        log = TabledEventLog(lambda: connect(lossy.port), KEYRING)
        assert log.open() is not None
        while lost == nth:
            assert log.load(someone(2 * nth))
            lossy.lose(1 + 11 * nth)
            load = with_erasure(someone(2 * nth + 1), nth)
            assert any(is_in(log, load) for _ in range(10))
            nth, lost = nth + 1, lost + lossy.lost
            lossy.lose(None)
        log.close()
    home = in_tables(connect)
    assert home.offsets_of_events() == [2 * number + 1 for number in range(nth)]
    assert len(home.rows()["nexus_person_identifiers"]) == len(home.rows()["nexus_operator_events"]) == nth
    return lost


def someone(offset: int) -> Load:
    """A load of an event that names somebody of whom there is nothing else."""
    rows, came = Rows(), message(b"", offset=offset)
    named = event(offset, (f"email=p{offset}@acme.test",), ms=offset)
    LogRows(KEYRING, Erasures(KEYRING)).add_events(rows, came, [named])
    return Load(rows, (Step("events", 0, offset or None, offset + 1),))


def with_erasure(load: Load, number: int) -> Load:
    """The same load, and the erasure of whom the load before it names."""
    key = KEYRING.key(Identifier("person", "email", f"p{2 * number}@acme.test"))
    erase = Operation("erase", "person", "acme", f"{number:032x}", "bo", "", (), (key,))
    came, rows = message(b"", topic="control", offset=number), dict(load.rows)
    LogRows(KEYRING, Erasures(KEYRING)).add_operation(rows, came, erase)
    steps = (*load.steps, Step("control", 0, number or None, number + 1))
    return replace(load, rows=rows, steps=steps, erased={key: erase.position(came.ingested_at_ms)})


def is_in(log: EventLog, load: Load) -> bool:
    """Whether the load is in; the one whose answer was lost is sent again, as the archive does."""
    try:
        return log.load(load)
    except TransientError:
        return False


@pytest.mark.services
@pytest.mark.timeout(400)
def test_bigquery_whatever_reply_is_lost(connect_bigquery: Connect, bigquery_server: BigQueryServer) -> None:
    """A load that brings rows and takes out others is in once, wherever its answer was lost."""
    assert replies_lost(connect_bigquery, bigquery_server.port) > 2


@pytest.mark.services
@pytest.mark.timeout(400)
def test_snowflake_whatever_reply_is_lost(
    connect_snowflake: Connect, snowflake_server: SnowflakeServer
) -> None:
    """The same, whatever the connector sends again by itself."""
    assert replies_lost(connect_snowflake, snowflake_server.port) > 2
