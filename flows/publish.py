"""flows.publish: from the outbox to the transitions topic, in order, at least once, each with its own id.

    outbox ─▶ send ─▶ advance

One publisher works at a time: it holds a lock, and even without one the cursor moves by compare-and-set, so
that a publisher that was stopped and comes back sends again what is known already and moves nothing.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource

from flows.resolve import Nowhere
from flows.stopping import Steps, Stop
from resolver.redis_store import RedisStore
from resolver.store import Cursor, StoredProfile
from schemas.errors import TransientError
from schemas.identifiers import EntityType, Identifier, Keyring, entity_id, parse_entity_id
from schemas.transitions import (
    MAX_ENTRIES,
    MAX_SNAPSHOT_IDENTIFIERS,
    EntityRelabelled,
    Interval,
    NamedIdentifier,
    NamedMembership,
    NamedTrait,
    Snapshot,
    SnapshotEnded,
    SnapshotIdentifiers,
    SnapshotMemberships,
    SnapshotStarted,
    SnapshotStates,
    SnapshotTraits,
    Transition,
    make_snapshot_id,
)
from sinks.promise import TransitionSink

log = logging.getLogger("nexus.publish")

_LOCK_MS = 10_000


@dataclass(frozen=True, slots=True)
class Parcel:
    """Transitions that go out together. `expected` and `to` move the cursor; None for a snapshot's, which
    move none.
    """

    transitions: tuple[Transition, ...]
    expected: Cursor | None = None
    to: Cursor | None = None


def build(outbox: DynamicSource[Parcel], work: "Work", steps: Steps) -> Dataflow:
    """The flow as Bytewax runs it."""
    flow = Dataflow("nexus_publish")
    parcels = op.input("outbox", flow, outbox)
    sent = op.filter_map("send", parcels, steps("send", work.send))
    advanced = op.filter_map("advance", sent, steps("advance", work.advance))
    op.output("done", advanced, Nowhere())
    return flow


class OutboxReader:
    """Reads the outbox behind the cursor, and walks the whole answer when somebody asked for a snapshot.

    `ends_with`: says that no more transitions will be made; then the reader is worked off when the outbox
    is. None: it never is.
    """

    _LOOK_S = 0.5  # how often a request for a snapshot is looked for

    def __init__(
        self,
        store: RedisStore,
        ends_with: Callable[[], bool] | None = None,
        entries: int = 20,
        wait_ms: int = 100,
        page: int = 500,
    ) -> None:
        self._store, self._ends_with, self._entries, self._wait_ms = store, ends_with, entries, wait_ms
        self._page = page
        self._token = secrets.token_hex(16)
        self._locked_until = 0.0
        self._at: Cursor | None = None
        self._snapshot: Iterator[Parcel] = iter(())
        self._renamed: set[str] = set()  # ids that others became since the snapshot began
        self._next_look = 0.0

    def take(self) -> list[Parcel]:
        """The next parcel, if any; nothing while another publisher holds the lock."""
        if not self._holds_lock():
            time.sleep(self._wait_ms / 1000)
            return []
        parcel = next(self._snapshot, None)
        if parcel is None and (due := self._snapshot_due()):
            self._snapshot = self._walk(due)
            parcel = next(self._snapshot)
        if parcel is None:
            parcel = self._next(self._wait_ms)
        return [parcel] if parcel is not None else []

    def _holds_lock(self) -> bool:
        now = time.monotonic()
        if now < self._locked_until:
            return True
        if not self._store.hold_lock(self._token, _LOCK_MS):
            self._at = None  # whoever holds it moves the cursor
            return False
        self._locked_until = now + _LOCK_MS / 3000
        return True

    def _next(self, wait_ms: int) -> Parcel | None:
        expected = self._at if self._at is not None else self._store.cursor()
        entries = self._store.outbox(expected, self._entries, wait_ms)
        transitions = tuple(one for entry in entries for one in entry.transitions)
        if not transitions:
            self._at = expected
            return None
        self._at = Cursor(transitions[-1].generation, transitions[-1].number)
        return Parcel(transitions, expected, self._at)

    def lost(self) -> None:
        """The cursor is elsewhere than thought: read it again, and ask for the lock again."""
        self._at, self._locked_until = None, 0.0

    def is_worked_off(self) -> bool:
        """Whether nothing is left to publish and nothing will come."""
        if self._ends_with is None or not self._ends_with():
            return False
        return self._store.waiting() == 0 and not self._store.snapshot_due()

    def close(self) -> None:
        """Let the lock go."""
        with contextlib.suppress(TransientError):  # it ends by itself
            self._store.release_lock(self._token)

    # snapshots

    def _snapshot_due(self) -> int:
        if time.monotonic() < self._next_look:
            return 0
        self._next_look = time.monotonic() + self._LOOK_S
        return self._store.snapshot_due()

    def _walk(self, request: int) -> Iterator[Parcel]:
        """The whole answer, page by page; before each page, the transitions that it already contains."""
        start = self._store.sequence()
        self._renamed.clear()
        yield from self._up_to(start)
        # each try has a number of its own, or what one that was cut off has sent would count as part of it
        maker = SnapshotMaker(self._store.keyring, start, self._store.begin_snapshot())
        yield Parcel((maker.started(),))
        for as_of, found in self._pages(maker):
            yield from self._up_to(as_of)
            if as_of.generation != start.generation:
                return  # it is still asked for, and begins again under the new generation
            yield Parcel(tuple(found))
        yield Parcel((maker.ended(as_of),))
        self._store.snapshot_done(request)

    def _pages(self, maker: "SnapshotMaker") -> Iterator[tuple[Cursor, Iterable[Snapshot]]]:
        """All identifiers, then all profiles, which are met where an entity's id is. One that got another id
        meanwhile may have been met under neither, so it is looked at once more.
        """
        cursor = 0
        while True:
            cursor, as_of, identifiers = self._store.page(cursor, self._page)
            yield as_of, maker.page(as_of, identifiers)
            if cursor == 0:
                break
        while True:
            cursor, as_of, profiles = self._store.profiles_page(cursor, self._page)
            yield as_of, maker.profiles(profiles)
            if cursor == 0:
                break
        while self._renamed:
            name = self._renamed.pop()
            one = self._store.profile(parse_entity_id(name)[1], 0)
            is_it = one is not None and one.entity.entity_id == name
            yield one.as_of if one else self._store.sequence(), maker.profiles([one] if one and is_it else [])

    def _up_to(self, end: Cursor) -> Iterator[Parcel]:
        at = self._at if self._at is not None else self._store.cursor()
        while at < end:
            parcel = self._next(0)
            if parcel is None or parcel.to is None:
                return  # the generation is new and has no transitions yet
            self._renamed.update(
                one.entity_id for one in parcel.transitions if isinstance(one, EntityRelabelled)
            )
            yield parcel
            at = parcel.to


class SnapshotMaker:
    """Makes the messages of one snapshot, with their ids and their places in it."""

    def __init__(self, keyring: Keyring, start: Cursor, snapshot: int) -> None:
        self._keyring, self._start, self._snapshot = keyring, start, snapshot
        self._index = self._entities = self._identifiers = 0

    def _common(self, kind: str, as_of: Cursor) -> dict[str, Any]:
        index, self._index = self._index, self._index + 1
        generation, snapshot = as_of.generation, self._snapshot
        return {
            "transition_id": make_snapshot_id(self._keyring, kind, generation, snapshot, index),
            "namespace": self._keyring.namespace,
            "generation": generation,
            "number": as_of.number,
            "snapshot": snapshot,
            "index": index,
        }

    def started(self) -> SnapshotStarted:
        """The first message."""
        return SnapshotStarted(**self._common("snapshot_started", self._start))

    def page(self, as_of: Cursor, found: Sequence[tuple[Identifier, str]]) -> Iterator[SnapshotIdentifiers]:
        """One message for each entity of the page."""
        by_entity: dict[tuple[EntityType, str], list[NamedIdentifier]] = {}
        for one, entity in found:
            named = NamedIdentifier(type=one.identifier_type, value=one.identifier_value)
            by_entity.setdefault((one.entity_type, entity), []).append(named)
            self._entities += entity == entity_id(one.entity_type, self._keyring.key(one))
        self._identifiers += len(found)
        for (entity_type, entity), named_ones in by_entity.items():
            for first in range(0, len(named_ones), MAX_SNAPSHOT_IDENTIFIERS):
                yield SnapshotIdentifiers(
                    **self._common("snapshot_identifiers", as_of),
                    entity_type=entity_type,
                    entity_id=entity,
                    identifiers=tuple(named_ones[first : first + MAX_SNAPSHOT_IDENTIFIERS]),
                )

    def profiles(self, found: Iterable[StoredProfile]) -> Iterator[Snapshot]:
        """What is known of some entities, in several messages where there is much."""
        for one in found:
            entity: _Of = (one.as_of, one.entity.entity_type, one.entity.entity_id)
            for traits in _pieces(one.traits):
                yield SnapshotTraits(**self._of("snapshot_traits", entity), traits=traits)
            memberships = (
                NamedMembership(
                    group_id=each.group_id, role=each.role, started_at=each.started_at, ended_at=each.ended_at
                )
                for each in one.memberships
            )
            for piece in _pieces(memberships):
                yield SnapshotMemberships(**self._of("snapshot_memberships", entity), memberships=piece)
            for name, timeline in one.timelines.items():
                for intervals in _pieces(timeline):
                    common = self._of("snapshot_states", entity)
                    yield SnapshotStates(**common, state_name=name, intervals=intervals)

    def _of(self, kind: str, entity: "_Of") -> dict[str, Any]:
        as_of, entity_type, entity_id = entity
        return {**self._common(kind, as_of), "entity_type": entity_type, "entity_id": entity_id}

    def ended(self, as_of: Cursor) -> SnapshotEnded:
        """The last message: how much was said."""
        common = self._common("snapshot_ended", as_of)
        return SnapshotEnded(**common, entities=self._entities, identifiers=self._identifiers)


_Of: TypeAlias = tuple[Cursor, EntityType, str]
"""As of when, and of whom."""
_MAX_BYTES = 256 * 1024  # of the entries of one message: brokers take messages of a megabyte

_Entry = TypeVar("_Entry", NamedTrait, NamedMembership, Interval)


def _pieces(entries: Iterable[_Entry]) -> Iterator[tuple[_Entry, ...]]:
    """The entries, as many at a time as go into one message."""
    piece: list[_Entry] = []
    size = 0
    for entry in entries:
        length = len(entry.model_dump_json())
        if piece and (len(piece) == MAX_ENTRIES or size + length > _MAX_BYTES):
            yield tuple(piece)
            piece, size = [], 0
        piece.append(entry)
        size += length
    if piece:
        yield tuple(piece)


class Work:
    """What each step of the flow does."""

    def __init__(self, store: RedisStore, sink: TransitionSink, reader: OutboxReader, stop: Stop) -> None:
        self._store, self._sink, self._reader, self._stop = store, sink, reader, stop
        self.published = 0

    def send(self, parcel: Parcel) -> Parcel | None:
        """Returns when every transition is durable at the sink."""
        if not self._stop.persist("the transitions sink", lambda: self._sink.write(parcel.transitions)):
            return None
        self.published += len(parcel.transitions)
        return parcel

    def advance(self, parcel: Parcel) -> Parcel | None:
        """Moves the cursor behind what is out."""
        if parcel.expected is None or parcel.to is None:
            return parcel
        moved: list[bool] = []
        expected, to, count = parcel.expected, parcel.to, len(parcel.transitions)
        if not self._stop.persist(
            "the store", lambda: moved.append(self._store.advance(expected, to, count))
        ):
            return None
        if (
            not moved[-1] and self._store.cursor() != to
        ):  # a call that was retried finds the cursor where it put it
            log.info("another publisher is ahead; reading the cursor again")
            self._reader.lost()
        return parcel
