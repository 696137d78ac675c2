"""The event log end to end: embedded, from a file to rows that DuckDB reads."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import pytest

from demo_producer import records
from demo_producer.files import record_line
from schemas.decode import decode
from schemas.erasures import Erasures
from schemas.events import Message
from schemas.identifiers import Keyring
from schemas.log_rows import LogRows, Rows, add_transition
from schemas.operations import decode_operation
from schemas.records import decode_record
from schemas.tables import tables
from schemas.transitions import Change, from_json
from sinks.segments import Line, SegmentedLog
from tests.end_to_end.programs import Nexus, eventually
from tests.end_to_end.test_embedded import call, calls_file
from tests.end_to_end.test_operators import ADA, BO
from tests.sinks.warehouse.reading import in_order, manifest, read, read_all

SEED = 7
COUNT = 600
KEYRING = Keyring("default")
SMALL = {"NEXUS_WAREHOUSE__BATCH": 40, "NEXUS_BATCH": 40}  # so that few events make many loads
POINTS = (
    *(f"{when}-{step}" for step in ("arrange", "load") for when in ("before", "after")),
    *(f"within-load-{point}" for point in ("segment", "manifest", "together")),
)


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    """Give the command in an empty folder of its own."""
    return Nexus(tmp_path)


def events_of(nexus: Nexus) -> Path:
    """Where the event log is."""
    return nexus.folder / "nexus-data" / "default" / "events"


def lines_of(nexus: Nexus, log: str) -> Sequence[Line]:
    """All lines of one of the logs in the data folder."""
    found: list[Line] = []
    segments = SegmentedLog(nexus.folder / "nexus-data" / "default" / log)
    while lines := segments.read(found[-1].next_offset if found else 0):
        found += lines
    return found


def messages_of(nexus: Nexus, log: str) -> list[Message]:
    """The messages of the input, or the operator events."""
    return [decode_record(log, one.data, one.offset, one.next_offset) for one in lines_of(nexus, log)]


def expected(nexus: Nexus) -> Rows:
    """The rows that the logs in the data folder have to give."""
    rows, erasures = Rows(), Erasures(KEYRING)
    maker = LogRows(KEYRING, erasures)
    operations = [(one, decode_operation(one, "default")) for one in messages_of(nexus, "control")]
    for message, operation in operations:
        assert operation is not None
        erasures.learn(operation.erased, operation.position(message.ingested_at_ms))
    for message, operation in operations:
        assert operation is not None
        maker.add_operation(rows, message, operation)
    for message in messages_of(nexus, "input"):
        maker.add_events(rows, message, decode(message, None).events)
    for line in lines_of(nexus, "transitions"):
        change = from_json(line.data)
        if isinstance(change, Change):
            add_transition(rows, change)
    return rows


def agree(nexus: Nexus, *, but: Iterable[str] = ()) -> None:
    """The event log has exactly these rows."""
    found, wanted = read_all(events_of(nexus)), in_order(expected(nexus))
    for name in but:
        found.pop(name)
        wanted.pop(name)
    assert found == wanted


def demo_file(nexus: Nexus) -> str:
    """A file of demo records with every fault."""
    print(f"seed {SEED}")
    lines = map(record_line, records(seed=SEED, count=COUNT, faults="all"))
    return calls_file(nexus, lines, "demo.jsonl")


def test_what_came_in_is_in_the_event_log(nexus: Nexus) -> None:
    """After a run every event, and every transition, is in the tables, and a second run adds nothing; what
    is a dead letter is not there.
    """
    nexus.ok("run", "--until-end", "--source", demo_file(nexus), "--as", "record")
    agree(nexus)
    assert len(read(events_of(nexus), tables()["nexus_events"])) > COUNT // 2
    before = manifest(events_of(nexus)).number
    nexus.ok("run", "--until-end")
    assert manifest(events_of(nexus)).number == before


def test_it_can_be_filled_later(nexus: Nexus) -> None:
    """A log that is begun after the stream has everything that the input still holds."""
    run = ("run", "--until-end", "--source", demo_file(nexus), "--as", "record")
    nexus.ok(*run, NEXUS_WAREHOUSE__ENGINE="none")
    assert not events_of(nexus).exists()
    assert "0 bytes behind" not in nexus.ok("check").out
    nexus.ok("run", "archive", "--until-end")
    agree(nexus)
    assert "0 bytes behind" in nexus.ok("check").out


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which a file was worked off, and nothing archived."""
    nexus = Nexus(tmp_path_factory.mktemp("streamed"), {"NEXUS_WAREHOUSE__ENGINE": "none"})
    nexus.ok("run", "--until-end", "--source", demo_file(nexus), "--as", "record")
    return nexus.folder


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_a_point_loses_nothing(streamed: Path, nexus: Nexus, point: str) -> None:
    """Killed at the point again and again, the archive ends with each row once."""
    shutil.copytree(streamed / "nexus-data", nexus.folder / "nexus-data")
    for nth in (2, 3):
        crash = {"NEXUS_TEST_CRASH_AT": f"{point}:{1 if point.endswith('together') else nth}"}
        assert nexus.run("run", "archive", "--until-end", **SMALL, **crash).code == -signal.SIGKILL
    nexus.ok("run", "archive", "--until-end", **SMALL)
    agree(nexus)


def test_the_archive_is_readable_while_it_runs(nexus: Nexus) -> None:
    """What comes in is in the tables some seconds later, and at SIGTERM at once."""
    piped = ("run", "--source", "-", "--as", "segment")
    with nexus.running(*piped, pipe=True, NEXUS_WAREHOUSE__EVERY_S=0.2) as run:
        for number in range(3):
            run.stdin.write(call(number) + b"\n")
            run.stdin.flush()
            eventually(partial(_has, nexus, number + 1), "the event is archived")
        assert run.terminate().code == 0
    with nexus.running(*piped, pipe=True, NEXUS_WAREHOUSE__EVERY_S=3600) as run:
        run.stdin.write(call(3) + b"\n")
        run.stdin.flush()
        eventually(lambda: len(lines_of(nexus, "input")) == 4, "the event is in the input")
        eventually(lambda: len(lines_of(nexus, "transitions")) >= 8, "its transitions are published")
        assert run.terminate().code == 0
    assert _has(nexus, 4)


def _has(nexus: Nexus, events: int) -> bool:
    is_there = (events_of(nexus) / "manifest.json").exists()
    return is_there and len(read(events_of(nexus), tables()["nexus_events"])) == events


def test_who_is_erased_leaves_nothing(nexus: Nexus) -> None:
    """After an erasure no row names the subject: not those before it, and not those of a replay; what comes
    later is another identifier's.
    """
    file = calls_file(nexus, ADA + BO)
    run = ("run", "--until-end", "--source", file, "--as", "event")
    nexus.ok(*run)
    nexus.ok("block", "person", "anonymous_id=phone", "--why", "Ada's phone")
    nexus.ok("run", "--until-end")
    assert "ada@acme.example" in str(read_all(events_of(nexus)))
    nexus.ok("erase", "person", "email=ada@acme.example", "--yes")
    nexus.ok("run", "--until-end")
    left = str(read_all(events_of(nexus)))
    assert "ada@acme.example" not in left
    assert "bo@acme.example" in left
    agree(nexus, but=["nexus_transitions"])
    nexus.ok(*run)  # they come back
    agree(nexus, but=["nexus_transitions"])
    assert "ada@acme.example" in str(read_all(events_of(nexus)))


def test_an_archive_without_a_place_says_what_to_set(nexus: Nexus) -> None:
    """With Kafka there is no event log until somebody says where."""
    done = nexus.run("run", "archive", NEXUS_KAFKA__BOOTSTRAP_SERVERS="localhost:1")
    assert done.code == 2
    assert "set warehouse.engine" in done.err
