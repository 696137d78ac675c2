"""Dead letters go back as they came; nothing is lost, and what was settled stays settled."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.replay import Choice, Ledger, Replay, Report, _metadata, _settled
from flows.settings import Settings
from flows.wiring import Wiring
from schemas.dead_letters import DeadLetter
from schemas.events import Message
from schemas.records import decode_record
from tests.conftest import MakeTopic
from tests.flows.terminal import answers, call, command, environment, nexus, record, write_lines

NOW_MS = 1_767_600_000_000
ALL = Choice()


# the ledger


def test_the_cursor_stands_at_the_oldest_that_is_left() -> None:
    """What is settled in front moves it; what is settled behind it is remembered."""
    ledger = Ledger(0)
    assert [ledger.see(offset, offset + 10) for offset in (0, 10, 20, 30)] == [True] * 4
    ledger.settle(0)
    ledger.settle(20)
    assert (ledger.at, ledger.beyond) == (10, [20])
    ledger.settle(10)
    assert (ledger.at, ledger.beyond) == (30, [])
    ledger.settle(30)
    assert (ledger.at, ledger.beyond) == (40, [])


def test_what_is_settled_is_not_seen_again() -> None:
    """A ledger that was saved goes on where it was."""
    again = Ledger(10, [20, 30])
    assert [again.see(offset, offset + 10) for offset in (10, 20, 30, 40)] == [True, False, False, True]


@pytest.mark.parametrize("settled", [[], [5], [6, 7, 8], [6, 9, 10, 40], list(range(6, 3_000, 2))])
def test_settled_offsets_travel_in_a_commit(settled: list[int]) -> None:
    """The text that is committed with an offset says which ones behind it are settled, and fits the
    broker's limit.
    """
    ledger = Ledger(5, settled)
    text = _metadata(ledger)
    assert len(text.encode()) <= 4_096
    assert _settled(text) == settled


def test_settled_offsets_that_do_not_fit_are_left_out_from_the_end() -> None:
    """They would be replayed again, which is harmless; no other offset is ever taken for settled."""
    settled = sorted({6 + number * number % 1_000_003 for number in range(20_000)})
    text = _metadata(Ledger(5, settled))
    found = _settled(text)
    assert len(text.encode()) <= 4_096
    assert found == settled[: len(found)]
    assert found


@pytest.mark.parametrize("text", [None, "", "x", "5:", "5:@@", "x:y", "somebody else's words"])
def test_a_text_of_somebody_else_settles_nothing(text: str | None) -> None:
    """Metadata that another tool committed is no reason to leave a letter out."""
    assert _settled(text) == []


# embedded


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Wiring]:
    """Give the parts of an embedded namespace. No store is started: a replay needs none."""
    with Wiring(Settings(data=tmp_path)) as parts:
        yield parts


def bury(parts: Wiring, *reasons: str, value: bytes | None = b"{", topic: str = "input") -> None:
    """Write a dead letter for each reason."""
    parts.dead_letters().write(
        [
            DeadLetter(
                Message(topic, 0, n, n + 1, NOW_MS + n, value, b"k", (("trace", b"\xff"),)),
                reason,
                "why",
                "event",
            )
            for n, reason in enumerate(reasons)
        ]
    )


def replay(parts: Wiring, choice: Choice = ALL, **options: Any) -> Report:
    """Replay what is chosen."""
    with Replay(parts) as replaying:
        return replaying.run(choice, **options)


def came_again(parts: Wiring) -> list[Message]:
    """Give what is in the input."""
    return [
        decode_record("input", one.data, one.offset, one.next_offset) for one in parts.log("input").read(0)
    ]


@pytest.mark.parametrize("value", [b"{", b"\x00\xff\n", b"", None])
def test_a_message_goes_back_as_it_came(parts: Wiring, value: bytes | None) -> None:
    """Key, value and the producer's headers untouched, at its first instant."""
    bury(parts, "schema", value=value)
    replay(parts)
    (message,) = came_again(parts)
    assert (message.key, message.value, message.ingested_at_ms) == (b"k", value, NOW_MS)
    assert message.header("trace") == b"\xff"
    assert message.header("nexus-reason") is None


def test_a_letter_is_replayed_once(parts: Wiring) -> None:
    """A second replay finds nothing; what comes later is found."""
    bury(parts, "schema", "limit")
    assert sum(replay(parts).replayed.values()) == 2
    assert not replay(parts).waiting
    bury(parts, "schema")
    assert replay(parts).replayed == {"schema": 1}


def test_a_dry_run_moves_nothing(parts: Wiring) -> None:
    """It counts by reason, and the next replay finds the same."""
    bury(parts, "schema", "limit", "schema")
    report = replay(parts, Choice(limit=2), is_dry=True)
    assert (report.waiting, report.replayed) == ({"schema": 2, "limit": 1}, {"schema": 1, "limit": 1})
    assert came_again(parts) == []
    assert sum(replay(parts).replayed.values()) == 3


def test_what_a_choice_leaves_out_stays(parts: Wiring) -> None:
    """By reason and by number: the rest is replayed later, and nothing twice."""
    bury(parts, *["schema", "limit"] * 5)
    assert replay(parts, Choice(("limit",), limit=2)).replayed == {"limit": 2}
    assert replay(parts, Choice(("schema",))).replayed == {"schema": 5}
    assert replay(parts).replayed == {"limit": 3}
    offsets = [message.ingested_at_ms for message in came_again(parts)]
    assert sorted(offsets) == [NOW_MS + n for n in range(10)]


def test_letters_of_other_topics_stay_where_they_are(parts: Wiring) -> None:
    """A topic that is no input of this namespace is not written to, and its letters are counted."""
    bury(parts, "schema", topic="elsewhere")
    assert replay(parts).others == {"elsewhere": 1}
    assert replay(parts).others == {"elsewhere": 1}
    assert came_again(parts) == []


def test_a_line_that_is_no_dead_letter_is_passed_over(parts: Wiring) -> None:
    """Somebody's line in the log neither stops a replay nor goes into the input."""
    parts.log("dead-letters").append([b"hello", b"{}"])
    bury(parts, "schema")
    report = replay(parts)
    assert (report.unreadable, report.replayed) == (2, {"schema": 1})


def test_a_format_can_be_given(parts: Wiring) -> None:
    """`--as` replaces what the message was sent as."""
    bury(parts, "schema")
    replay(parts, Choice(format_name="stripe"))
    assert came_again(parts)[0].header("nexus-format") == b"stripe"


def test_two_replays_at_once_are_one_too_many(parts: Wiring) -> None:
    """The second one is told to wait, in one line, with code 1."""
    bury(parts, "schema")
    (parts.settings.data / "redis").mkdir()
    with Replay(parts) as first:
        first.run(Choice(), is_dry=True)
        done = nexus(parts.settings.data, "replay-dlq", "--data", str(parts.settings.data), code=1)
    assert "another replay-dlq is at work" in done.stderr


def test_a_cursor_of_a_log_that_was_removed_begins_anew(parts: Wiring) -> None:
    """Who empties the folder of the dead letters loses no later one."""
    bury(parts, *["schema"] * 20)
    replay(parts)
    for segment in parts.log("dead-letters").folder.glob("*.jsonl"):
        segment.unlink()
    bury(parts, "limit")
    assert replay(parts).replayed == {"limit": 1}


def test_a_replay_that_dies_before_its_cursor_moves_repeats(tmp_path: Path) -> None:
    """Killed between send and settle: the letters go out again, so none is lost, and the answer is the
    same.
    """
    lines = [record(call(f"m-{n}", userId=f"u-{n}"), NOW_MS + n, "event") for n in range(3)]
    nexus(tmp_path, "run", "--source", write_lines(tmp_path / "in", lines), "--as", "record", "--until-end")
    killed = subprocess.run(
        command("replay-dlq", "--as", "segment"), cwd=tmp_path, check=False,
        env=environment({"NEXUS_TEST_CRASH_AT": "after-replay-send"}), timeout=30, capture_output=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    done = nexus(tmp_path, "replay-dlq", "--as", "segment", "--json")
    assert answers(done) == [{"reason": "schema", "waiting": 3, "replayed": 3, "refused": 0, "left": 0}]
    nexus(tmp_path, "run", "--until-end")
    assert len(answers(nexus(tmp_path, "export", "person"))) == 3


def test_after_a_fix_a_message_counts_as_of_its_first_instant(tmp_path: Path) -> None:
    """Sent under the wrong format, replayed under the right one: it resolves, and is as old as it was."""
    lines = [record(call("m-1", userId="u-7", anonymousId="laptop"), NOW_MS, "stripe")]
    lines += [record(call("m-2", userId="u-7"), NOW_MS + 5_000)]
    nexus(tmp_path, "run", "--source", write_lines(tmp_path / "in", lines), "--as", "record", "--until-end")
    nexus(tmp_path, "replay-dlq", "--as", "segment")
    nexus(tmp_path, "run", "--until-end")
    (found,) = answers(nexus(tmp_path, "lookup", "person", "anonymous_id=laptop", "--json"))
    assert found["first_seen"]["event_id"] == "m-1"
    assert found["size"] == 2


# Kafka


class Cluster:
    """A namespace on a real broker and a real Redis, by the command line."""

    def __init__(self, folder: Path, kafka: str, redis_url: str, topic: str) -> None:
        self.folder, self.kafka, self.topic = folder, kafka, topic
        self.namespace = f"ns-{uuid.uuid4().hex[:8]}"
        self.letters = f"{self.namespace}-dead"
        self.settings = {
            "NEXUS_NAMESPACE": self.namespace,
            "NEXUS_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "NEXUS_REDIS__URL": redis_url,
            "NEXUS_REDIS__EPHEMERAL": "true",
            "NEXUS_OUTPUT__TRANSITIONS": f"{self.namespace}-transitions",
            "NEXUS_OUTPUT__DEAD_LETTERS": self.letters,
            "NEXUS_OUTPUT__PARTITIONS": "3",
        }

    def nexus(self, *arguments: str, as_format: str = "segment") -> subprocess.CompletedProcess[str]:
        """Run a command; `as_format` is what the input topic is set to."""
        topics = {"NEXUS_INPUT__TOPICS": f"{self.topic}={as_format}"}
        return nexus(self.folder, *arguments, settings={**self.settings, **topics})

    def send(self, values: Sequence[bytes], headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Produce to the input topic."""
        producer = Producer({"bootstrap.servers": self.kafka})
        for value in values:
            producer.produce(self.topic, value, b"some key", headers=list(headers))
        assert producer.flush(20) == 0

    @contextmanager
    def consumer(self, group: str) -> Iterator[Consumer]:
        """Give a consumer that looks from outside."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": group, "enable.auto.commit": False})
        try:
            yield consumer
        finally:
            consumer.close()

    def committed(self) -> dict[int, int]:
        """Give the offsets of the replay's group, where it has any."""
        with self.consumer(f"nexus-{self.namespace}-replay-dlq") as consumer:
            found = consumer.committed([TopicPartition(self.letters, n) for n in range(3)], timeout=20)
        return {one.partition: one.offset for one in found if one.offset >= 0}


@pytest.fixture
def cluster(tmp_path: Path, kafka: str, redis_url: str, new_topic: MakeTopic) -> Cluster:
    """Give a namespace of the test's own on the shared servers."""
    topic = new_topic(2, {"message.timestamp.type": "LogAppendTime"})
    return Cluster(tmp_path, kafka, redis_url, topic)


@pytest.mark.services
def test_on_kafka_a_corrected_setting_brings_the_letters_back(cluster: Cluster) -> None:
    """A topic that was set to the wrong format: after the correction all resolve, as of their first
    instant; messages that named a format of their own keep it.
    """
    cluster.send([call(f"m-{n}", userId=f"u-{n}") for n in range(20)])
    cluster.send([call("own", userId="u-own")], [("nexus-format", b"segment")])
    cluster.nexus("run", "--until-end", as_format="stripe")
    assert len(answers(cluster.nexus("export", "person"))) == 1
    first = cluster.nexus("replay-dlq", "--json")
    assert answers(first) == [{"reason": "schema", "waiting": 20, "replayed": 20, "refused": 0, "left": 0}]
    cluster.nexus("run", "--until-end")
    assert len(answers(cluster.nexus("export", "person"))) == 21
    (own,) = answers(cluster.nexus("lookup", "person", "user_id=u-own", "--json"))
    (again,) = answers(cluster.nexus("lookup", "person", "user_id=u-0", "--json"))
    assert again["first_seen"]["ingested_at"] <= own["first_seen"]["ingested_at"]


@pytest.mark.services
def test_on_kafka_the_cursor_is_a_group_with_gaps(cluster: Cluster) -> None:
    """What a reason leaves out stays, what was replayed is not sent again, and the group's offset tells the
    lag.
    """
    cluster.send([b"<html>" if n % 2 else b"[]" for n in range(40)])
    cluster.nexus("run", "--until-end")
    waiting = {
        one["reason"]: one["waiting"] for one in answers(cluster.nexus("replay-dlq", "--dry-run", "--json"))
    }
    assert waiting == {"not-json": 20, "schema": 20}
    assert cluster.committed() == {}
    some = answers(cluster.nexus("replay-dlq", "--reason", "schema", "--limit", "15", "--json"))
    assert {one["reason"]: one["replayed"] for one in some} == {"not-json": 0, "schema": 15}
    rest = answers(cluster.nexus("replay-dlq", "--json"))
    assert {one["reason"]: one["replayed"] for one in rest} == {"not-json": 20, "schema": 5}
    assert sum(cluster.committed().values()) == 40
    assert "No dead letters wait" in cluster.nexus("replay-dlq").stdout


@pytest.mark.services
def test_on_kafka_a_message_keeps_its_key_value_and_headers(cluster: Cluster) -> None:
    """What comes in again is what came in first, and says when that was."""
    cluster.send([b"\x00\xff"], [("trace", b"\xfe")])
    cluster.nexus("run", "--until-end")
    cluster.nexus("replay-dlq")
    with cluster.consumer("outside") as consumer:
        consumer.assign([TopicPartition(cluster.topic, n, 0) for n in range(2)])
        first, second = (message for message in consumer.consume(2, timeout=20))
    first, second = sorted((first, second), key=lambda one: len(one.headers() or ()))
    assert (second.key(), second.value()) == (first.key(), first.value()) == (b"some key", b"\x00\xff")
    assert second.headers() == [("trace", b"\xfe"), ("nexus-ingested-at", str(first.timestamp()[1]).encode())]


@pytest.mark.services
def test_on_kafka_a_crash_between_send_and_commit_repeats(cluster: Cluster) -> None:
    """The second run sends all of them again; the answer is that of sending them once."""
    cluster.send([call(f"m-{n}", userId=f"u-{n}") for n in range(5)])
    cluster.nexus("run", "--until-end", as_format="event")
    settings = {**cluster.settings, "NEXUS_INPUT__TOPICS": f"{cluster.topic}=segment"}
    killed = subprocess.run(
        command("replay-dlq"), cwd=cluster.folder, check=False, timeout=60, capture_output=True,
        env=environment({"NEXUS_TEST_CRASH_AT": "after-replay-send", **settings}),
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert cluster.committed() == {}
    assert [one["replayed"] for one in answers(cluster.nexus("replay-dlq", "--json"))] == [5]
    cluster.nexus("run", "--until-end")
    rows = [json.loads(line) for line in cluster.nexus("export", "person").stdout.splitlines()]
    assert len(rows) == 5
