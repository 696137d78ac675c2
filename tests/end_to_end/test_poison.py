"""Bad input among good: each dies alone, whole, with a reason; nothing waits and nothing falls."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.dead_letters import DeadLetter
from schemas.events import Message
from schemas.instants import format_instant
from schemas.records import decode_record, encode_record, parse_record
from sinks.jsonl import read_dead_letter
from sinks.segments import SegmentedLog
from tests.end_to_end.answers import answer, judged
from tests.end_to_end.poison import CANARY, POISON, Poison, good
from tests.end_to_end.programs import Done, Nexus
from tests.end_to_end.topics import Headers, dead_letters_in, read_topics
from tests.services import make_topic

KINDS = list(POISON.items())
GOOD_EACH = 99  # to one poison: a hundredth of the traffic is bad
COUNT = GOOD_EACH * len(KINDS)
FIRST_MS = 1_767_600_000_000

# What Kafka Connect writes beside a dead letter, and so every tool for its dead letter queues reads.
CONNECT = (
    "topic", "partition", "offset", "connector.name", "task.id", "stage", "class.name",
    "exception.class.name", "exception.message",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came out of a run over the traffic."""

    done: Done
    nexus: Nexus
    namespace: str
    log: Sequence[Message]
    dead: Sequence[tuple[DeadLetter, Headers]]
    published: bytes

    def dead_letter(self, name: str) -> tuple[DeadLetter, dict[str, bytes]]:
        """The one dead letter of a kind of poison."""
        key = name.encode()
        (found,) = [(letter, dict(headers)) for letter, headers in self.dead if letter.message.key == key]
        return found


def traffic() -> Iterator[tuple[bytes, Poison | bytes]]:
    """Keys and messages: after every 99 good ones a poison, whose key is its name."""
    for number in range(COUNT):
        yield b"good", good(number)
        if number % GOOD_EACH == GOOD_EACH - 1:
            name, poison = KINDS[number // GOOD_EACH]
            yield name.encode(), poison


@contextmanager
def embedded(folder: Path) -> Iterator[Outcome]:
    """Run over a file of records."""
    nexus = Nexus(folder, {"NEXUS_DATA": "data"})
    with (folder / "traffic.jsonl").open("wb") as file:
        for number, (key, item) in enumerate(traffic()):
            value, headers = (
                (item.value, item.headers)
                if isinstance(item, Poison)
                else (item, (("nexus-format", b"event"),))
            )
            line = encode_record(value, ingested_at_ms=FIRST_MS + number, key=key, headers=headers)
            file.write(line + b"\n")
    done = nexus.run("-v", "run", "--until-end", "--source", "traffic.jsonl", "--as", "record")
    logs = folder / "data" / "default"
    log = [
        decode_record("input", line.data, line.offset, line.next_offset)
        for line in SegmentedLog(logs / "input").read(0, 1_000_000, 1 << 30)
    ]
    dead = [
        (read_dead_letter(line.data), parse_record(line.data).headers)
        for line in SegmentedLog(logs / "dead-letters").read(0, 1_000_000, 1 << 30)
    ]
    published = b"".join(path.read_bytes() for path in (logs / "transitions").glob("*.jsonl"))
    yield Outcome(done, nexus, "default", log, dead, published)


@contextmanager
def on_kafka(folder: Path, bootstrap: str, redis_url: str) -> Iterator[Outcome]:
    """Run over a topic."""
    namespace = f"poison-{uuid.uuid4().hex[:8]}"
    outputs = {name: f"{namespace}-{name}" for name in ("transitions", "dead-letters")}
    settings = {
        "NEXUS_NAMESPACE": namespace,
        "NEXUS_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "NEXUS_REDIS__URL": redis_url,
        "NEXUS_INPUT__TOPICS": f"{namespace}=event",
        "NEXUS_OUTPUT__TRANSITIONS": outputs["transitions"],
        "NEXUS_OUTPUT__DEAD_LETTERS": outputs["dead-letters"],
    }
    nexus = Nexus(folder, settings)
    make_topic(bootstrap, namespace, 4, {"max.message.bytes": str(32 << 20)})
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 32 << 20, "linger.ms": 20})
    for number, (key, item) in enumerate(traffic()):
        value, headers = (item.value, item.headers) if isinstance(item, Poison) else (item, ())
        producer.produce(namespace, value, key, partition=number % 4, headers=list(headers))
        producer.poll(0)
    assert producer.flush(30) == 0
    done = nexus.run("-v", "run", "--until-end")
    log = read_topics(bootstrap, [namespace])
    dead = dead_letters_in(bootstrap, outputs["dead-letters"])
    published = b"".join(one.value or b"" for one in read_topics(bootstrap, [outputs["transitions"]]))
    yield Outcome(done, nexus, namespace, log, dead, published)


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.services)])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Give what came out of one process that ran over the traffic: from a file, or from a topic."""
    folder = tmp_path_factory.mktemp("poison")
    if request.param == "embedded":
        with embedded(folder) as found:
            yield found
        return
    url = request.getfixturevalue("redis_server").url
    with on_kafka(folder, request.getfixturevalue("kafka"), url) as found:
        yield found


def test_the_run_goes_on_to_the_end(outcome: Outcome) -> None:
    """One process, ended well, took every message; nothing was restarted and no step failed."""
    assert outcome.done.code == 0, outcome.done.err
    assert outcome.done.messages == len(outcome.log) == COUNT + len(KINDS)
    assert "Traceback" not in outcome.done.err
    assert "failed" not in outcome.done.err


def test_every_good_event_is_resolved(outcome: Outcome) -> None:
    """The answer is the reference's on the good messages, all of which are there."""
    log = judged(outcome.log, {outcome.namespace: "event"})
    assert len(log.events) == COUNT
    expected = answer(log.events, outcome.namespace)
    assert len(expected) == 2 * COUNT
    assert outcome.nexus.mapping() == expected


def test_every_poison_and_nothing_else_is_a_dead_letter(outcome: Outcome) -> None:
    """As many dead letters as poisons, each once."""
    assert sorted(letter.message.key or b"" for letter, _ in outcome.dead) == sorted(
        name.encode() for name in POISON
    )


@pytest.mark.parametrize(("name", "poison"), KINDS, ids=list(POISON))
def test_a_poison_is_buried_whole_with_its_reason(outcome: Outcome, name: str, poison: Poison) -> None:
    """The payload and the producer's headers are untouched; place, reason and first instant stand beside."""
    letter, headers = outcome.dead_letter(name)
    (sent,) = [message for message in outcome.log if message.key == name.encode()]
    assert letter.message.value == poison.value
    assert headers["trace"] == b"\xff\x00"
    assert (letter.reason, letter.format_name) == (poison.reason, poison.format_name)
    assert {f"__connect.errors.{one}" for one in CONNECT} <= headers.keys()
    place = (letter.message.topic, letter.message.partition, letter.message.offset)
    assert place == (sent.topic, sent.partition, sent.offset)
    assert headers["nexus-ingested-at"] == str(sent.timestamp_ms).encode(), format_instant(sent.timestamp_ms)


def test_no_value_of_a_payload_comes_out_anywhere_else(outcome: Outcome) -> None:
    """An address in bad messages is in no line on the screen, no header and no transition."""
    address, mailbox = CANARY.encode(), CANARY.partition("@")[0].encode()
    assert sum(address in (letter.message.value or b"") for letter, _ in outcome.dead) > 60
    said = (outcome.done.out + outcome.done.err).encode()
    for text in (address, mailbox, b"whistle"):
        assert text not in said
        assert text not in outcome.published
        assert not any(text in value for _, headers in outcome.dead for _, value in headers)


def test_no_address_of_a_good_message_is_on_the_screen(outcome: Outcome) -> None:
    """What a verbose run says names no person, neither good nor bad."""
    said = outcome.done.out + outcome.done.err
    assert "good.example" not in said
    assert b"good.example" in outcome.published, "while the transitions are about them"
