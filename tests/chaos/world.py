"""One namespace on real servers: its input, its processes, and the questions it has to answer rightly."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from demo_producer import Record, records
from resolver.keys import Keys
from resolver.redis_store import RedisStore
from resolver.restructure import Restructuring
from schemas.identifiers import Identifier, Keyring, identifier
from schemas.mapping import Name
from schemas.operations import Kind, Operation, encode_operation
from tests.chaos import topics
from tests.chaos.processes import Process, environment, until
from tests.services import make_topic

# quick to notice a process that was killed, and batches so small that few events make many
QUICK = {
    "NEXUS_BATCH": "40",
    "NEXUS_CONSUMER__SESSION_TIMEOUT_MS": "2000",
    "NEXUS_CONSUMER__HEARTBEAT_INTERVAL_MS": "300",
    "NEXUS_KAFKA__RECONNECT_BACKOFF_MAX_MS": "500",
}

STREAMS = ("segment", "stripe")

FAULTS = "duplicates=5,late=5,shuffled=5,junk=3,malformed=6"


class World:
    """A namespace that nobody else uses. Processes that are left over are killed when it ends.

    `places` says where each produced record is, `said` how many operator events there are; `settings` are the
    environment of every process.
    """

    def __init__(
        self,
        folder: Path,
        kafka: str,
        redis_url: str,
        partitions: int = 3,
        formats: Sequence[str] = STREAMS,
        **settings: str,
    ) -> None:
        self.namespace = f"chaos-{uuid.uuid4().hex[:8]}"
        self.kafka, self.redis_url = kafka, redis_url
        self.group = f"nexus-{self.namespace}"
        self.inputs = {name: f"{self.namespace}-{name}" for name in formats}
        self.control, self.said = f"{self.namespace}-operations", 0
        self.transitions, self.dead_letters = f"{self.namespace}-transitions", f"{self.namespace}-dead"
        self.partitions = partitions
        self.places: dict[topics.Place, Record] = {}
        self.processes: list[Process] = []
        self.settings = {**QUICK, **self._addresses(), "NEXUS_DATA": str(folder / "data"), **settings}
        self._folder = folder
        for topic in self.inputs.values():
            make_topic(kafka, topic, partitions, {"max.message.bytes": str(topics.LARGEST)})

    def _addresses(self) -> dict[str, str]:
        return {
            "NEXUS_NAMESPACE": self.namespace,
            "NEXUS_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "NEXUS_REDIS__URL": self.redis_url,
            "NEXUS_INPUT__TOPICS": ",".join(f"{topic}={name}" for name, topic in self.inputs.items()),
            "NEXUS_INPUT__CONTROL": self.control,
            "NEXUS_OUTPUT__TRANSITIONS": self.transitions,
            "NEXUS_OUTPUT__DEAD_LETTERS": self.dead_letters,
            "NEXUS_OUTPUT__PARTITIONS": "3",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill9()

    # what happens

    def produce(self, stream: Iterable[Record]) -> None:
        """Send records into the input."""
        self.places |= topics.produce(self.kafka, self.inputs, stream)

    def say(self, kind: Kind, *names: str) -> None:
        """Let an operator decide something about persons, each written as `type=value`.

        An erasure takes the entity of the first as it is in the store now.
        """
        identifiers = tuple(person(one) for one in names)
        erased: tuple[bytes, ...] = ()
        blocked: tuple[bytes, ...] = ()
        if kind == "erase":
            entity = self.store.entity(self.keyring.key(identifiers[0]))
            assert entity is not None, f"nobody is {names[0]}"
            erased, identifiers = tuple(sorted(member.key for member in entity.members)), ()
            blocked = tuple(sorted(self.store.touched(erased)))
        self.said += 1
        operation = Operation(
            kind, "person", self.namespace, f"{self.said:032x}", "chaos", "", identifiers, erased, blocked
        )
        topics.append(self.kafka, self.control, [encode_operation(operation)])

    def start(self, *arguments: str, **settings: str) -> Process:
        """Start a command, with more settings if need be."""
        folder = self._folder / f"{self.namespace}-{len(self.processes)}"
        process = Process(folder, arguments, environment({**self.settings, **settings}))
        self.processes.append(process)
        return process

    def finish(self, *options: str, seconds: float = 100.0) -> Process:
        """Work off all that there is, in one process of two workers that ends by itself."""
        process = self.start("run", "--until-end", "--workers", "2", *options)
        process.ends_well(seconds)
        return process

    def told(self, *arguments: str) -> list[dict[str, str]]:
        """What a command answers, line by line."""
        process = self.start(*arguments)
        process.ends_well()
        return [json.loads(line) for line in process.stdout.splitlines()]

    # what can be seen

    @property
    def keyring(self) -> Keyring:
        """The namespace's keys."""
        return Keyring(self.namespace)

    @property
    def store(self) -> RedisStore:
        """The store, to be looked at; it must have been opened before."""
        return RedisStore(redis.Redis.from_url(self.redis_url), self.namespace, self.keyring)

    @property
    def exported(self) -> dict[Name, str]:
        """What `nexus export` says of persons and groups."""
        return {
            (entity_type, line["identifier_type"], line["identifier_value"]): line["entity_id"]
            for entity_type in ("person", "group")
            for line in self.told("export", entity_type)
        }

    @property
    def applied(self) -> int:
        """The messages that the store has passed."""
        return sum(sum(self.store.offsets(topic).values()) for topic in self.inputs.values())

    @property
    def carried_out(self) -> int:
        """The operator events that the store has passed."""
        return sum(self.store.offsets(self.control).values())

    @property
    def is_due(self) -> bool:
        """Whether anything is left to be restructured."""
        with redis.Redis.from_url(self.redis_url) as client:
            return Restructuring(client, self.namespace, self.store).is_due()

    def shorten_the_lock(self, ms: int = 1_000) -> None:
        """Let time pass: the lock of who restructures ends soon, unless it is renewed."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.pexpire(Keys(self.namespace).worker, ms)

    def wait_until_applied(self, count: int, seconds: float = 40.0) -> None:
        """Wait until the store has passed so many messages."""
        self._until(f"{count} messages applied", lambda: self.applied >= count, seconds)

    def wait_until_done(self, seconds: float = 40.0) -> None:
        """Wait until every produced message is applied and every transition published."""
        self.wait_until_applied(len(self.places), seconds)
        self._until("all carried out", lambda: self.carried_out >= self.said, seconds)
        self._until("all settled", lambda: not self.is_due, seconds)
        self._until("all published", lambda: self.store.waiting() == 0, seconds)

    def _until(self, what: str, is_so: Callable[[], bool], seconds: float) -> None:
        try:
            until(what, is_so, seconds)
        except AssertionError as late:
            said = (f"{each.name}, code {each.code}:\n{each.said}" for each in self.processes)
            raise AssertionError("\n".join([str(late), *said])) from None


def person(text: str) -> Identifier:
    """The identifier of a person that `type=value` names."""
    kind, _, value = text.partition("=")
    return identifier("person", kind, value)


def seen(number: int, *names: str) -> Record:
    """An event that names one person, by identifiers written as `type=value`."""
    named = [dict(zip(("type", "value"), one.split("=", 1), strict=True)) for one in names]
    event = {
        "event_id": f"e-{number}", "source": "app", "event_name": "seen",
        "occurred_at": "2026-01-05T10:00:00Z",
        "participants": [{"entity_type": "person", "identifiers": named}],
    }  # fmt: skip
    value = json.dumps(event).encode()
    return Record("event", None, (), value)  # type: ignore[arg-type]  # the demo's producer makes none


def customers(count: int, seed: int = 1, faults: str = FAULTS) -> list[Record]:
    """A stream of made-up customers with duplicates, late, shuffled, junk and malformed messages in it."""
    return list(records(seed=seed, count=count, faults=faults))


def halves(count: int, seed: int = 1) -> tuple[list[Record], list[Record]]:
    """One stream, cut in the middle."""
    stream = customers(count, seed)
    return stream[: count // 2], stream[count // 2 :]
