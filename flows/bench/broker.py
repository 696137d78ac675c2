"""The scenarios that need a broker: `nexus run` on a topic of its own, watched by an independent consumer."""

import base64
import contextlib
import multiprocessing
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic_core import from_json

from flows.bench.figures import Figure, quantile
from flows.bench.place import Place
from flows.bench.receiver import Arrival, receiver
from flows.bench.traffic import messages
from flows.production import Production
from flows.settings import Settings
from flows.wiring import Wiring
from schemas.errors import BrokerUnavailable
from schemas.events import Message
from sinks.topics import TopicPlan, admin_client, ensure_topics

RATE = 1_000  # events a second
_PARTITIONS = 4
_WARM_UP_S, _MEASURED_S = 5.0, 30.0
_READY_S = 60.0  # for a group to form
_LAST_S = 10.0  # for the last transitions to come out
_CONTEXT = multiprocessing.get_context("spawn")


Event = tuple[str, str]  # source and event id


class Seen(NamedTuple):
    """When a consumer had each event in hand, and the last of its transitions (ns)."""

    events: dict[Event, int]
    transitions: dict[Event, int]


def latency(place: Place, scale: float, given: Settings) -> Iterator[Figure]:
    """From an event's `produce` to its transition in the hands of a consumer, at 1,000 events a second."""
    sent, seen = _driven(_on_broker(place, given), scale)
    out = _took_ms(sent, seen.transitions)
    yield Figure("latency", "event to transition, p50", quantile(out, 0.5), "ms", at_most=20)
    yield Figure("latency", "event to transition, p99", quantile(out, 0.99), "ms", at_most=50)
    yield Figure("latency", f"event to transition, slowest of {len(out):,}", out[-1], "ms")
    yield from _alone("latency", sent, seen)


def webhook(place: Place, scale: float, given: Settings) -> Iterator[Figure]:
    """From an event's `produce` to a webhook's receiver, for the events of the same stream that bring a new
    person.
    """
    with receiver() as told:
        sent, seen = _driven(
            _on_broker(place, given, _births(told.port)), scale, lambda: _until_told(told.asked)
        )
        took, out = _took_ms(sent, _told(told.asked)), _took_ms(sent, seen.transitions)
    share = f"{len(took) / len(sent):.0%} of the events"
    yield Figure("webhook", f"event to webhook, {share}, p50", quantile(took, 0.5), "ms")
    yield Figure("webhook", "event to webhook, p99", quantile(took, 0.99), "ms")
    yield Figure("webhook", f"event to webhook, slowest of {len(took):,}", took[-1], "ms")
    yield Figure("webhook", "event to transition, p50", quantile(out, 0.5), "ms")
    yield Figure("webhook", "event to transition, p99", quantile(out, 0.99), "ms")
    yield from _alone("webhook", sent, seen)


def _alone(scenario: str, sent: Mapping[Event, int], seen: Seen) -> Iterator[Figure]:
    """What the machine did at that moment."""
    alone = _took_ms(sent, seen.events)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield Figure(
            scenario, f"the broker alone: event to its consumer, {name}", quantile(alone, share), "ms"
        )


def _driven(
    settings: Settings, scale: float, until: Callable[[], object] = lambda: None
) -> tuple[dict[Event, int], Seen]:
    """Send traffic through `nexus run` and wait: when each event was sent, and what a consumer saw."""
    warm_up, measured = (int(RATE * seconds * min(scale, 1)) for seconds in (_WARM_UP_S, _MEASURED_S))
    traffic = list(messages("growth", "event", 1 + warm_up + measured))
    with _topics(settings), _running(settings), _consumer(settings) as consumer, Wiring(settings) as parts:
        producer = Producer({**parts.producer_config, "linger.ms": "0"})
        topic = next(iter(settings.input.topics))
        sent = _send(producer, topic, traffic[:1])
        _until_out(consumer, _READY_S, next(iter(sent)))
        _send(producer, topic, traffic[1 : 1 + warm_up])
        sent = _send(producer, topic, traffic[1 + warm_up :])
        seen = _until_out(consumer, _LAST_S)
        until()
    return sent, seen


def _births(port: int) -> dict[str, Any]:
    """Settings by which each new person is told to a webhook on this machine."""
    endpoint = {
        "webhook": f"http://127.0.0.1:{port}/",
        "secrets": ["whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()],
        "allow_private": True,
    }
    when = 'transition.transition == "entity_created" && transition.entity_type == "person"'
    return {"endpoints": {"bench": endpoint}, "rules": {"born": {"when": when, "to": ["bench"]}}}


def _until_told(asked: Connection) -> None:
    """Wait until nothing more comes to the receiver."""
    told, before, deadline = len(_told(asked)), -1, time.monotonic() + _LAST_S
    while told != before and time.monotonic() < deadline:
        time.sleep(0.5)
        told, before = len(_told(asked)), told


def _told(asked: Connection) -> dict[Event, int]:
    """When each event was told."""
    asked.send("arrivals")
    arrivals: list[Arrival] = asked.recv()
    causes = ((at, from_json(body)["data"]["cause"]) for at, body in arrivals)
    return {(cause["source"], cause["event_id"]): at for at, cause in causes}


def _on_broker(place: Place, given: Settings, notifications: Mapping[str, Any] | None = None) -> Settings:
    """The broker and the client options that are set, and everything else new."""
    name = f"nexus-bench-{secrets.token_hex(4)}"
    changes = {
        "namespace": name,
        "data": place.folder,
        "group": name,
        "redis": {"url": place.redis_url},
        "input": {"topics": {f"{name}-events": "event"}, "control": f"{name}-operations"},
        "output": {
            "transitions": f"{name}-transitions",
            "dead_letters": f"{name}-dead-letters",
            "partitions": _PARTITIONS,
            "replication_factor": given.output.replication_factor,
        },
        "notifications": notifications or {},
    }
    kept = given.model_dump(include={"kafka", "consumer", "producer", "batch"})
    return Settings.model_validate({**kept, **changes})


@contextlib.contextmanager
def _topics(settings: Settings) -> Iterator[None]:
    """The topics exist within the block, and not after it."""
    inputs, output = tuple(settings.input.topics), settings.output
    with Wiring(settings) as parts:
        admin = admin_client(parts.producer_config)
        ensure_topics(
            admin, [TopicPlan.input(name, _PARTITIONS, output.replication_factor) for name in inputs]
        )
        parts.prepare_topics()
        try:
            yield
        finally:
            ours = (parts.control, output.transitions, output.dead_letters)
            _delete(admin, (*inputs, *ours))


def _delete(admin: AdminClient, names: Sequence[str]) -> None:
    for future in admin.delete_topics(list(names)).values():
        future.result(30)


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[None]:
    """`nexus run` in a process of its own."""
    process = _CONTEXT.Process(target=_run, args=(settings,))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(30)


def _run(settings: Settings) -> None:
    Production(settings, None, lambda _: None).run(None)


@contextlib.contextmanager
def _consumer(settings: Settings) -> Iterator[Connection]:
    """A consumer of both topics in a process of its own, which says what it has seen whenever it is asked."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_consume, args=(there, settings), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join(30)


def _consume(connection: Connection, settings: Settings) -> None:
    """Note the instant, and read what it was only when asked: reading would delay what comes next."""
    with Wiring(settings) as parts:
        consumer = Consumer({**parts.producer_config, "group.id": f"{settings.group_id}-watching"})
    topics = (*settings.input.topics, settings.output.transitions)
    consumer.assign([TopicPartition(topic, number, 0) for topic in topics for number in range(_PARTITIONS)])
    received: list[tuple[int, str, bytes]] = []
    with contextlib.closing(consumer), contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                received.append((time.monotonic_ns(), message.topic() or "", message.value() or b""))
            elif connection.poll():
                connection.recv()
                connection.send(_seen(received, settings.output.transitions))


def _seen(received: Sequence[tuple[int, str, bytes]], transitions: str) -> "Seen":
    seen = Seen({}, {})
    for at, topic, value in received:
        if not value:
            continue  # a tombstone
        if topic == transitions:
            cause = from_json(value)["cause"]
            seen.transitions[cause["source"], cause["event_id"]] = at
        else:
            seen.events[_event(value)] = at
    return seen


def _send(producer: Producer, topic: str, traffic: Sequence[Message]) -> dict[Event, int]:
    """Produce at the rate; the instant just before each event's `produce` (ns)."""
    sent: dict[Event, int] = {}
    named = [(_event(one.value or b""), one) for one in traffic]
    started = time.monotonic()
    for number, (event, one) in enumerate(named):
        producer.poll(0)
        if (early := started + number / RATE - time.monotonic()) > 0:
            time.sleep(early)  # to wait in `poll` would spin: it counts whole milliseconds
        sent[event] = time.monotonic_ns()
        producer.produce(topic, one.value, one.key, headers=list(one.headers))
    if producer.flush(30):
        raise BrokerUnavailable("the broker did not take the events of the benchmark")
    return sent


def _event(value: bytes) -> Event:
    event = from_json(value)
    return event["source"], event["event_id"]


def _until_out(consumer: Connection, patience_s: float, first: Event | None = None) -> Seen:
    """What the consumer saw: when the first event's transition is there, or else when nothing more comes."""
    seen, deadline = Seen({}, {}), time.monotonic() + patience_s
    while time.monotonic() < deadline:
        time.sleep(0.5)
        consumer.send("seen")
        before = len(seen.transitions)
        seen = Seen(*consumer.recv())
        if first in seen.transitions if first else len(seen.transitions) == before:
            return seen
    if first:
        raise BrokerUnavailable("the stream did not begin to work")
    return seen


def _took_ms(sent: Mapping[Event, int], seen: Mapping[Event, int]) -> list[float]:
    took = sorted((seen[event] - at) / 1e6 for event, at in sent.items() if event in seen)
    if not took:
        raise BrokerUnavailable("nothing of the benchmark came out")
    return took
