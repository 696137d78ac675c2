"""The identity store in Redis: the promise of `store`, kept by one Lua call per batch.

The scripts are in `lua/`, one file per part of an operation, joined here. `lua/batch.lua` tells the call,
and each part the layout of the records it makes.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import redis

from resolver.check import check_graph
from resolver.keys import Keys, parse_partition_field, partition_field
from resolver.packing import (
    pack_message,
    unpack_history,
    unpack_name,
    unpack_node,
    unpack_slot,
    unpack_transitions,
)
from resolver.store import (
    Applied,
    Batch,
    Change,
    Cursor,
    Entity,
    Fenced,
    Full,
    Member,
    OutboxEntry,
)
from schemas.errors import SettingsError, StartRefused, StoreUnavailable
from schemas.events import parse_position
from schemas.identifiers import EntityType, Identifier, Keyring, entity_id

log = logging.getLogger("nexus.store")

SCHEMA_VERSION = "1"

_APPLY_PARTS = (
    "hash",
    "order",
    "batch",
    "fence",
    "known",
    "records",
    "load",
    "synonyms",
    "lists",
    "unite",
    "history",
    "transitions",
    "merge",
    "resolve",
    "write",
)
_CHANGES = {3: "absorbed", 4: "renamed from", 5: "merged into", 6: "renamed to"}
_TYPES: dict[bytes, EntityType] = {b"p": "person", b"g": "group"}


def script(*parts: str) -> str:
    """The Lua of some parts, in this order."""
    folder = resources.files("resolver") / "lua"
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in parts)


@dataclass(frozen=True, slots=True)
class Durability:
    """How much a power cut may take.

    Default: nothing; the server must sync each write. `relaxed`: what was published may be taken back.
    `ephemeral`: a trial without an append-only file.
    """

    relaxed: bool = False
    ephemeral: bool = False


class RedisStore:
    """The store of one namespace in Redis 6.2 or later.

    See `Store` for what it promises. `outbox_limit` is the number of unpublished transitions above which
    `apply` answers Full. Not for use by several threads at once where a method says that it waits. Raises
    SettingsError when the server's settings would lose data, StartRefused when the namespace is not this
    one's.
    """

    def __init__(
        self,
        client: "redis.Redis",
        namespace: str,
        keyring: Keyring,
        durability: Durability = Durability(),
        outbox_limit: int = 1_000_000,
    ) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys = Keys(namespace)
        self.keyring = keyring
        self._outbox_limit = outbox_limit
        self._namespace = namespace
        register = client.register_script
        self._apply = register(script(*_APPLY_PARTS))
        self._resume, self._advance = register(script("resume")), register(script("advance"))
        self._entity, self._page = register(script("hash", "entity")), register(script("hash", "page"))
        self._lock, self._unlock = register(script("lock")), register(script("unlock"))
        with _Translated():
            refuse_unsafe_server(client, durability)
            self._open(script("open"))

    def _open(self, text: str) -> None:
        reply = self._redis.register_script(text)(
            [self._keys.meta], [SCHEMA_VERSION, self.keyring.fingerprint]
        )
        schema, secret = (value.decode() for value in reply[:2])
        if schema != SCHEMA_VERSION:
            raise StartRefused(
                f"the store of namespace {self._namespace} has schema version {schema}, this program needs "
                f"{SCHEMA_VERSION}: run the version that wrote it, or empty the namespace and "
                "start with --from-beginning"
            )
        if secret != self.keyring.fingerprint:
            raise StartRefused(
                f"the store of namespace {self._namespace} was built under another secret: set "
                "the `secret` it was built "
                "with, or choose another namespace"
            )

    # the stream

    def apply(self, batch: Batch) -> Applied | Fenced | Full:
        """Move state, outbox and offsets together. See `Store.apply`."""
        arguments: list[Any] = [len(batch.moves), self._outbox_limit]
        for move in batch.moves:
            expected = "" if move.expected is None else move.expected
            arguments += (partition_field(move.topic, move.partition), expected, move.next)
        arguments += [shape.handle for shape, _, _ in batch.evidence]
        arguments += [pack_message(shape.packed, first, last_ms) for shape, first, last_ms in batch.evidence]
        with _Translated():
            reply = self._apply(self._keys.apply, arguments)
        if reply[0] == b"applied":
            return Applied(reply[1])
        if reply[0] == b"full":
            return Full(reply[1])
        return _fenced(batch, reply[1:])

    def offsets(self, topic: str) -> Mapping[int, int]:
        """The next offset of each partition of a topic that was ever read."""
        with _Translated():
            found = self._redis.hgetall(self._keys.offsets)
        parsed = ((parse_partition_field(field.decode()), int(offset)) for field, offset in found.items())
        return {partition: offset for (name, partition), offset in parsed if name == topic}

    def progress(self) -> Mapping[str, str]:
        """The next offset of every `topic/partition`: when it stays the same, nothing was applied."""
        with _Translated():
            found = self._redis.hgetall(self._keys.offsets)
        return {field.decode(): offset.decode() for field, offset in found.items()}

    def resume(
        self,
        topic: str,
        topic_id: str | None,
        committed: Mapping[int, int | None],
        from_beginning: bool = False,
    ) -> Mapping[int, int | None]:
        """Where to go on reading the partitions in `committed` (their offsets in the consumer group, None
        for none).

        Raises a new generation when the store is behind the group. Raises StartRefused when the topic was
        recreated, or when the store is empty though the group has read on.
        """
        arguments: list[Any] = [topic, topic_id or "", "1" if from_beginning else ""]
        for partition, offset in committed.items():
            arguments += (partition_field(topic, partition), "" if offset is None else offset)
        keys = self._keys
        with _Translated():
            reply = self._resume([keys.meta, keys.offsets, keys.topics, keys.rewinds], arguments)
        if reply[0] == b"recreated":
            raise StartRefused(
                f"topic {topic} was deleted and created again since it was read: its offsets "
                "mean nothing now. Read the "
                "new one under another namespace, or empty this one and start with --from-beginning"
            )
        if reply[0] == b"emptied":
            raise StartRefused(
                f"the consumer group has read {topic} before, but the store of namespace "
                f"{self._namespace} is empty: "
                "restore Redis from its append-only file, or start with --from-beginning to "
                "resolve the topic anew"
            )
        if reply[2] == b"1":
            log.warning(
                "the store went back in time: it replays under the new generation %s. Once it has caught up, "
                "run `nexus publish --snapshot`, so that every consumer is told what it may have missed",
                reply[1].decode(),
            )
        return {p: int(value) if value else None for p, value in zip(committed, reply[3:], strict=True)}

    # the outbox

    def sequence(self) -> Cursor:
        """The sequence of the last transition made."""
        with _Translated():
            generation, number = self._redis.hmget(self._keys.meta, "generation", "number")
        return Cursor(int(generation), int(number))

    def waiting(self) -> int:
        """The number of transitions made and not yet published."""
        with _Translated():
            return int(self._redis.hget(self._keys.meta, "pending") or 0)

    def cursor(self) -> Cursor:
        """How far the outbox is published."""
        with _Translated():
            generation, number = self._redis.hmget(self._keys.cursor, "generation", "number")
        return Cursor(int(generation or 0), int(number or 0))

    def outbox(self, after: Cursor, limit: int, wait_ms: int) -> Sequence[OutboxEntry]:
        """The next batches of transitions, `limit` at most, waiting up to wait_ms for the first."""
        start = f"{after.generation}-{after.number}"
        with _Translated():
            reply = self._redis.xread({self._keys.outbox: start}, count=limit, block=wait_ms or None)
        streams = list(reply.values()) if isinstance(reply, dict) else [entries for _, entries in reply or ()]
        entries = streams[0] if streams else ()
        if entries and isinstance(entries[0], list):  # RESP3 nests the entries once more
            entries = entries[0]
        return [self._outbox_entry(entry_id.decode(), fields) for entry_id, fields in entries]

    def _outbox_entry(self, entry_id: str, fields: Mapping[bytes, bytes]) -> OutboxEntry:
        generation, number = (int(part) for part in entry_id.split("-"))
        made = unpack_transitions(fields[b"made"], self.keyring, self._namespace, generation, number)
        return OutboxEntry(entry_id, int(fields[b"ms"]), tuple(made))

    def advance(self, expected: Cursor, to: Cursor, published: int) -> bool:
        """Move the cursor by `published` transitions and drop what lies behind it; False when it is not
        where expected.
        """
        keys = self._keys
        with _Translated():
            reply = self._advance([keys.meta, keys.cursor, keys.outbox], [*expected, *to, published])
        return bool(reply)

    def hold_lock(self, token: str, ttl_ms: int) -> bool:
        """Take or renew the publisher's lock; False when somebody else holds it."""
        with _Translated():
            return bool(self._lock([self._keys.lock], [token, ttl_ms]))

    def release_lock(self, token: str) -> None:
        """Let the publisher's lock go, if this token holds it."""
        with _Translated():
            self._unlock([self._keys.lock], [token])

    # snapshots

    def request_snapshot(self) -> int:
        """Ask the publisher to send the whole answer anew; the number of the request."""
        with _Translated():
            return int(self._redis.hincrby(self._keys.snapshot, "requested", 1))

    def snapshot_due(self) -> int:
        """The last request that is not done, 0 for none."""
        with _Translated():
            requested, done = self._redis.hmget(self._keys.snapshot, "requested", "done")
        return int(requested or 0) if int(requested or 0) > int(done or 0) else 0

    def begin_snapshot(self) -> int:
        """The number of the next snapshot; none is given out twice."""
        with _Translated():
            return int(self._redis.hincrby(self._keys.snapshot, "begun", 1))

    def snapshot_done(self, request: int) -> None:
        """Every request up to this one is answered."""
        with _Translated():
            self._redis.hset(self._keys.snapshot, "done", request)

    # the readers

    def entity(self, key: bytes, limit: int = 10_000) -> Entity | None:
        """The entity that holds an identifier now, by the identifier's key."""
        keys = self._keys
        with _Translated():
            reply = self._entity([keys.nodes, keys.slots, keys.chunks], [key, limit])
        if not reply:
            return None
        slot = unpack_slot(reply[0])
        members = (_member(key, record) for key, record in zip(reply[1::2], reply[2::2], strict=True))
        name = entity_id(slot.entity_type, slot.senior)
        return Entity(slot.entity_type, name, slot.size, slot.position, tuple(members))

    def history(self, entity_type: EntityType, key: bytes) -> Sequence[Change]:
        """The last identity changes of the id made from an identifier key, oldest first."""
        with _Translated():
            record = self._redis.hget(self._keys.history, key)
        return [
            Change(
                _CHANGES[entry.what],
                entity_id(entity_type, entry.other),
                entry.moved,
                entry.generation,
                entry.number,
                *_evidence(entry.position),
            )
            for entry in unpack_history(record or b"")
        ]

    def page(self, cursor: int, count: int = 1000) -> tuple[int, Cursor, list[tuple[Identifier, str]]]:
        """Some identifiers with their entity ids, all as of one sequence; the next cursor is 0 after the
        last page.

        What is there throughout a walk is seen at least once (the promise of HSCAN).
        """
        keys = self._keys
        with _Translated():
            reply = self._page([keys.nodes, keys.slots, keys.meta], [cursor, count])
        found = []
        for record, home in zip(reply[4::3], reply[5::3], strict=True):
            kind, name = _TYPES[home[:1]], unpack_name(unpack_node(record).name)
            found.append((Identifier(kind, name.type, name.value), entity_id(kind, home[1:])))
        return int(reply[0]), Cursor(int(reply[1]), int(reply[2])), found

    def mapping(self, entity_type: EntityType) -> Iterator[tuple[Identifier, str]]:
        """Every identifier of a type of entity with its entity id, in no order; may name one twice."""
        cursor = 0
        while True:
            cursor, _, found = self.page(cursor)
            yield from (pair for pair in found if pair[0].entity_type == entity_type)
            if cursor == 0:
                return

    def check(self) -> None:
        """Assert every invariant of the namespace; raises StoreCorrupt. Reads all of it: seconds per
        million.
        """
        with _Translated():
            check_graph(self._redis, self._keys, self.keyring)


def _member(key: bytes, record: bytes) -> Member:
    name = unpack_name(unpack_node(record).name)
    return Member(name.type, name.value, key)


def _evidence(position: bytes) -> tuple[str, str, int]:
    ingested_at_ms, source, event_id = parse_position(position)
    return source, event_id, ingested_at_ms


def _fenced(batch: Batch, reply: Sequence[bytes]) -> Applied | Fenced:
    """What a fenced reply means: offsets exactly behind the batch say that an earlier try of the same call
    came through.
    """
    found = {
        parse_partition_field(field.decode()): int(value) if value else None
        for field, value in zip(reply[::2], reply[1::2], strict=True)
    }
    if all(found[move.topic, move.partition] == move.next for move in batch.moves):
        return Applied(0, again=True)
    return Fenced(found)


class _Translated:
    """Turns redis-py's errors into this project's, once, at the edge."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, redis.exceptions.AuthenticationError):
            raise SettingsError("Redis refuses the user or password: see redis.url") from error
        if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
            raise StoreUnavailable(f"Redis does not answer: {type(error).__name__}") from error
        if isinstance(error, redis.exceptions.ReadOnlyError | redis.exceptions.ClusterDownError):
            raise StoreUnavailable(f"Redis does not take writes: {type(error).__name__}") from error
        if isinstance(error, redis.exceptions.ResponseError) and str(error).startswith("NEXUS "):
            raise StartRefused(
                "Redis was emptied while it was written to: restore it from its append-only file, or start "
                "with --from-beginning to resolve the input anew"
            ) from error


def refuse_unsafe_server(client: "redis.Redis", durability: Durability) -> None:
    """Raise SettingsError, with the remedy, when the server would lose or evict what it acknowledged.

    Checked: append-only file, its sync policy, the eviction policy, and that it is no replica.
    """
    info: Any = client.info()
    if info.get("role") != "master":
        raise SettingsError("Redis is a replica, which takes no writes: point redis.url at the primary")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise SettingsError(
            f"Redis evicts keys (maxmemory-policy {policy}): run CONFIG SET maxmemory-policy noeviction"
        )
    if durability.ephemeral:
        return
    if not info.get("aof_enabled"):
        raise SettingsError("Redis has no append-only file: set `appendonly yes`, or --ephemeral for a trial")
    if durability.relaxed:
        return
    if _sync_policy(client) != "always":
        raise SettingsError(
            "Redis does not sync each write: set `appendfsync always`, or "
            "redis.relaxed_durability: true when a power cut "
            "may take back what was published"
        )


def _sync_policy(client: "redis.Redis") -> str | None:
    """The server's appendfsync; None where the server does not tell (managed services forbid CONFIG)."""
    try:
        settings: Any = client.config_get("appendfsync")
    except redis.exceptions.ResponseError:
        return None
    return str(settings.get("appendfsync"))
