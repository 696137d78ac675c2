"""Everything embedded: a file or a pipe in, questions beside it, no server that anybody started."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from demo_producer import Record, records
from demo_producer.files import record_line
from schemas.events import Event, Message
from schemas.instants import format_instant, parse_instant
from schemas.records import decode_record, encode_record
from schemas.transitions import EntityCreated, from_json
from sinks.jsonl import read_dead_letter
from sinks.segments import Line, SegmentedLog
from tests.end_to_end.answers import answer, consumed, judged
from tests.end_to_end.programs import Nexus, eventually

SEED = 7
COUNT = 4_000
CALLS_MS = 1_767_600_000_000


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    """Give the command in an empty folder of its own."""
    return Nexus(tmp_path)


def lines_of(nexus: Nexus, log: str, namespace: str = "default") -> list[Line]:
    """All lines of one of the logs in the data folder."""
    found: list[Line] = []
    segments = SegmentedLog(nexus.folder / "nexus-data" / namespace / log)
    while lines := segments.read(found[-1].next_offset if found else 0):
        found += lines
    return found


def input_of(nexus: Nexus) -> list[Message]:
    """The input log."""
    return [
        decode_record("input", line.data, line.offset, line.next_offset) for line in lines_of(nexus, "input")
    ]


def events_of(nexus: Nexus) -> tuple[Event, ...]:
    """The events in the input log."""
    return judged(input_of(nexus), {}).events


def call(number: int, **more: object) -> bytes:
    """A Segment call of one visitor who tells an address."""
    whole = {
        "type": "identify",
        "messageId": f"m-{number}",
        "anonymousId": f"device-{number}",
        "traits": {"email": f"ada-{number}@acme.example"},
        "timestamp": format_instant(CALLS_MS + number),
        **more,
    }
    return json.dumps(whole).encode()


def calls_file(nexus: Nexus, lines: Iterable[bytes], name: str = "calls.jsonl") -> str:
    """A file with these lines in the working folder."""
    (nexus.folder / name).write_bytes(b"".join(line + b"\n" for line in lines))
    return name


def is_known(nexus: Nexus, number: int) -> bool:
    """Whether the visitor of a call can be looked up."""
    return nexus.run("lookup", "person", f"email=ada-{number}@acme.example").code == 0


# a file


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Nexus, list[Record]]:
    """Give a folder in which a file of demo records with every fault was worked off, and the records."""
    print(f"seed {SEED}")
    nexus = Nexus(tmp_path_factory.mktemp("demo"))
    sent = list(records(seed=SEED, count=COUNT, faults="all"))
    file = calls_file(nexus, map(record_line, sent), "demo.jsonl")
    assert nexus.ok("run", "--until-end", "--source", file, "--as", "record").messages == COUNT
    return nexus, sent


def test_a_file_gives_the_reference_s_answer(demo: tuple[Nexus, list[Record]]) -> None:
    """Export equals the reference on the input log, and so does a consumer of the transitions log."""
    nexus, _ = demo
    expected = answer(events_of(nexus), "default")
    assert len(expected) > 100
    assert nexus.mapping() == expected
    assert consumed(from_json(line.data) for line in lines_of(nexus, "transitions")) == expected
    nexus.ok("check")


def test_a_file_s_malformed_lines_are_the_dead_letters(demo: tuple[Nexus, list[Record]]) -> None:
    """Each malformed record, and nothing else, is in the log of dead letters with its payload."""
    nexus, sent = demo
    dead = [read_dead_letter(line.data).message.value for line in lines_of(nexus, "dead-letters")]
    assert Counter(dead) == Counter(one.value for one in sent if one.fault == "malformed")


def test_a_file_that_is_read_again_changes_nothing(nexus: Nexus) -> None:
    """The same file twice more: same answer, not one transition more; only the positions move."""
    sent = [record_line(one) for one in records(seed=SEED, count=600, timestamps=True)]
    run = ("run", "--until-end", "--source", calls_file(nexus, sent), "--as", "record")
    nexus.ok(*run)
    before, published = nexus.mapping(), lines_of(nexus, "transitions")
    for _ in range(2):
        nexus.ok(*run)
    assert len(input_of(nexus)) == 3 * len(sent)
    assert lines_of(nexus, "transitions") == published
    assert nexus.mapping() == before


def test_a_run_without_new_input_does_nothing(nexus: Nexus) -> None:
    """What was resolved is not resolved again by the next run."""
    file = calls_file(nexus, [call(1)])
    assert nexus.ok("run", "--until-end", "--source", file, "--as", "segment").messages == 1
    assert nexus.ok("run", "--until-end").messages == 0


def test_files_without_a_last_line_end_or_with_blank_lines_are_read_whole(nexus: Nexus) -> None:
    """The last line counts without its end, a carriage return is no part of a line, blank lines are none."""
    (nexus.folder / "calls.jsonl").write_bytes(call(1) + b"\r\n\r\n\n" + call(2))
    nexus.ok("run", "--until-end", "--source", "calls.jsonl", "--as", "segment")
    assert [one.value for one in input_of(nexus)] == [call(1), call(2)]


# instants


def test_a_line_counts_as_of_now(nexus: Nexus) -> None:
    """Lines without an instant of their own came in when they were read, whenever they happened."""
    before = time.time_ns() // 1_000_000
    nexus.ok("run", "--until-end", "--source", calls_file(nexus, [call(1)]), "--as", "segment")
    (event,) = events_of(nexus)
    assert before <= event.ingested_at_ms <= time.time_ns() // 1_000_000
    assert event.occurred_at_ms == CALLS_MS + 1


def test_an_import_counts_as_of_when_things_happened(nexus: Nexus) -> None:
    """`--import` lends old data the seniority it has: the earlier event names the entity, in any order."""
    later = call(2, userId="u-1")
    earlier = call(1, userId="u-1")
    file = calls_file(nexus, [later, earlier])
    nexus.ok("run", "--until-end", "--source", file, "--as", "segment", "--import")
    assert [event.ingested_at_ms for event in events_of(nexus)] == [CALLS_MS + 2, CALLS_MS + 1]
    shown = json.loads(nexus.ok("lookup", "person", "user_id=u-1", "--json").out)
    assert format_instant(CALLS_MS + 1) in json.dumps(shown["first_seen"])
    assert nexus.mapping() == answer(events_of(nexus), "default")


def test_an_import_takes_what_happened_before_computers_did(nexus: Nexus) -> None:
    """An event of the year 1 counts as of the first instant there is; it is resolved like any other."""
    file = calls_file(nexus, [call(1, timestamp="0001-01-01T00:00:00Z"), call(2)])
    nexus.ok("run", "--until-end", "--source", file, "--as", "segment", "--import")
    assert [event.ingested_at_ms for event in events_of(nexus)] == [0, CALLS_MS + 2]
    assert is_known(nexus, 1)


@pytest.mark.parametrize("words", [(), ("--import",)], ids=["as of now", "as of then"])
def test_a_line_s_own_instant_is_kept(nexus: Nexus, words: tuple[str, ...]) -> None:
    """The `ingested_at` of a record line counts, with and without --import."""
    own = parse_instant("2025-03-01T12:00:00.123Z", "own")
    line = encode_record(call(1), ingested_at_ms=own, headers=[("nexus-format", b"segment")])
    nexus.ok("run", "--until-end", "--source", calls_file(nexus, [line]), "--as", "record", *words)
    assert [event.ingested_at_ms for event in events_of(nexus)] == [own]


# a pipe


def test_a_pipe_is_read_as_its_lines_come(nexus: Nexus) -> None:
    """Each line is resolved while the pipe stays open; its end ends a run --until-end."""
    with nexus.running("run", "--until-end", "--source", "-", "--as", "segment", pipe=True) as run:
        for number in (1, 2):
            run.stdin.write(call(number) + b"\n")
            run.stdin.flush()
            eventually(lambda number=number: is_known(nexus, number), f"call {number} is resolved")  # type: ignore[misc]  # binds the loop's variable
        run.stdin.close()
        done = run.wait(15)
    assert (done.code, done.messages) == (0, 2)


def test_half_a_line_waits_for_its_other_half(nexus: Nexus) -> None:
    """What a writer sends in two pieces is one message."""
    text = call(1)
    with nexus.running("run", "--until-end", "--source", "-", "--as", "segment", pipe=True) as run:
        run.stdin.write(text[:30])
        run.stdin.flush()
        time.sleep(0.3)
        run.stdin.write(text[30:] + b"\n")
        run.stdin.close()
        assert run.wait(15).code == 0
    assert [one.value for one in input_of(nexus)] == [text]


# side by side


def test_questions_are_answered_beside_a_run(nexus: Nexus) -> None:
    """lookup, export and check share the data folder with a run that goes on."""
    file = calls_file(nexus, [call(1)])
    with nexus.running("run", "--source", file, "--as", "segment") as run:
        eventually(lambda: is_known(nexus, 1), "the call is resolved")
        assert len(nexus.mapping()) == 2
        nexus.ok("check")
        assert run.process.poll() is None
        assert run.terminate().code == 0
    assert len(nexus.mapping()) == 2, "and without it"


def test_two_runs_share_a_folder(nexus: Nexus) -> None:
    """Two runs append to one input log and resolve it once, whoever reads it."""
    first = calls_file(nexus, map(call, range(300)), "first.jsonl")
    second = calls_file(nexus, map(call, range(200, 500)), "second.jsonl")
    running = [
        nexus.start("run", "--until-end", "--source", file, "--as", "segment") for file in (first, second)
    ]
    done = [run.wait(60) for run in running]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert sum(one.messages for one in done) == 600
    assert nexus.mapping() == answer(events_of(nexus), "default")
    transitions = [from_json(line.data) for line in lines_of(nexus, "transitions")]
    assert len({one.transition_id for one in transitions}) == len(transitions)
    assert sum(isinstance(one, EntityCreated) for one in transitions) == 500
    assert consumed(transitions) == nexus.mapping()


def test_a_run_takes_over_from_one_that_ends(nexus: Nexus) -> None:
    """While one run reads, another waits; when the first is told to end, the second goes on."""
    with nexus.running("run") as first:
        nexus_is_up = nexus.folder / "nexus-data" / "default" / "input" / "reader.lock"
        eventually(nexus_is_up.exists, "the first run reads")
        with nexus.running("run", "--source", "-", "--as", "segment", pipe=True) as second:
            second.stdin.write(call(1) + b"\n")
            second.stdin.flush()
            eventually(lambda: is_known(nexus, 1), "the first run resolves what the second appends")
            assert first.terminate().messages == 1
            second.stdin.write(call(2) + b"\n")
            second.stdin.flush()
            eventually(lambda: is_known(nexus, 2), "the second run resolves it")
            assert second.terminate().messages == 1


def test_namespaces_never_meet(nexus: Nexus) -> None:
    """Two namespaces in one folder have answers and ids of their own."""
    file = calls_file(nexus, [call(1)])
    mappings = []
    for namespace in ("acme", "globex"):
        more = {"NEXUS_NAMESPACE": namespace}
        nexus.ok("run", "--until-end", "--source", file, "--as", "segment", **more)
        mappings.append(Nexus(nexus.folder, more).mapping())
    assert mappings[0].keys() == mappings[1].keys()
    assert not set(mappings[0].values()) & set(mappings[1].values())


# the end


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 3)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_drains_and_ends_well(nexus: Nexus, number: signal.Signals, workers: int) -> None:
    """In the middle of a file: code 0 within ten seconds, and the next run finishes what is left."""
    file = calls_file(nexus, map(call, range(10_000)))
    words = ("run", "--source", file, "--as", "segment", "--workers", str(workers))
    with nexus.running(*words) as run:
        eventually(lambda: is_known(nexus, 0), "the first call is resolved")
        run.process.send_signal(number)
        began = time.monotonic()
        done = run.wait(10)
    assert done.code == 0, done.err
    assert time.monotonic() - began < 10
    assert "Traceback" not in done.err
    rest = nexus.ok("run", "--until-end")
    assert done.messages + rest.messages == len(input_of(nexus)), "nothing twice, nothing lost"
    assert nexus.mapping() == answer(events_of(nexus), "default")
    assert consumed(from_json(line.data) for line in lines_of(nexus, "transitions")) == nexus.mapping()


def test_a_signal_ends_a_run_that_waits_at_a_pipe(nexus: Nexus) -> None:
    """A writer that says nothing does not keep the run from ending."""
    with nexus.running("run", "--source", "-", "--as", "segment", pipe=True) as run:
        run.stdin.write(call(1) + b"\n")
        run.stdin.flush()
        eventually(lambda: is_known(nexus, 1), "the call is resolved")
        assert run.terminate(10).code == 0


def test_kill_9_of_everything_loses_nothing(nexus: Nexus) -> None:
    """What was appended is resolved by the next run, on the same private Redis, brought up again."""
    file = calls_file(nexus, map(call, range(3_000)))
    with nexus.running("run", "--source", file, "--as", "segment") as run:
        eventually(lambda: is_known(nexus, 0), "the first call is resolved")
        run.process.kill()
        run.process.wait()
    nexus.ok("run", "--until-end")
    assert nexus.mapping() == answer(events_of(nexus), "default")
    assert consumed(from_json(line.data) for line in lines_of(nexus, "transitions")) == nexus.mapping()


@pytest.fixture(autouse=True)
def no_server_is_left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """The last command takes the private Redis with it; one that was killed leaves it to the next."""
    yield
    if "kill_9" not in request.node.name:
        assert not list(tmp_path.rglob("redis/*.sock")), "a private Redis is still there"
