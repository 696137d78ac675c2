"""Operator events end to end: beside a stream that runs, through replays, on real Kafka and embedded."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer

from schemas.operations import decode_operation
from sinks.segments import SegmentedLog
from tests.conftest import MakeTopic
from tests.end_to_end.programs import Nexus, eventually
from tests.end_to_end.topics import dead_letters_in, read_topics, transitions_in


def event(number: int, **identifiers: str) -> bytes:
    """Give an event that names one person."""
    named = [{"type": kind, "value": value} for kind, value in identifiers.items()]
    return json.dumps(
        {
            "event_id": f"e-{number}",
            "source": "app",
            "event_name": "seen",
            "occurred_at": "2026-01-05T10:00:00Z",
            "participants": [{"entity_type": "person", "identifiers": named}],
        }
    ).encode()


ADA = (
    event(1, user_id="u-7", email="ada@acme.example"),
    event(2, user_id="u-7", anonymous_id="phone"),
    event(3, email="ada@acme.example", anonymous_id="laptop"),
)
BO = (event(4, user_id="u-9", email="bo@acme.example"),)


def persons(nexus: Nexus) -> dict[str, str]:
    """Give the person of every identifier value."""
    return {value: entity_id for (_, _, value), entity_id in nexus.mapping().items()}


# on Kafka


def produce(bootstrap: str, topic: str, messages: Sequence[bytes]) -> None:
    """Put messages into a topic."""
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for message in messages:
        producer.produce(topic, message)
    assert producer.flush(20) == 0


@pytest.fixture
def on_kafka(kafka: str, redis_url: str, new_topic: MakeTopic, tmp_path: Path) -> Nexus:
    """Give a namespace of the test's own with Ada and Bo in its topic of three partitions."""
    topic, namespace = new_topic(3), f"ops-{uuid.uuid4().hex[:8]}"
    produce(kafka, topic, ADA + BO)
    return Nexus(
        tmp_path,
        {
            "NEXUS_NAMESPACE": namespace,
            "NEXUS_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "NEXUS_REDIS__URL": redis_url,
            "NEXUS_INPUT__TOPICS": f"{topic}=event",
            "NEXUS_INPUT__CONTROL": f"{namespace}-operations",
            "NEXUS_OUTPUT__TRANSITIONS": f"{namespace}-transitions",
            "NEXUS_OUTPUT__DEAD_LETTERS": f"{namespace}-dead-letters",
        },
    )


@pytest.mark.services
def test_decisions_reach_a_stream_that_runs(on_kafka: Nexus, kafka: str) -> None:
    """Commands wait for two running processes, which carry out each once; all is listed and published."""
    nexus, control = on_kafka, str(on_kafka.settings["NEXUS_INPUT__CONTROL"])
    with nexus.running("run", "--workers", "2") as first, nexus.running("run", "resolve") as second:
        eventually(lambda: len(persons(nexus)) == 6, "everybody is known")
        before = persons(nexus)
        assert "Done" in nexus.ok("together", "person", "user_id=u-7", "user_id=u-9", "--who", "eve").out
        assert len(set(persons(nexus).values())) == 1
        assert "Done" in nexus.ok("apart", "person", "user_id=u-7", "user_id=u-9", "--who", "eve").out
        assert persons(nexus) == before
        produce(kafka, control, [b"<html>"])
        assert "Done" in nexus.ok("block", "person", "user_id=u-7", "--who", "eve").out
        assert len(set(persons(nexus).values())) == 3
        for one in (first, second):
            assert one.terminate().code == 0
    listed = [json.loads(line) for line in nexus.ok("operations", "--json").out.splitlines()]
    assert [(one["operation"], one["who"]) for one in listed] == [
        ("together", "eve"), ("apart", "eve"), ("block", "eve")
    ]  # fmt: skip
    ((letter, _),) = dead_letters_in(kafka, f"{nexus.settings['NEXUS_NAMESPACE']}-dead-letters")
    assert (letter.message.topic, letter.reason) == (control, "not-json")
    assert "ok  operations" in nexus.ok("check").out


@pytest.mark.services
def test_without_a_stream_the_command_says_so(on_kafka: Nexus) -> None:
    """It is recorded, and carried out by the next run, however long that takes."""
    nexus = on_kafka
    nexus.ok("run", "--until-end")
    done = nexus.run("block", "person", "user_id=u-7", "--timeout", "1")
    assert done.code == 1
    assert "is `nexus run` at work?" in done.err
    assert "u-7" in persons(nexus)
    nexus.ok("run", "--until-end")
    assert "u-7" not in persons(nexus)


@pytest.mark.services
def test_an_erasure_survives_a_replay_from_zero(on_kafka: Nexus, kafka: str, redis_url: str) -> None:
    """An emptied Redis that reads the topics from their beginning does not bring Ada back; the certificate
    says until when the topics keep her; the control topic holds no value.
    """
    nexus = on_kafka
    nexus.ok("run", "--until-end")
    ada = persons(nexus)["u-7"]
    with nexus.running("run", "resolve") as running:
        done = nexus.ok("erase", "person", "email=ada@acme.example", "--yes", "--json")
        certificate = json.loads(done.out)
        assert running.terminate().code == 0
    assert certificate["ids"] == [ada]
    assert certificate["is_complete"]
    kept = [one["until"] for one in certificate["remains"] if one["what"] == "events, as they came in"]
    assert all(until.endswith("at the latest") for until in kept)
    after = persons(nexus)
    assert set(after) == {"u-9", "bo@acme.example"}

    nexus.ok("run", "publish", "--until-end")
    published = transitions_in(kafka, str(nexus.settings["NEXUS_OUTPUT__TRANSITIONS"]))
    assert "entity_erased" in {one.transition for one in published}
    (message,) = read_topics(kafka, [str(nexus.settings["NEXUS_INPUT__CONTROL"])])
    assert b"acme" not in (message.value or b"")
    operation = decode_operation(message, str(nexus.settings["NEXUS_NAMESPACE"]))
    assert operation is not None
    assert len(operation.erased) == 4

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    nexus.ok("run", "--until-end", "--from-beginning")
    assert persons(nexus) == after


# embedded


def test_decisions_reach_an_embedded_stream_that_runs(tmp_path: Path) -> None:
    """A run reads a pipe, and takes operator events beside it; a second run from zero gives the same."""
    nexus = Nexus(tmp_path)
    with nexus.running("run", "--source", "-", "--as", "event", pipe=True) as running:
        running.stdin.write(b"\n".join(ADA + BO) + b"\n")
        running.stdin.flush()
        folder = tmp_path / "nexus-data" / "default"
        eventually((folder / "control").is_dir, "it has begun")
        eventually(lambda: len(persons(nexus)) == 6, "everybody is known")
        assert "Done" in nexus.ok("together", "person", "user_id=u-7", "user_id=u-9").out
        assert len(set(persons(nexus).values())) == 1
        assert "Done" in nexus.ok("block", "person", "user_id=u-7").out
        running.stdin.write(event(5, user_id="u-7", email="cy@acme.example") + b"\n")
        running.stdin.flush()
        eventually(lambda: "cy@acme.example" in persons(nexus), "Cy is known")
        assert running.terminate().code == 0
    before = persons(nexus)
    assert "u-7" not in before
    assert before["cy@acme.example"] != before["ada@acme.example"]
    assert len(SegmentedLog(folder / "control").read(0)) == 2

    (tmp_path / "nexus-data" / "redis").rename(tmp_path / "lost")
    nexus.ok("run", "--until-end")
    assert persons(nexus) == before
    nexus.ok("check")


def test_an_erasure_survives_an_embedded_replay(tmp_path: Path) -> None:
    """From offset zero, and a replayed dead letter, too; who signs up again is a new person."""
    nexus = Nexus(tmp_path)
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(b"\n".join(ADA + BO) + b"\n")
    nexus.ok("run", "--source", lines, "--as", "event", "--until-end")
    late = tmp_path / "late.jsonl"
    late.write_bytes(event(6, user_id="u-7", email="ada@acme.example") + b"\n")
    nexus.ok("run", "--source", late, "--as", "stripe", "--until-end")  # which it is not: a dead letter
    ada = persons(nexus)["u-7"]
    nexus.ok("erase", "person", "email=ada@acme.example")
    after = persons(nexus)
    assert set(after) == {"u-9", "bo@acme.example"}

    nexus.ok("replay-dlq", "--as", "event")
    nexus.ok("run", "--until-end")
    assert persons(nexus) == after
    (tmp_path / "nexus-data" / "redis").rename(tmp_path / "lost")
    nexus.ok("run", "--until-end")
    assert persons(nexus) == after

    again = tmp_path / "again.jsonl"
    again.write_bytes(event(7, user_id="u-7") + b"\n")
    nexus.ok("run", "--source", again, "--as", "event", "--until-end")
    assert persons(nexus)["u-7"] not in (ada, after["u-9"])
    nexus.ok("check")


@pytest.mark.timeout(300)  # a dozen commands
def test_a_retracted_event_is_gone_for_ever(tmp_path: Path) -> None:
    """It is shown, retracted and repaired; neither a copy nor an empty Redis brings back what it did."""
    nexus = Nexus(tmp_path)
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(b"\n".join((*ADA, *BO, event(5, user_id="u-7", email="bo@acme.example"))) + b"\n")
    nexus.ok("run", "--source", lines, "--as", "event", "--until-end")
    glued = persons(nexus)
    assert len(set(glued.values())) == 1

    lines_shown = nexus.ok("retract", "app", "e-5", "--dry-run", "--json").out.splitlines()
    shown = [json.loads(line) for line in lines_shown]
    assert [(one["what"], one["entity_id"]) for one in shown] == [("identifiers", glued["u-7"])]
    assert {one["value"] for one in shown[0]["identifiers"]} == {"u-9", "bo@acme.example"}
    assert "would lose" in nexus.ok("retract", "app", "e-5", "--dry-run").out
    assert persons(nexus) == glued
    assert nexus.ok("operations").out == ""

    done = json.loads(nexus.ok("retract", "app", "e-5", "--why", "a wrong import", "--json").out)
    assert (done["is_done"], done["touched"]) == (True, 2)
    assert "retract event e-5 of app" in nexus.ok("operations").out
    nexus.ok("run", "--until-end", "--source", lines, "--as", "event")  # copies of all
    nexus.ok("reconcile", "--fail-on-drift")
    parted = persons(nexus)
    assert {parted["u-9"], parted["bo@acme.example"]} == {shown[0]["becomes"]}
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out
    nexus.ok("check")

    for again in ("rebuild", "run --until-end"):
        shutil.rmtree(tmp_path / "nexus-data" / "redis")
        nexus.ok(*again.split())
        assert persons(nexus) == parted


def test_what_is_not_known_is_not_retracted(tmp_path: Path) -> None:
    """An unknown event, or one that is retracted already, ends with code 1 and one line; without a log the
    store's memory counts, and what is lacking is said.
    """
    nexus = Nexus(tmp_path)
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(b"\n".join(ADA) + b"\n")
    nexus.ok("run", "--source", lines, "--as", "event", "--until-end")
    assert (nexus.run("retract", "app", "e-9").code, nexus.run("retract", "stripe", "e-1").code) == (1, 1)
    without: dict[str, object] = {"NEXUS_WAREHOUSE__ENGINE": "none"}
    assert nexus.run("retract", "app", "e-9", **without).code == 1
    shown = nexus.run("retract", "app", "e-1", "--dry-run", **without)
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    assert "no event log" in nexus.ok("retract", "app", "e-1", **without).err
    again = nexus.run("retract", "app", "e-1")
    assert (again.code, again.err.count("\n"), "already" in again.err) == (1, 1, True)
