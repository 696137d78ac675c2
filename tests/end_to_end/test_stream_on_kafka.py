"""The whole stream on real Kafka and Redis: one answer, whatever the number of workers and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo_producer import Faults, Record, records
from demo_producer.kafka import KafkaOutput
from tests.end_to_end.answers import Judged, answer, consumed, judged
from tests.end_to_end.programs import Nexus
from tests.end_to_end.topics import dead_letters_in, read_topics, transitions_in
from tests.services import make_topic

pytestmark = pytest.mark.services

COUNT = 40_000  # the soak has five times as many
SEED = 20_260_105
FAULTS = Faults(duplicates=5, late=2, shuffled=10, malformed=1, junk=1)
PARTITIONS = {"segment": 5, "stripe": 3}  # eight in all


@dataclass(frozen=True)
class Traffic:
    """Topics with the demo's events, as they lie in Kafka."""

    bootstrap: str
    topics: dict[str, str]
    log: Judged
    malformed: Counter[bytes | None]

    def settings(self, namespace: str, redis_url: str) -> dict[str, object]:
        """The settings of one namespace over these topics, with outputs of its own."""
        return {
            "NEXUS_NAMESPACE": namespace,
            "NEXUS_SECRET": f"the secret of {namespace}",
            "NEXUS_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "NEXUS_REDIS__URL": redis_url,
            "NEXUS_CONSUMER__HEARTBEAT_INTERVAL_MS": "200",  # a process that joins has its share soon
            "NEXUS_INPUT__TOPICS": ",".join(f"{topic}={name}" for name, topic in self.topics.items()),
            "NEXUS_OUTPUT__TRANSITIONS": f"{namespace}-transitions",
            "NEXUS_OUTPUT__DEAD_LETTERS": f"{namespace}-dead-letters",
        }


@pytest.fixture(scope="module")
def traffic(kafka: str) -> Traffic:
    """Give events with every fault, produced once into topics with the broker's times."""
    return produced(kafka, "demo", COUNT)


def produced(kafka: str, prefix: str, count: int) -> Traffic:
    """So many events, in topics that are named by the prefix."""
    print(f"seed {SEED}")
    topics = {name: f"{prefix}-{name}" for name in PARTITIONS}
    for name, topic in topics.items():
        make_topic(kafka, topic, PARTITIONS[name], {"max.message.bytes": "8388608"})
    malformed: Counter[bytes | None] = Counter()

    def counted() -> Iterator[Record]:
        for record in records(seed=SEED, count=count, faults=FAULTS):
            if record.fault == "malformed":
                malformed[record.value] += 1
            yield record

    output = KafkaOutput(kafka, {"segment": topics["segment"], "stripe": topics["stripe"]})
    assert output.write(counted()) == count
    log = read_topics(kafka, list(topics.values()))
    assert len(log) == count
    return Traffic(kafka, topics, judged(log, {topic: name for name, topic in topics.items()}), malformed)


@pytest.mark.parametrize(
    ("workers", "processes"),
    [
        (1, 2),
        (2, 1),
        (4, 2),
        *(pytest.param(*others, marks=pytest.mark.soak) for others in [(1, 1), (2, 2), (4, 1)]),
    ],
)
def test_every_way_of_sharing_the_work_gives_the_reference_s_answer(
    traffic: Traffic, redis_url: str, tmp_path: Path, workers: int, processes: int
) -> None:
    """Export, dead letters and transitions agree with the reference on the same log, and every invariant
    holds.
    """
    assert_right(traffic, f"shared-{workers}-{processes}", redis_url, tmp_path, workers, processes)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_many_events_give_the_reference_s_answer(kafka: str, redis_url: str, tmp_path: Path) -> None:
    """The same, for longer than any buffer lasts."""
    assert_right(produced(kafka, "many", 5 * COUNT), "many", redis_url, tmp_path, workers=4, processes=2)


def assert_right(
    traffic: Traffic, namespace: str, redis_url: str, tmp_path: Path, workers: int, processes: int
) -> None:
    """Run a namespace to the end, and hold all that it says against the reference."""
    nexus = Nexus(tmp_path, traffic.settings(namespace, redis_url))
    started = [nexus.start("run", "--until-end", "--workers", str(workers)) for _ in range(processes)]
    done = [one.wait() for one in started]
    assert [one.code for one in done] == [0] * processes, [one.err for one in done]
    assert all(one.messages for one in done), "every process did some of the work"

    expected = answer(traffic.log.events, namespace, f"the secret of {namespace}".encode())
    assert nexus.mapping() == expected
    transitions = transitions_in(traffic.bootstrap, f"{namespace}-transitions")
    assert consumed(transitions) == expected
    assert_dead_letters(traffic, f"{namespace}-dead-letters")
    checked = nexus.ok("check")
    assert "wrong" not in checked.out


def assert_dead_letters(traffic: Traffic, topic: str) -> None:
    """Exactly the malformed are dead letters. A batch that a rebalance repeats may bury one twice."""
    dead = {
        (one.message.topic, one.message.partition, one.message.offset): one.message
        for one, _ in dead_letters_in(traffic.bootstrap, topic)
    }
    assert dead.keys() == traffic.log.bad.keys()
    assert all(one.value == traffic.log.bad[place].value for place, one in dead.items())
    assert Counter(one.value for one in dead.values()) == traffic.malformed
