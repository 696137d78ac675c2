"""Notifications as their users have them: settings, a run, and somebody who is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.conftest import MakeTopic
from tests.end_to_end.programs import Nexus, eventually
from tests.end_to_end.topics import transitions_in
from tests.sinks.receiver import SECRET, Receiver, receiver, status

CANARY = "canary-7f3a@acme.example"


@pytest.fixture
def told() -> Iterator[Receiver]:
    """Give somebody who is told of merges."""
    with receiver() as to:
        yield to


def settings(folder: Path, to: Receiver, more: str = "") -> None:
    """Write the settings. The rule names an address, so it is in what is sent."""
    (folder / "nexus.yaml").write_text(f"""
notifications:
  endpoints:
    crm: {{webhook: "{to.url}", secrets: [{SECRET}], allow_private: true, timeout_s: 60, concurrency: 1}}
  rules:
    merged:
      when: transition.transition == "entities_merged"
      to: [crm]
    created:
      when: transition.identifiers.exists(i, i.value == "{CANARY}")
      to: [crm]
{more}""")


def call(number: int, **more: object) -> bytes:
    """A Segment call."""
    return json.dumps(
        {"type": "identify", "messageId": f"m-{number}", "timestamp": "2026-01-05T10:00:00Z", **more}
    ).encode()


STORY = [
    call(1, anonymousId="laptop", userId="u-7"),
    call(2, anonymousId="phone", traits={"email": CANARY}),
    call(3, anonymousId="phone", userId="u-7"),
]


def story(folder: Path) -> str:
    """Two devices that turn out to be one person's."""
    (folder / "story.jsonl").write_bytes(b"".join(line + b"\n" for line in STORY))
    return "story.jsonl"


def kinds(to: Receiver) -> list[str]:
    """What was told, verified by the official library."""
    return sorted(one.verified()["type"] for one in to.received)


def test_a_run_tells_and_leaks_nothing(tmp_path: Path, told: Receiver) -> None:
    """Embedded: a run ends when what it made is told. The address is in the message and in no output."""
    nexus = Nexus(tmp_path)
    settings(tmp_path, told)
    runs = [
        nexus.ok("-v", "run", "--until-end", "--source", story(tmp_path), "--as", "segment"),
        nexus.ok("run", "--until-end"),
        nexus.ok("notifications"),
        nexus.ok("notifications", "--json"),
    ]
    assert kinds(told) == ["nexus.entities_merged", "nexus.entity_created"]
    assert any(CANARY.encode() in one.body for one in told.received)
    (shown,) = [json.loads(line) for line in runs[-1].out.splitlines()]
    assert (shown["delivered"], shown["waiting"], shown["disabled"]) == (2, 0, False)
    for done in runs:
        for secret in (CANARY, SECRET, "hooks/nexus"):
            assert secret not in done.out + done.err


@pytest.mark.parametrize("point", ["before-match", "before-enqueue", "after-enqueue"])
def test_a_kill_loses_nothing(tmp_path: Path, told: Receiver, point: str) -> None:
    """Whatever point the process is killed at: after the next run each was told, under one id."""
    nexus = Nexus(tmp_path)
    settings(tmp_path, told)
    killed = nexus.run(
        "run", "--until-end", "--source", story(tmp_path), "--as", "segment", NEXUS_TEST_CRASH_AT=point
    )
    assert killed.code != 0
    with nexus.running("run") as run:
        eventually(lambda: len({one.id for one in told.received}) == 2, "both are told", 60)
        assert run.terminate().code == 0
    assert set(kinds(told)) == {"nexus.entities_merged", "nexus.entity_created"}
    (shown,) = [json.loads(line) for line in nexus.ok("notifications", "--json").out.splitlines()]
    assert (shown["delivered"], shown["waiting"]) == (2, 0)


def test_a_backfill_floods_nobody(tmp_path: Path, told: Receiver) -> None:
    """With --import the events are of January: nothing is sent, and all of it is counted."""
    nexus = Nexus(tmp_path)
    settings(tmp_path, told)
    nexus.ok("run", "--until-end", "--source", story(tmp_path), "--as", "segment", "--import")
    (shown,) = [json.loads(line) for line in nexus.ok("notifications", "--json").out.splitlines()]
    assert (shown["passed_over"], shown["delivered"], shown["waiting"]) == (2, 0, 0)
    assert told.received == []


def test_a_dead_endpoint_does_not_hold_up_a_run(tmp_path: Path, told: Receiver) -> None:
    """What could not be told waits, and the run ends all the same."""
    nexus = Nexus(tmp_path)
    told.answers = [status(500)]
    settings(tmp_path, told)
    done = nexus.ok("run", "--until-end", "--source", story(tmp_path), "--as", "segment")
    assert "2 notices enqueued, 0 delivered" in done.err
    assert "2 waiting" in nexus.ok("notifications").out
    assert re.search(r"ok  notifications: 2 wait, the oldest for \d+ s; 0 given up$", checked(nexus))


def checked(nexus: Nexus) -> str:
    """What `nexus check` says of notifications; it found nothing wrong."""
    (line,) = [one for one in nexus.ok("check").out.splitlines() if " notifications: " in one]
    return line


def test_gone_is_shown_and_enabled_again(tmp_path: Path, told: Receiver) -> None:
    """After a 410 the command ends with code 1; `enable` undoes it, and `test` tries the endpoint."""
    nexus = Nexus(tmp_path)
    told.answers = [status(410), status(200)]
    settings(tmp_path, told)
    nexus.ok("run", "--until-end", "--source", story(tmp_path), "--as", "segment")
    shown = nexus.run("notifications")
    assert (shown.code, "DISABLED" in shown.out) == (1, True)
    assert "warning  notifications: 0 wait; 2 given up; disabled: crm" in checked(nexus)
    nexus.ok("notifications", "enable", "crm")
    nexus.ok("notifications")
    assert "delivered" in nexus.ok("notifications", "test", "crm").out


@pytest.mark.services
def test_on_kafka_each_is_told_once(
    tmp_path: Path, kafka: str, redis_url: str, new_topic: MakeTopic, told: Receiver
) -> None:
    """A process of its own reads the topic, in which a merge lies twice; killed, it goes on where it was."""
    topic = new_topic(2, {"message.timestamp.type": "LogAppendTime"})
    nexus = Nexus(
        tmp_path,
        {
            "NEXUS_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "NEXUS_REDIS__URL": redis_url,
            "NEXUS_INPUT__TOPICS": f"{topic}=segment",
            "NEXUS_INPUT__CONTROL": f"{topic}-control",
            "NEXUS_OUTPUT__TRANSITIONS": f"{topic}-transitions",
            "NEXUS_OUTPUT__DEAD_LETTERS": f"{topic}-dead-letters",
        },
    )
    settings(tmp_path, told)
    producer = Producer({"bootstrap.servers": kafka})

    def produce(first: int, count: int) -> None:
        for number in range(first, first + count):
            device, user = f"device-{number}", f"user-{number}"
            for who in ({"anonymousId": device}, {"userId": user}, {"anonymousId": device, "userId": user}):
                producer.produce(
                    topic, call(number, messageId=f"{number}-{len(who)}-{min(who)}", **who), str(number)
                )
        producer.flush(30)

    produce(0, 50)
    nexus.ok("run", "resolve", "--until-end")
    nexus.ok("run", "publish", "--until-end")
    merges = [
        one for one in transitions_in(kafka, f"{topic}-transitions") if one.transition == "entities_merged"
    ]
    assert len(merges) == 2 * len({one.transition_id for one in merges}) == 100
    nexus.ok("run", "notify", "--until-end")
    assert len(told.received) == len({one.id for one in told.received}) == 50

    with (
        nexus.running("run", "notify") as killed,
        nexus.running("run", "resolve"),
        nexus.running("run", "publish"),
    ):
        produce(50, 20)
        eventually(lambda: len(told.received) >= 60, "some more are told", 60)
        killed.process.kill()
        produce(70, 30)
        with nexus.running("run", "notify"):
            eventually(lambda: len({one.id for one in told.received}) == 100, "all are told", 60)
    assert kinds(told)[0] == kinds(told)[-1] == "nexus.entities_merged"
