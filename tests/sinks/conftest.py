"""The backends, behind one face each: write to it, read back what is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.dead_letters import DeadLetter, from_headers
from schemas.transitions import Transition, from_json
from sinks.jsonl import JsonlDeadLetters, JsonlTransitions, read_dead_letter
from sinks.kafka import KafkaDeadLetters, KafkaTransitions
from sinks.memory import MemoryDeadLetters, MemoryTransitions
from sinks.promise import DeadLetterSink, TransitionSink
from sinks.segments import SegmentedLog
from sinks.topics import TopicPlan, admin_client, ensure_topics
from tests.sinks.kafka_topics import mock_cluster, read_topic

BACKENDS = ["memory", "jsonl", "mock", pytest.param("kafka", marks=pytest.mark.services)]


@dataclass(frozen=True)
class Transitions:
    """A sink for transitions, and what has arrived at its destination."""

    sink: TransitionSink
    read: Callable[[], list[Transition]]


@dataclass(frozen=True)
class DeadLetters:
    """A sink for dead letters, and what has arrived at its destination."""

    sink: DeadLetterSink
    read: Callable[[], list[DeadLetter]]


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[str]:
    """Give the address of a mock cluster for the whole run."""
    with mock_cluster() as bootstrap:
        yield bootstrap


@pytest.fixture(params=BACKENDS)
def transitions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transitions]:
    """Give a sink for transitions, of each kind in turn."""
    backend = _transitions(request, tmp_path)
    yield backend
    backend.sink.close()


@pytest.fixture(params=BACKENDS)
def dead_letters(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeadLetters]:
    """Give a sink for dead letters, of each kind in turn."""
    backend = _dead_letters(request, tmp_path)
    yield backend
    backend.sink.close()


def _transitions(request: pytest.FixtureRequest, folder: Path) -> Transitions:
    if request.param == "memory":
        memory = MemoryTransitions()
        return Transitions(memory, lambda: memory.written)
    if request.param == "jsonl":
        log = SegmentedLog(folder)
        return Transitions(JsonlTransitions(log), lambda: [from_json(line) for line in _lines(log)])
    bootstrap, topic = _kafka_topic(request)
    sink = KafkaTransitions({"bootstrap.servers": bootstrap}, topic)
    return Transitions(
        sink, lambda: [from_json(found.value) for found in read_topic(bootstrap, topic) if found.value]
    )


def _dead_letters(request: pytest.FixtureRequest, folder: Path) -> DeadLetters:
    if request.param == "memory":
        memory = MemoryDeadLetters()
        return DeadLetters(memory, lambda: memory.written)
    if request.param == "jsonl":
        log = SegmentedLog(folder)
        return DeadLetters(JsonlDeadLetters(log), lambda: [read_dead_letter(line) for line in _lines(log)])
    bootstrap, topic = _kafka_topic(request)
    sink = KafkaDeadLetters({"bootstrap.servers": bootstrap}, topic)
    return DeadLetters(
        sink,
        lambda: [
            from_headers(found.headers, found.key, found.value) for found in read_topic(bootstrap, topic)
        ],
    )


def _kafka_topic(request: pytest.FixtureRequest) -> tuple[str, str]:
    bootstrap = request.getfixturevalue("mock_kafka" if request.param == "mock" else "kafka")
    topic = f"test-{uuid.uuid4().hex[:12]}"
    ensure_topics(admin_client({"bootstrap.servers": bootstrap}), [TopicPlan.output(topic, 4)])
    return bootstrap, topic


def _lines(log: SegmentedLog) -> Iterator[bytes]:
    offset = 0
    while lines := log.read(offset):
        yield from (line.data for line in lines)
        offset = lines[-1].next_offset
