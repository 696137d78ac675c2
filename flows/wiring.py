"""The one place where the parts are put together, from the settings.

    with Wiring(settings) as parts:
        parts.store, parts.dead_letters(), parts.readers(...)

What is opened is closed in reverse when the block ends.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import redis
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient
from redis.backoff import ExponentialBackoff
from redis.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.exceptions import ConnectionError, TimeoutError  # noqa: A004 -- redis-py's names
from redis.retry import Retry

from flows import warehouses
from flows.embedded import PrivateRedis
from flows.kafka_reader import DEFAULTS, FIXED, KafkaEnds, KafkaReader, Resume
from flows.log_reader import CONTROL, TOPIC, LogEnd, LogReader
from flows.operations import Operations
from flows.reader import AtEnd, IdleReader, Reader, ReaderFactory
from flows.settings import Settings
from flows.transitions_reader import LogTransitions, TopicTransitions, Transitions
from resolver.deliveries import Deliveries
from resolver.links import Linker
from resolver.redis_store import ONE_CALL, Durability, RedisStore, rules_in_force
from resolver.restructure import Restructuring
from schemas.errors import SettingsError
from schemas.identifiers import Keyring
from sinks.jsonl import JsonlDeadLetters, JsonlTransitions
from sinks.kafka import KafkaDeadLetters, KafkaTransitions
from sinks.promise import DeadLetterSink, TransitionSink
from sinks.segments import SegmentedLog
from sinks.topics import (
    TopicPlan,
    admin_client,
    check_control_topic,
    check_input_topic,
    check_output_topic,
    ensure_topics,
    topic_id,
)
from sinks.warehouse.promise import EventLog

log = logging.getLogger("nexus")

_ARCHIVE_BATCH = 5_000  # messages read at once: a load is put together from them


class Wiring:
    """The parts of one namespace, made when they are first asked for.

    Embedded and with servers the same classes do the work; only the ends differ: a private redis-server
    instead of one by URL, logs in the data folder instead of topics.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def keep_rules_in_force(self) -> None:
        """Work under the rules in force, whichever the settings have: to compare them with others."""
        rules = rules_in_force(self.client, self.settings.namespace)
        if rules is not None:
            self.settings = self.settings.model_copy(update={"rules": rules})

    # identity

    @cached_property
    def keyring(self) -> Keyring:
        """The namespace's keys."""
        return self.settings.keyring()

    @cached_property
    def linker(self) -> Linker:
        """Events to links."""
        return Linker(self.keyring, self.settings.rules, self.settings.recent_events)

    @cached_property
    def client(self) -> "redis.Redis":
        """The connection to Redis: the one that is named, or a private server in the data folder."""
        section = self.settings.redis
        options: dict[str, Any] = {
            "socket_timeout": 30,
            "socket_connect_timeout": 10,
            "health_check_interval": 30,
            "retry": Retry(ExponentialBackoff(cap=1, base=0.05), 3),
            "retry_on_error": [ConnectionError, TimeoutError],
            **section.options,
        }
        if section.url is not None:
            url = section.url.get_secret_value()
        else:
            url = self._open.enter_context(PrivateRedis(self.settings.data / "redis")).url
        try:
            client: redis.Redis = redis.Redis.from_url(url, **_typed(options))
            client.connection_pool.make_connection()  # not connected yet: it is here that options are refused
        except (TypeError, ValueError) as error:
            raise SettingsError(f"redis.options: {error}") from error
        self._open.callback(client.close)
        return client

    @cached_property
    def store(self) -> RedisStore:
        """The identity store."""
        section = self.settings.redis
        durability = Durability(section.relaxed_durability, section.ephemeral)
        settings = self.settings
        return RedisStore(
            self.client,
            settings.namespace,
            self.keyring,
            durability,
            settings.outbox_limit,
            settings.rules,
            int(os.environ.get("NEXUS_TEST_ONE_CALL") or ONE_CALL),  # the chaos suite wants it small
            settings.recent_events,
        )

    def settings_in_force(self) -> Settings:
        """The settings, with the rules that the store works under by now."""
        return self.settings.model_copy(update={"rules": self.store.rules})

    def restructuring(self, step: Callable[[str], None]) -> Restructuring:
        """What settles, in bounded calls, what one call could not."""
        return Restructuring(self.client, self.settings.namespace, self.store, step)

    # the ends

    def log(self, name: str) -> SegmentedLog:
        """A log of the namespace in the data folder: `input`, `control`, `transitions` or `dead-letters`."""
        return SegmentedLog(self.settings.data / self.settings.namespace / name)

    @property
    def admin(self) -> AdminClient:
        """A client that asks Kafka about topics."""
        return admin_client(_strings(self.settings.kafka))

    @cached_property
    def client_config(self) -> Mapping[str, Any]:
        """The librdkafka options of every client."""
        return {"client.id": f"nexus-{self.settings.namespace}", "logger": log, **self.settings.kafka}

    @cached_property
    def producer_config(self) -> Mapping[str, Any]:
        """The librdkafka options of producers."""
        return {**_strings(self.settings.kafka), **_strings(self.settings.producer)}

    @cached_property
    def consumer_config(self) -> Mapping[str, Any]:
        """The librdkafka options of the stream's consumers."""
        given = {**DEFAULTS, **self.settings.kafka, **self.settings.consumer}
        return {**given, **FIXED, "group.id": self.settings.group_id, "logger": log}

    def transitions(self) -> TransitionSink:
        """Where transitions go: the topic, or the transitions log."""
        if self.settings.source == "log":
            return JsonlTransitions(self.log("transitions"))
        sink = KafkaTransitions(self.producer_config, self.settings.output.transitions)
        self._open.callback(sink.close)
        return sink

    def published(self, reader: str = "notify") -> Transitions:
        """The transitions as they are published, to be read with a cursor of one's own: that of `reader`."""
        if self.settings.source == "log":
            return LogTransitions(self.log("transitions"))
        config = {**self.consumer_config, "group.id": f"{self.settings.group_id}-{reader}"}
        return TopicTransitions(config, self.settings.output.transitions, self.admin)

    @cached_property
    def deliveries(self) -> Deliveries:
        """The notices on their way."""
        return Deliveries(self.client, self.settings.namespace)

    def dead_letters(self) -> DeadLetterSink:
        """Where dead letters go: the topic, or the log of dead letters."""
        if self.settings.source == "log":
            return JsonlDeadLetters(self.log("dead-letters"))
        sink = KafkaDeadLetters(self.producer_config, self.settings.output.dead_letters)
        self._open.callback(sink.close)
        return sink

    # the input

    def formats(self) -> Mapping[str, str]:
        """The format of each topic's messages; in the input log every line says its own."""
        return self.settings.input.topics if self.settings.source == "kafka" else {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics of the input, as messages and offsets name them."""
        return (TOPIC,) if self.settings.source == "log" else tuple(self.settings.input.topics)

    @property
    def control(self) -> str:
        """The topic of the operator events, as messages and offsets name it."""
        return CONTROL if self.settings.source == "log" else self.settings.input.control

    @cached_property
    def operations(self) -> Operations:
        """Operator events to commands."""
        return Operations(self.control, self.keyring, self.settings.rules.identifier)

    def prepare_control(self) -> None:
        """Make the topic of the operator events, and refuse one that would lose any. Embedded: nothing."""
        if self.settings.source == "log":
            return
        admin, name = self.admin, self.settings.input.control
        ensure_topics(admin, [TopicPlan.control(name, self.settings.output.replication_factor)])
        check_control_topic(admin, name)

    def prepare_topics(self) -> None:
        """Make the topics that Nexus writes, and refuse those that it may not read or write. Embedded:
        nothing.
        """
        if self.settings.source == "log":
            return
        section, output = self.settings.input, self.settings.output
        self._refuse_wrong_options()
        self.prepare_control()
        admin = self.admin
        plans = [
            TopicPlan.output(name, output.partitions, output.replication_factor)
            for name in (output.transitions, output.dead_letters)
        ]
        ensure_topics(admin, plans)
        for topic in section.topics:
            check_input_topic(admin, topic, section.trust_producer_clocks)
        check_output_topic(admin, output.transitions)
        check_output_topic(admin, output.dead_letters, tuple(section.topics))

    def _refuse_wrong_options(self) -> None:
        """Make a client of each kind, unconnected: a wrong option is told before anything begins."""
        KafkaTransitions(self.producer_config, self.settings.output.transitions).close()
        try:
            Consumer(dict(self.consumer_config)).close()
        except KafkaException as error:
            raise SettingsError(f"kafka: {error.args[0].str()}; correct it in the settings") from error

    def readers(self, *, from_beginning: bool = False, until_end: bool = False) -> ReaderFactory:
        """What makes each worker's reader."""
        settings = self.settings
        if settings.source == "log":
            folder, record_log = settings.data / settings.namespace / "input", self.log("input")

            def of_log(worker_index: int) -> LogReader | IdleReader:
                if worker_index:
                    return IdleReader()
                return LogReader(
                    record_log,
                    folder,
                    self.store.resume,
                    control=self.log(CONTROL),
                    from_beginning=from_beginning,
                    batch=settings.batch,
                )

            return of_log
        admin = self.admin
        config = {**self.consumer_config, "enable.partition.eof": until_end}

        def of_kafka(worker_index: int) -> KafkaReader:
            return KafkaReader(
                {**config, "client.id": f"nexus-{settings.namespace}-{worker_index}"},
                tuple(settings.input.topics),
                self.store.resume,
                lambda topic: topic_id(admin, topic),
                control=settings.input.control,
                from_beginning=from_beginning,
                batch=settings.batch,
            )

        return of_kafka

    def operations_reader(self) -> LogReader:
        """What reads the control log alone, where there is no broker."""
        folder = self.settings.data / self.settings.namespace / TOPIC
        return LogReader(None, folder, self.store.resume, control=self.log(CONTROL))

    def at_end(self, offsets: Callable[[str], Mapping[int, int]] | None = None) -> AtEnd:
        """Whether the input and the operator events, as they are now, are worked off: by the stream, or by
        whoever is as far as `offsets` say.
        """
        offsets = offsets or self.store.offsets
        if self.settings.source == "log":
            return LogEnd({name: self.log(name) for name in (TOPIC, CONTROL)}, offsets)
        return self._ends.now((*self.settings.input.topics, self.settings.input.control), offsets)

    def operations_at_end(self) -> AtEnd:
        """Whether the operator events, as they are now, are worked off."""
        if self.settings.source == "log":
            return LogEnd({CONTROL: self.log(CONTROL)}, self.store.offsets)
        return self._ends.now((self.settings.input.control,))

    @cached_property
    def _ends(self) -> KafkaEnds:
        return KafkaEnds(self.consumer_config, self.store.offsets)

    # the event log

    def event_log(self, step: Callable[[str], None] = lambda _point: None) -> EventLog:
        """Where the event log is kept. `step` is told of the points at which its writing may be killed."""
        return warehouses.event_log(self.settings, self.keyring, step)

    def archive_reader(self, resume: Resume) -> Reader:
        """What reads input and operator events for the event log, in a group of its own."""
        settings = self.settings
        batch = min(settings.warehouse.batch, _ARCHIVE_BATCH)
        if settings.source == "log":
            folder = settings.data / settings.namespace / TOPIC
            return LogReader(
                self.log(TOPIC),
                folder,
                resume,
                control=self.log(CONTROL),
                batch=batch,
                lock="archive.lock",
            )
        admin = self.admin
        return KafkaReader(
            {
                **self.consumer_config,
                "group.id": f"{settings.group_id}-archive",
                "client.id": f"nexus-{settings.namespace}-archive",
                "enable.partition.eof": True,  # the end may lie behind offsets that hold no message
            },
            tuple(settings.input.topics),
            resume,
            lambda topic: topic_id(admin, topic),
            control=settings.input.control,
            batch=batch,
        )

    @property
    def places(self) -> Iterable[tuple[str, str]]:
        """Where everything is, for the screen."""
        shown, settings = self.settings.shown(), self.settings
        yield "namespace", settings.namespace
        yield "identity store", shown["redis"]["url"] or f"private redis-server in {settings.data / 'redis'}"
        if settings.source == "log":
            folder = settings.data / settings.namespace
            yield "input", f"{folder / TOPIC}"
            yield "operator events", f"{folder / CONTROL}"
            yield "transitions", f"{folder / 'transitions'}"
            yield "dead letters", f"{folder / 'dead-letters'}"
        else:
            yield "input", f"{', '.join(settings.input.topics)} at {settings.kafka['bootstrap.servers']}"
            yield "operator events", settings.input.control
            yield "transitions", settings.output.transitions
            yield "dead letters", settings.output.dead_letters
        if (event_log := warehouses.place(settings)) is not None:
            yield "event log", event_log


def _typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for redis-py: what the environment can only give as text, as redis-py reads it in a URL."""
    typed = dict(options)
    parsers: Mapping[str, Any] = URL_QUERY_ARGUMENT_PARSERS
    for name, parse in parsers.items():
        if isinstance(typed.get(name), str):
            try:
                typed[name] = parse(typed[name])
            except ValueError:
                raise SettingsError(f"redis.options.{name}: not a value that redis-py takes") from None
    return typed


def _strings(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as librdkafka writes them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()
    }
