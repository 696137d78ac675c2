"""The certificate of an erasure: what was removed, and what remains where until when.

It names ids and counts, and no value, so that it can be kept. What Nexus holds of the subject it can say;
what others hold, such as a backup of Redis or a consumer's table, it cannot.
"""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.operator import Operator, Recorded, Subject
from flows.past import messages_of
from flows.wiring import Wiring
from resolver.neighbours import RedisNeighbours
from schemas.identifiers import Keyring, entity_id
from schemas.instants import format_instant
from schemas.operations import Operation
from sinks.topics import longest_kept_ms

_MOST_VALUES = 1_000  # to look for in dead letters
_MOST_SECONDS = 10.0
_LOOKED_AT = 1_000  # identifiers of which it is asked whether they are gone: the erasure is one atomic call
_PAST = "until its time travel and fail-safe end, some days (docs/warehouse.md)"
_BY_HAND = "until its segments are deleted by hand"


@dataclass(frozen=True, slots=True)
class Remains:
    """Something of the subject that is still there. `until`: in words; `count`: how many, None for not
    counted.
    """

    what: str
    where: str
    until: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an erasure did. `is_complete`: the store answers `erased` for what was to go."""

    operation_id: str
    entity_type: str
    ids: tuple[str, ...]
    identifiers: int
    links: int
    blocked: int
    who: str
    erased_at: str
    is_complete: bool
    remains: tuple[Remains, ...]


class Erasure:
    """One erasure of a subject, from what it had before to what remains after."""

    def __init__(self, parts: Wiring, subject: Subject, operation: Operation) -> None:
        self._parts, self._subject, self._operation = parts, subject, operation
        self._links = _links(parts, operation.erased)

    def certificate(self) -> Certificate:
        """The certificate, once the erasure is carried out."""
        operation, subject = self._operation, self._subject
        standings = map(self._parts.store.standing, operation.erased[:_LOOKED_AT])
        return Certificate(
            operation.operation_id,
            subject.entity_type,
            (subject.entity_id,) if subject.entity_id else _ids(subject),
            len(operation.erased),
            self._links,
            len(operation.blocked),
            operation.who,
            format_instant(time.time_ns() // 1_000_000),
            all(one.state == "erased" for one in standings),
            tuple(self._remains()),
        )

    def _remains(self) -> Iterator[Remains]:
        if self._parts.settings.source == "log":
            yield from self._in_logs()
        else:
            yield from self._in_topics()
        yield from self._in_operations()
        yield from self._in_event_log()
        yield from _in_redis(self._parts)

    def _in_logs(self) -> Iterator[Remains]:
        folder = self._parts.settings.data / self._parts.settings.namespace
        yield Remains("events, as they came in", str(folder / "input"), _BY_HAND)
        transitions = str(folder / "transitions")
        yield Remains("transitions that name it", transitions, _BY_HAND + self._waiting())
        yield self._in_dead_letters(str(folder / "dead-letters"), _BY_HAND)

    def _in_topics(self) -> Iterator[Remains]:
        settings = self._parts.settings
        for topic in settings.input.topics:
            yield Remains("events, as they came in", f"topic {topic}", self._kept(topic))
        output = settings.output
        yield Remains(
            "transitions that name it, before the tombstones",
            f"topic {output.transitions}",
            self._kept(output.transitions) + self._waiting(),
        )
        yield self._in_dead_letters(f"topic {output.dead_letters}", self._kept(output.dead_letters))

    def _waiting(self) -> str:
        waiting = self._parts.store.waiting()
        return f" ({waiting:,} transitions wait to be sent: `nexus run` does it)" if waiting else ""

    def _kept(self, topic: str) -> str:
        """Until when at the latest a topic keeps what is in it now."""
        longest = longest_kept_ms(self._parts.admin, topic)
        if longest is None:
            return "for ever, by the topic's settings: delete the records"
        return f"until {format_instant(time.time_ns() // 1_000_000 + longest)} at the latest"

    def _in_dead_letters(self, where: str, until: str) -> Remains:
        what = "dead letters that name it"
        values = [member.identifier_value for member in self._subject.members]
        if len(values) > _MOST_VALUES:
            return Remains(f"{what}, not looked for: too many identifiers", where, until)
        letters = messages_of(self._parts, "dead-letters", self._parts.settings.output.dead_letters)
        naming, is_all = _naming(values, (one.value or b"" for one in letters))
        return Remains(what if is_all else f"{what}, among the oldest: there are more", where, until, naming)

    def _in_event_log(self) -> Iterator[Remains]:
        settings, where = self._parts.settings, dict(self._parts.places).get("event log")
        if where is None:
            return
        yield Remains("rows of the event log", where, "until the archive has read the erasure")
        tables = settings.data / settings.namespace / "warehouse.duckdb"
        if settings.warehouse.is_cloud or tables.exists():
            at = where if settings.warehouse.is_cloud else str(tables)
            yield Remains("tables of reconcile", at, "until its next run")
        if settings.warehouse.is_cloud:
            yield Remains("rows that were taken out, in what the warehouse keeps of the past", where, _PAST)

    def _in_operations(self) -> Iterator[Remains]:
        """Operator events are kept for ever. Those that name the subject hold its values."""
        naming = [
            found.operation.operation_id
            for found in Operator(self._parts).recorded()
            if isinstance(found, Recorded) and _names(found.operation, self._operation, self._parts.keyring)
        ]
        if naming:
            where = f"{_control(self._parts)}: {', '.join(naming)}"
            yield Remains(
                "operator events that name it", where, "for ever, as all operator events", len(naming)
            )


def _control(parts: Wiring) -> str:
    if parts.settings.source == "log":
        return str(parts.settings.data / parts.settings.namespace / parts.control)
    return f"topic {parts.control}"


def _in_redis(parts: Wiring) -> Iterator[Remains]:
    where = "Redis"
    if parts.settings.redis.url is None:
        where = str(Path(parts.settings.data) / "redis")
    until = "until its next rewrite (BGREWRITEAOF does it at once)"
    yield Remains("earlier states, in the append-only file", where, until)


def _names(operation: Operation, erasure: Operation, keyring: Keyring) -> bool:
    return any(keyring.key(one) in set(erasure.erased) for one in operation.identifiers)


def _ids(subject: Subject) -> tuple[str, ...]:
    return tuple(entity_id(subject.entity_type, member.key) for member in subject.members)


def _links(parts: Wiring, keys: Sequence[bytes]) -> int:
    """How many links name one of these."""
    around = RedisNeighbours(parts.client, parts.settings.namespace, parts.store)
    return len({edge.keys for page in around.edges(keys) for edge in page if edge.kind == "event"})


def _naming(values: Collection[str], payloads: Iterable[bytes]) -> tuple[int, bool]:
    """How many payloads hold one of the values, in small letters or large, and whether there was time for
    all of them.
    """
    pattern = re.compile(b"|".join(re.escape(value.encode()) for value in values), re.IGNORECASE)
    until, naming = time.monotonic() + _MOST_SECONDS, 0
    for payload in payloads:
        naming += pattern.search(payload) is not None
        if time.monotonic() > until:
            return naming, False
    return naming, True
