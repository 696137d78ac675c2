"""The identity store in Redis: the promise of `store`, kept by one Lua call per batch.

The scripts are in `lua/`, one file per part of an operation, joined here. `lua/batch.lua` tells the call,
and each part the layout of the records it makes.
"""

import itertools
import json
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final, Literal, cast

import redis

from resolver.check import check_graph
from resolver.keys import Keys, parse_partition_field, partition_field
from resolver.packing import (
    LinkRecord,
    NodeRecord,
    QuarantineRecord,
    from_year_one,
    pack_command,
    pack_message,
    pack_rules,
    quarantine_reason,
    unpack_chunk,
    unpack_history,
    unpack_link,
    unpack_marks,
    unpack_name,
    unpack_node,
    unpack_quarantine,
    unpack_slot,
    unpack_transitions,
    unpack_type,
)
from resolver.recent import event_key, newest, texts_of
from resolver.rules_change import RulesChange, RulesRefused
from resolver.said import NO_FACTS, followed, rules_script, unpack_facts, unpack_role
from resolver.store import (
    Applied,
    Batch,
    Belonging,
    Change,
    Command,
    Cursor,
    Cut,
    Entity,
    Erased,
    Fenced,
    Full,
    Member,
    Move,
    OtherRules,
    OutboxEntry,
    Outcome,
    Quarantined,
    RecentEvent,
    RecentEvents,
    Retracted,
    Standing,
    StoredProfile,
    Suspension,
    Ticked,
    Ties,
)
from schemas.errors import SettingsError, StartRefused, StoreUnavailable, TooLarge
from schemas.events import EventKey, parse_position
from schemas.identifiers import EntityType, Identifier, Keyring, entity_id
from schemas.rules import Rules
from schemas.transitions import QuarantineReason, Transition, from_json

log = logging.getLogger("nexus.store")

SCHEMA_VERSION = "4"
_WATCHED_S = 3600
_TOLD, _RESTRUCTURED = b"*", b"!"  # fields of what is watched
ONE_CALL = 25_000
"""Identifiers and links that one call may restructure."""

_APPLY_PARTS = (
    "hash",
    "order",
    "batch",
    "rules",
    "carried",
    "fence",
    "known",
    "watched",
    "records",
    "load",
    "lists",
    "marks",
    "unite",
    "history",
    "count",
    "transitions",
    "synonyms",
    "leave",
    "outcome",
    "do",
    "merge",
    "resolve",
    "end",
    "do",
    "gather",
    "judge",
    "rebuild",
    "announce",
    "end",
    "do",
    "command",
    "end",
    "facts",
    "timelines",
    "profiles",
    "told",
    "members",
    "carry",
    "learn",
    "tick",
    "sum_up",
    "do",
    "amend",
    "end",
    "recent",
    "main",
    "write",
)
_CHANGES = {
    3: "absorbed",
    4: "renamed from",
    5: "merged into",
    6: "renamed to",
    7: "split into",
    8: "split from",
    9: "quarantined",
    10: "released",
}
_TYPES: dict[bytes, EntityType] = {b"p": "person", b"g": "group"}


def script(*parts: str) -> str:
    """The Lua of some parts, in this order; `do` and `end` make a block of those between them."""
    folder = resources.files("resolver") / "lua"
    texts = (
        part if part in ("do", "end") else (folder / f"{part}.lua").read_text(encoding="utf-8")
        for part in parts
    )
    return "\n".join(texts)


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
        rules: Rules | None = None,
        one_call: int = ONE_CALL,
        recent_events: int = 0,
    ) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys = Keys(namespace)
        self.keyring, self._in_force = keyring, self._ready(rules or Rules())
        self._outbox_limit, self._one_call, self._recent_events = outbox_limit, one_call, recent_events
        self._known, self._ruled_by = {self.rules.version}, cast("bytes | None", None)
        self._namespace = namespace
        register = client.register_script
        self._resume, self._advance = register(script("resume")), register(script("advance"))
        self._entity, self._page = (
            register(script("hash", "records", "places", "entity")),
            register(script("hash", "records", "places", "page")),
        )
        self._profile = register(script("hash", "records", "facts", "places", "persons", "profile"))
        self._events = register(script("hash", "records", "places", "events"))
        self._profiles_page = register(script("hash", "records", "facts", "places", "profiles_page"))
        self._lock, self._unlock = register(script("lock")), register(script("unlock"))
        self._enact = register(script("order", "enact"))
        self._watch = register(script("watch"))
        with translated():
            refuse_unsafe_server(client, durability)
            self._open(script("open"))

    def _ready(self, rules: Rules) -> tuple[Rules, bytes, Any]:
        """Rules, what the script needs of them at each call, and the script with what it needs once."""
        text = f"{rules_script(rules)}\n{script(*_APPLY_PARTS)}"
        return rules, pack_rules(rules), self._redis.register_script(text)

    def _open(self, text: str) -> None:
        reply = self._redis.register_script(text)(
            [self._keys.meta],
            [SCHEMA_VERSION, self.keyring.fingerprint, self.rules.version, self.rules.to_json()],
        )
        schema, secret, rules = ((value or b"").decode() for value in reply)
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
        if rules != self.rules.version:
            raise SettingsError(
                f"the rules of these settings are not those in force in namespace {self._namespace}: see "
                "what would change with `nexus rules diff`, and take them with `nexus rules apply`"
            )

    # the stream

    def apply(self, batch: Batch) -> Outcome:
        """Move state, outbox and offsets together. See `Store.apply`."""
        reply = self._call(batch, "")
        if reply[0] == b"large":
            reply = self._call(batch, "later")
        match reply[0]:
            case b"applied":
                return Applied(reply[1])
            case b"full":
                return Full(reply[1])
            case b"retracted":
                return Retracted()
            case b"erased":
                return Erased(dict(zip(reply[1::2], reply[2::2], strict=True)))
            case b"rules":
                return OtherRules(reply[1].decode())
        return _fenced(batch, reply[1:])

    def clock(self) -> tuple[int, int | None]:
        """The instant by the store's clock, and that of the first timer. See `Store.clock`."""
        with translated():
            seconds, microseconds = self._redis.time()
            first = self._redis.zrange(self._keys.timers, 0, 0, withscores=True)
        return seconds * 1000 + microseconds // 1000, int(first[0][1]) if first else None

    def tick(self, until_ms: int | None = None) -> Ticked | Full:
        """Let time go by: move `now`, and tell what became true. See `Store.tick`."""
        rules, packed_rules, apply = self._in_force
        if not any(state.after or state.within for state in rules.states):
            return Ticked(0, 0, False)
        arguments = [0, self._outbox_limit, rules.version, packed_rules, "tick", b"", self._one_call]
        with translated():
            reply = apply(self._keys.apply, [*arguments, "" if until_ms is None else until_ms, 0, 0, ""])
        match reply[0]:
            case b"full":
                return Full(reply[1])
            case b"rules":
                return Ticked(0, 0, False)
        return Ticked(reply[1], reply[2], reply[3] == b"1")

    def sum_up(self, messages: Sequence[bytes]) -> None:
        """Sum up facts that a restructuring in bounded calls left, as `lua/sum_up.lua` reads it.

        Raises StoreUnavailable while the outbox is full, SettingsError when other rules are in force than
        can be taken over.
        """
        with translated():
            while (reply := self._with_messages("sum", messages))[0] == b"rules":
                if not self.take_rules():
                    raise SettingsError(
                        "other rules are in force than those of these settings: set them, and start anew"
                    )
        if reply[0] == b"full":
            raise StoreUnavailable("the outbox is full: profiles are summed up once it is published")

    def _with_messages(self, mode: str, messages: Sequence[bytes], retracted: int | str = "") -> Any:
        rules, packed_rules, apply = self._in_force
        limit = 2 * self._outbox_limit  # what a restructuring tells has no batch that could wait
        arguments = [0, limit, rules.version, packed_rules, mode, b"", self._one_call, len(messages), 0, 0]
        return apply(self._keys.apply, [*arguments, retracted, *messages])

    def watch(self, handles: Sequence[bytes]) -> Cut:
        """Note from now on what comes to these links, and say what is true of the store at that instant.

        For an hour at most, or until `unwatch`.
        """
        keys = self._keys
        with translated():
            found = self._watch([keys.watched, keys.meta, keys.offsets], [_WATCHED_S, *handles])
        generation, number, now, version, *offsets = found
        fields = zip(offsets[::2], offsets[1::2], strict=True)
        return Cut(
            {parse_partition_field(field.decode()): int(offset) for field, offset in fields},
            Cursor(int(generation), int(number)),
            int(now or 0),
            version.decode(),
        )

    def erasures(self) -> Mapping[bytes, bytes]:
        """Every erased identifier key, with the log position of its erasure."""
        found: dict[bytes, bytes] = {}
        with translated():
            for key, record in self._redis.hscan_iter(self._keys.marks, count=1000):
                found.update((key, mark.position) for mark in unpack_marks(record) if mark.what == "e")
        return found

    def retracted(self) -> frozenset[bytes]:
        """The handles of all retracted events. See `Store.retracted`."""
        with translated():
            return frozenset(self._redis.sscan_iter(self._keys.retracted, count=1000))

    def is_ruled(self) -> bool:
        """Whether the rules of this store are those in force."""
        with translated():
            version = self._redis.hget(self._keys.meta, "rules")
        return (version or b"").decode() == self.rules.version

    def watch_told(self) -> Cut:
        """Note from now on of whom anything is told, see `told_since`; what is true at this instant."""
        return self.watch([_TOLD])

    def told_since(self) -> Collection[bytes] | None:
        """The keys of all ids of which anything was told since `watch_told`, or has still to be told since a
        restructuring is not through; None where that is not known: it was too long ago, or a restructuring
        became visible.
        """
        untold = self._unsummed()  # first: of who is summed up meanwhile it is noted then
        with translated():
            noted = self._redis.hkeys(self._keys.watched)
        if _TOLD not in noted or _RESTRUCTURED in noted:
            return None
        return untold.union(field[1:] for field in noted if len(field) == 17 and field[:1] == b"e")

    def _unsummed(self) -> set[bytes]:
        """The keys of the ids of entities that a restructuring has still to sum up."""
        with translated():
            slots = self._redis.hkeys(self._keys.unsummed)
            records = self._redis.hmget(self._keys.slots, slots) if slots else ()
        return {unpack_slot(record).senior for record in records if record is not None} - {b""}

    def unwatch(self) -> None:
        """Note nothing any more."""
        with translated():
            self._redis.unlink(self._keys.watched)

    def amend(self, messages: Sequence[bytes], retracted: int) -> bool:
        """Set right what the log says otherwise, as `lua/amend.lua` reads it.

        False, and nothing done, while a restructuring is under way, or when other rules are in force. Raises
        StoreUnavailable where more than so many events are retracted by now.
        """
        with translated():
            reply = self._with_messages("amend", messages, retracted)
        if reply[0] == b"retracted":
            raise StoreUnavailable("an event was retracted meanwhile: the next run repairs without it")
        return bool(reply[0] == b"applied")

    def preview(self, command: Command) -> Sequence[Transition]:
        """What an operator event would bring about now; changes nothing. Raises TooLarge."""
        reply = self._call(Batch((), (), command), "dry")
        if reply[0] == b"large":
            raise TooLarge(tuple(reply[1:]))
        made = reply[1] if reply[0] == b"preview" else b""
        sequence = self.sequence()
        first = sequence.number + 1
        return tuple(unpack_transitions(made, self.keyring, self._namespace, sequence.generation, first))

    def _call(self, batch: Batch, mode: str) -> Any:
        rules, packed_rules, apply = self._in_force  # at once: another thread may take other rules meanwhile
        if batch.rules not in ("", rules.version):
            return [b"rules", rules.version.encode()]
        operation = b"" if batch.command is None else pack_command(batch.command, self.keyring)
        arguments: list[Any] = [len(batch.moves), self._outbox_limit, rules.version, packed_rules]
        arguments += [mode, operation, self._one_call, len(batch.facts), len(batch.recent)]
        arguments += (self._recent_events, "" if batch.retracted is None else batch.retracted)
        for move in batch.moves:
            expected = "" if move.expected is None else move.expected
            arguments += (partition_field(move.topic, move.partition), expected, move.next)
        arguments += [shape.handle for shape, _, _ in batch.evidence]
        arguments += [pack_message(shape.packed, first, last_ms) for shape, first, last_ms in batch.evidence]
        arguments += batch.facts
        arguments += batch.recent
        with translated():
            while (reply := apply(self._keys.apply, arguments))[0] == b"busy":
                time.sleep(0.002)
        return reply

    # the rules

    @property
    def rules(self) -> Rules:
        """The rules that this store works under: those in force when it was opened, or taken over since."""
        return self._in_force[0]

    @property
    def apply_sha(self) -> str:
        """The digest by which Redis knows the script of `apply` under these rules."""
        return str(self._in_force[2].sha)

    @property
    def ruled_by(self) -> bytes | None:
        """The log position of the operator event that brought these rules, as of the last `take_rules`."""
        return self._ruled_by

    def enact(self, move: Move, rules: Rules, position: bytes) -> Outcome:
        """Bring other rules into force, for an operator event at this log position, and move its offset.

        What the change concerns is then to be settled (`Restructuring`). Raises RulesRefused for rules that
        normalise otherwise.
        """
        former = self.rules
        change = RulesChange((former,), rules)
        if change.refused:
            raise RulesRefused(change.refused)
        begins, ends = change.untold, RulesChange((rules,), former).untold
        expected = "" if move.expected is None else move.expected
        arguments: list[Any] = [former.version, rules.version, rules.to_json(), position.hex()]
        arguments += [partition_field(move.topic, move.partition), expected, move.next]
        keys = self._keys
        with translated():
            reply = self._enact(
                [keys.meta, keys.offsets, keys.pending], [*arguments, len(begins), *begins, *ends]
            )
        if reply[0] == b"fenced":
            return _fenced(Batch((move,), ()), reply[1:])
        if reply[0] == b"rules":
            return OtherRules(reply[1].decode())
        self.take_rules()
        return Applied(0)

    def take_rules(self) -> bool:
        """Take over the rules in force, if an operator event brought them; whether they are taken.

        Rules that were in force before count as well: a Redis that went back in time goes back to them.
        """
        with translated():
            version, text, brought_by = self._redis.hmget(self._keys.meta, "rules", "rules_json", "rules_by")
        named = (version or b"").decode()
        self._ruled_by = bytes.fromhex((brought_by or b"").decode()) or None
        if named == self.rules.version:
            return True
        if brought_by is None and named not in self._known:
            return False
        rules = Rules.from_json(text.decode())
        if RulesChange((self.rules,), rules).refused:
            return False
        self._known.add(named)
        self._in_force = self._ready(rules)
        log.info("other rules are in force, version %s: going on under them", named)
        return True

    def rescanned(self) -> int:
        """How many entities the last change of the rules has changed so far."""
        with translated():
            return int(self._redis.hget(self._keys.meta, "rescanned") or 0)

    def untold(self) -> Iterator[Mapping[str, str]]:
        """What only the log can tell since rules changed: what was blocked and no longer is."""
        with translated():
            yield from map(json.loads, self.untold_fields())

    def offsets(self, topic: str) -> Mapping[int, int]:
        """The next offset of each partition of a topic that was ever read."""
        with translated():
            found = self._redis.hgetall(self._keys.offsets)
        parsed = ((parse_partition_field(field.decode()), int(offset)) for field, offset in found.items())
        return {partition: offset for (name, partition), offset in parsed if name == topic}

    def progress(self) -> Mapping[str, str]:
        """The next offset of every `topic/partition`: when it stays the same, nothing was applied."""
        with translated():
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
        with translated():
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
                "restore Redis from its append-only file, fill it by `nexus rebuild` from the event log, or "
                "start with --from-beginning to resolve the topic anew"
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
        with translated():
            generation, number = self._redis.hmget(self._keys.meta, "generation", "number")
        return Cursor(int(generation), int(number))

    def waiting(self) -> int:
        """The number of transitions made and not yet published."""
        with translated():
            return int(self._redis.hget(self._keys.meta, "pending") or 0)

    def cursor(self) -> Cursor:
        """How far the outbox is published."""
        with translated():
            generation, number = self._redis.hmget(self._keys.cursor, "generation", "number")
        return Cursor(int(generation or 0), int(number or 0))

    def outbox(self, after: Cursor, limit: int, wait_ms: int) -> Sequence[OutboxEntry]:
        """The next batches of transitions, `limit` at most, waiting up to wait_ms for the first."""
        start = f"{after.generation}-{after.number}"
        with translated():
            reply = self._redis.xread({self._keys.outbox: start}, count=limit, block=wait_ms or None)
        streams = list(reply.values()) if isinstance(reply, dict) else [entries for _, entries in reply or ()]
        entries = streams[0] if streams else ()
        if entries and isinstance(entries[0], list):  # RESP3 nests the entries once more
            entries = entries[0]
        found = [self.unpacked(entry_id.decode(), fields) for entry_id, fields in entries]
        return self._with_redacted(found, after, is_all=len(found) < limit)[:limit]

    def redacted(self) -> list[OutboxEntry]:
        """The entries that wait redacted (`resolver.redact`), in no order."""
        with translated():
            kept = self._redis.hgetall(self._keys.redacted)
        return [_redacted_entry(entry_id.decode(), value) for entry_id, value in kept.items()]

    def _with_redacted(self, found: list[OutboxEntry], after: Cursor, is_all: bool) -> list[OutboxEntry]:
        """Entries with those in their places that are redacted."""
        redacted = self.redacted()
        if not redacted:
            return found
        last = None if is_all else _sequence(found[-1])
        due = [one for one in redacted if _sequence(one) > after and (last is None or _sequence(one) < last)]
        return sorted([*found, *due], key=_sequence)

    def unpacked(self, entry_id: str, fields: Mapping[bytes, bytes]) -> OutboxEntry:
        """An entry of the outbox, from its fields."""
        generation, number = (int(part) for part in entry_id.split("-"))
        made = unpack_transitions(fields[b"made"], self.keyring, self._namespace, generation, number)
        return OutboxEntry(entry_id, int(fields[b"ms"]), tuple(made))

    def advance(self, expected: Cursor, to: Cursor, published: int) -> bool:
        """Move the cursor by `published` transitions and drop what lies behind it; False when it is not
        where expected.
        """
        keys = self._keys
        with translated():
            reply = self._advance(
                [keys.meta, keys.cursor, keys.outbox, keys.redacted], [*expected, *to, published]
            )
        return bool(reply)

    def hold_lock(self, token: str, ttl_ms: int) -> bool:
        """Take or renew the publisher's lock; False when somebody else holds it."""
        with translated():
            return bool(self._lock([self._keys.lock], [token, ttl_ms]))

    def release_lock(self, token: str) -> None:
        """Let the publisher's lock go, if this token holds it."""
        with translated():
            self._unlock([self._keys.lock], [token])

    # snapshots

    def request_snapshot(self) -> int:
        """Ask the publisher to send the whole answer anew; the number of the request."""
        with translated():
            return int(self._redis.hincrby(self._keys.snapshot, "requested", 1))

    def snapshot_due(self) -> int:
        """The last request that is not done, 0 for none."""
        with translated():
            requested, done = self._redis.hmget(self._keys.snapshot, "requested", "done")
        return int(requested or 0) if int(requested or 0) > int(done or 0) else 0

    def begin_snapshot(self) -> int:
        """The number of the next snapshot; none is given out twice."""
        with translated():
            return int(self._redis.hincrby(self._keys.snapshot, "begun", 1))

    def snapshot_done(self, request: int) -> None:
        """Every request up to this one is answered."""
        with translated():
            self._redis.hset(self._keys.snapshot, "done", request)

    # the readers

    def entity(self, key: bytes, limit: int = 10_000) -> Entity | None:
        """The entity that holds an identifier now, by the identifier's key."""
        keys = self._keys
        with translated():
            reply = self._entity(keys.read[:5], [key, limit])
        return _entity(reply[0], reply[1:]) if reply else None

    def profile(self, key: bytes, limit: int = 1_000) -> StoredProfile | None:
        """The entity that holds an identifier now with what is known of it. See `Store.profile`."""
        return self.profiles([key], limit)[0]

    def profiles(self, keys: Collection[bytes], limit: int = 1_000) -> list[StoredProfile | None]:
        """The same of several identifiers, asked for in one go; each is as of its own instant."""
        return [
            self._described(reply) if reply else None
            for reply in self._of_each(self._profile, [*self._keys.read, self._keys.timelines], keys, limit)
        ]

    def homes(self, keys: Collection[bytes]) -> list[str | None]:
        """The ids of the entities that hold some identifiers; None for one that is in none."""
        replies = self._of_each(self._entity, self._keys.read[:5], keys, 1)
        return [_entity(reply[0], ()).entity_id if reply else None for reply in replies]

    def _of_each(self, reader: Any, names: Sequence[str], keys: Collection[bytes], limit: int) -> list[Any]:
        with translated(), self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                reader(names, [key, limit], client=pipeline)
            return list(pipeline.execute())

    def _described(self, reply: Sequence[Any]) -> StoredProfile:
        meta, steps, slot, record, members, persons, is_complete = reply
        found = self._stored(meta, steps, _entity(slot, members), record, is_complete=bool(is_complete))
        return replace(found, memberships=found.memberships + _persons(found.entity.entity_id, persons))

    def recent_events(self, key: bytes, limit: int = 1_000) -> RecentEvents:
        """The last events of the entity that holds an identifier now. See `Store.recent_events`."""
        keys = self._keys
        with translated():
            reply = self._events([*keys.read, keys.links, keys.recent], [key, limit])
        is_whole, *found = reply or (1,)
        pairs = zip(found[::2], found[1::2], strict=True)
        records = [record for record, shared in pairs if self._is_anchored(shared)]
        kept = self._recent_events
        events = tuple(one for one in newest(records, kept) if not self._is_retracted(one))
        return RecentEvents(events, kept, bool(is_whole))

    def remembering(self, event: EventKey) -> frozenset[bytes]:
        """The keys of the identifiers whose links remember an event. Looks through all that is remembered."""
        text, keys, handles = f"{event.source}\0{event.event_id}".encode(), self._keys, set()
        with translated():
            for field, record in self._redis.hscan_iter(keys.recent, count=1000):
                if text in record and text in map(event_key, texts_of(record)):
                    handles.add(field[:16])
            found = sorted(handles)
            records = self._redis.hmget(keys.links, found) if found else ()
        return frozenset(key for link in _links(found, records) for key in link.keys)

    def _is_retracted(self, event: RecentEvent) -> bool:
        handle = self.keyring.event_handle(event.source, event.event_id)
        with translated():
            return bool(self._redis.sismember(self._keys.retracted, handle))

    def _is_anchored(self, shared: Sequence[bytes]) -> bool:
        """Whether the entity that was asked for holds the anchor of a link, from `lua/events.lua`."""
        in_turn = zip(shared[::3], shared[1::3], shared[2::3], strict=True)
        ranks = [(self._rank(key, record), key, bool(is_own)) for key, record, is_own in in_turn]
        return not ranks or min(ranks)[2]

    def _rank(self, key: bytes, record: bytes) -> int:
        return self.rules.priority(unpack_name(unpack_node(key, record).name).type)

    def profiles_page(self, cursor: int, count: int = 500) -> tuple[int, Cursor, list[StoredProfile]]:
        """What is known of some entities. See `Store.profiles_page`."""
        with translated():
            reply = self._profiles_page([*self._keys.read[:7], self._keys.timelines], [cursor, count])
        meta, steps, records = reply[1], reply[2], zip(reply[3::2], reply[4::2], strict=True)
        found = [self._stored(meta, steps, _entity(slot, ()), record) for slot, record in records]
        return int(reply[0]), Cursor(int(meta[0]), int(meta[1])), found

    def _stored(
        self, meta: Sequence[Any], steps: bytes, entity: Entity, record: bytes, *, is_complete: bool = True
    ) -> StoredProfile:
        """A profile, from generation, number and `now`, what was told of groups, and the record, if any."""
        generation, number, now = meta
        now_ms, facts = int(now or 0), unpack_facts(record) if record else NO_FACTS
        memberships = (
            Belonging(entity.entity_id, group_id, role, *one)
            for (group_id, role), one in followed(facts.known, steps).items()
        )
        return StoredProfile(
            entity,
            facts.profile(self.rules, entity.entity_type, now_ms),
            tuple(sorted(memberships, key=_by_group)),
            is_complete,
            Cursor(int(generation), int(number)),
            now_ms,
        )

    def standing(self, key: bytes) -> Standing:
        """How an identifier stands, in the graph or out of it."""
        keys = self._keys
        with translated():
            record, marks = self._redis.hget(keys.nodes, key), self._redis.hget(keys.marks, key)
            crossed = self._redis.hget(keys.quarantine, key)
        if record is None:
            is_erased = any(mark.what == "e" for mark in unpack_marks(marks or b""))
            return Standing(None, "erased" if is_erased else "unnamed", None, ())
        node = unpack_node(key, record)
        if node.is_blocked:
            return Standing(
                node.identifier, "blocked", QuarantineReason(kind="blocked"), self._partners(key, node)
            )
        if not node.is_quarantined:
            return Standing(node.identifier, "in", None, ())
        reason = self._reason(unpack_quarantine(crossed or b"\0", node.identifier.identifier_type))
        return Standing(node.identifier, "quarantined", reason, self._partners(key, node))

    def _reason(self, crossed: Sequence[QuarantineRecord]) -> QuarantineReason:
        """The limit that was crossed first, in log order."""
        order = self.rules.limits
        limit, position = min(
            ((one.limit, one.oldest[one.limit.most][1]) for one in crossed),
            key=lambda one: (one[1], order.index(one[0]) if one[0] in order else len(order)),
        )
        return quarantine_reason(limit.partner_type, limit.most, position)

    def _partners(self, key: bytes, node: NodeRecord, most: int = 100) -> tuple[bytes, ...]:
        """The partners of an identifier, oldest first, of its last thousand links."""
        with translated():
            handles = list(itertools.islice(self._handles(node), 1000))
            records = self._redis.hmget(self._keys.links, handles) if handles else ()
        ages: dict[bytes, bytes] = {}
        for link in _links(handles, records):
            for other in link.keys:
                if other != key:
                    ages[other] = min(link.first, ages.get(other, link.first))
        return tuple(sorted(ages, key=lambda other: (ages[other], other))[:most])

    def quarantined(self) -> Iterator[Quarantined]:
        """What is out of the graph, in no order: quarantined, or blocked by an operator."""
        keys = self._keys
        with translated():
            for key, crossed in self._redis.hscan_iter(keys.quarantine, count=1000):
                record = self._redis.hget(keys.nodes, key)
                if record is not None and not (node := unpack_node(key, record)).is_blocked:
                    one = node.identifier
                    reason = self._reason(unpack_quarantine(crossed, one.identifier_type))
                    yield Quarantined(key, one, "quarantined", reason)
            for key, _ in self._redis.hscan_iter(keys.marks, count=1000):
                record = self._redis.hget(keys.nodes, key)
                if record is not None and (node := unpack_node(key, record)).is_blocked:
                    yield Quarantined(key, node.identifier, "blocked", QuarantineReason(kind="blocked"))

    def suspended(self) -> Iterator[Suspension]:
        """The links that are suspended, in no order."""
        keys = self._keys
        with translated():
            for field, reason in self._redis.hscan_iter(keys.suspended, count=1000):
                unique = unpack_type(reason[1:]) if reason[:1] == b"u" else None
                apart = None if unique else (reason[1:17], reason[17:33])
                if len(field) == 16:
                    link = unpack_link(field, self._redis.hget(keys.links, field))
                    yield Suspension(link.keys, "event", link.first, unique, apart)
                else:
                    pair = (field[1:17], field[17:33])
                    kind: Literal["together", "synonym"] = "together" if field[:1] == b"t" else "synonym"
                    ties = dict(self.ties(pair[:1])[pair[0]].together) if kind == "together" else {}
                    yield Suspension(pair, kind, ties.get(pair[1], b""), unique, apart)

    def ties(self, of: Iterable[bytes]) -> Mapping[bytes, Ties]:
        """What ties identifiers to others, or keeps them apart, besides links."""
        wanted, keys = list(of), self._keys
        if not wanted:
            return {}
        with translated():
            marks = self._redis.hmget(keys.marks, wanted)
            synonyms = self._redis.hmget(keys.synonyms, wanted)
        found = {}
        for key, said, others in zip(wanted, marks, synonyms, strict=True):
            pairs: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
            for mark in unpack_marks(said or b""):
                pairs[mark.what].append((mark.other, mark.position))
            same = tuple(others[at : at + 16] for at in range(0, len(others or b""), 16))
            found[key] = Ties(tuple(pairs["t"]), tuple(pairs["a"]), same)
        return found

    def touched(self, members: Iterable[bytes]) -> tuple[bytes, ...]:
        """The identifiers that are out of the graph and share a link with any of these."""
        handles: dict[bytes, None] = {}
        keys, wanted = self._keys, list(members)
        with translated():
            records = self._redis.hmget(keys.nodes, wanted) if wanted else ()
            for key, record in zip(wanted, records, strict=True):
                handles |= dict.fromkeys(self._handles(unpack_node(key, record)) if record else ())
            links = self._redis.hmget(keys.links, list(handles)) if handles else ()
            others = {other for link in _links(handles, links) for other in link.keys}
            asked = sorted(others - set(wanted))
            nodes = self._redis.hmget(keys.nodes, asked) if asked else ()
        return tuple(key for key, record in zip(asked, nodes, strict=True) if _is_out(key, record))

    def _handles(self, node: NodeRecord) -> Iterator[bytes]:
        return self.listed(node.links, node.older)

    def listed(self, recent: Iterable[bytes], older: int) -> Iterator[bytes]:
        """The entries of a list: those of its record, and those in its chunks (0: none)."""
        yield from recent
        waiting = [older]
        while waiting:
            record = self._redis.hget(self._keys.chunks, waiting.pop() or "0")
            if record is not None:
                chunk = unpack_chunk(record)
                yield from chunk.entries
                waiting += (chunk.left, chunk.right)

    def history(self, entity_type: EntityType, key: bytes) -> Sequence[Change]:
        """The last identity changes of the id made from an identifier key, oldest first."""
        with translated():
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
        with translated():
            reply = self._page(keys.read[:5], [cursor, count])
        found = []
        for key, record, home in zip(reply[3::3], reply[4::3], reply[5::3], strict=True):
            kind, name = _TYPES[home[:1]], unpack_name(unpack_node(key, record).name)
            found.append((Identifier(kind, name.type, name.value), entity_id(kind, home[1:])))
        return int(reply[0]), Cursor(int(reply[1]), int(reply[2])), found

    def placed(self) -> Iterator[tuple[bytes, str]]:
        """The key of every identifier in the graph with its entity id, in no order; may name one twice."""
        cursor = 0
        while True:
            with translated():
                reply = self._page(self._keys.read[:5], [cursor, 1000])
            for key, home in zip(reply[3::3], reply[5::3], strict=True):
                yield key, entity_id(_TYPES[home[:1]], home[1:])
            cursor = int(reply[0])
            if cursor == 0:
                return

    def mapping(self, entity_type: EntityType) -> Iterator[tuple[Identifier, str]]:
        """Every identifier of a type of entity with its entity id, in no order; may name one twice."""
        cursor = 0
        while True:
            cursor, _, found = self.page(cursor)
            yield from (pair for pair in found if pair[0].entity_type == entity_type)
            if cursor == 0:
                return

    def pending(self) -> int:
        """How many identifiers and rules only the log knows everything about."""
        with translated():
            return int(self._redis.hlen(self._keys.pending))

    def pending_keys(self) -> list[bytes]:
        """Keys of identifiers of whose entities only the log knows everything."""
        with translated():
            return [field for field, _ in self._redis.hscan_iter(self._keys.pending) if len(field) == 16]

    def untold_fields(self) -> list[bytes]:
        """What `untold` reads, as it is kept."""
        with translated():
            found = self._redis.hscan_iter(self._keys.pending, count=1000)
            return [field for field, _ in found if field[:1] == b"{" and len(field) != 16]

    def forget_untold(self, fields: Collection[bytes]) -> None:
        """Only the log could tell these, and it did."""
        with translated():
            self._redis.hdel(self._keys.pending, *fields)

    def unsettled(self) -> int:
        """How many identifiers wait for a restructuring in bounded calls; 1 at least while one goes on."""
        with translated():
            waiting = int(self._redis.hlen(self._keys.unsettled))
            under_way = any(self._redis.hmget(self._keys.meta, "job", "rescan"))
        return max(waiting, int(under_way))

    def check(self) -> None:
        """Assert every invariant of the namespace; raises StoreCorrupt. Reads all of it: seconds per
        million.
        """
        with translated():
            is_settled = not self.unsettled()
            check_graph(self._redis, self._keys, self.keyring, self.rules, is_settled=is_settled)


def rules_in_force(client: "redis.Redis", namespace: str) -> Rules | None:
    """The rules in force in a namespace, whichever the settings have; None for one that is empty."""
    with translated():
        text: Any = client.hget(Keys(namespace).meta, "rules_json")
    return None if text is None else Rules.from_json(text.decode())


def _sequence(entry: OutboxEntry) -> Cursor:
    generation, number = (int(part) for part in entry.entry_id.split("-"))
    return Cursor(generation, number)


def _redacted_entry(entry_id: str, value: bytes) -> OutboxEntry:
    ms, *lines = value.split(b"\n")
    return OutboxEntry(entry_id, int(ms), tuple(from_json(line) for line in lines))


def _links(handles: Iterable[bytes], records: Iterable[bytes | None]) -> Iterator[LinkRecord]:
    """The links that are there of these."""
    found = zip(handles, records, strict=True)
    return (unpack_link(handle, record) for handle, record in found if record is not None)


def _is_out(key: bytes, record: bytes | None) -> bool:
    if record is None:
        return False
    node = unpack_node(key, record)
    return node.is_blocked or node.is_quarantined


def _entity(record: bytes, members: Sequence[bytes]) -> Entity:
    """An entity, from its slot record and key and node record of each member in turn."""
    slot = unpack_slot(record)
    found = (_member(key, node) for key, node in zip(members[::2], members[1::2], strict=True))
    name = entity_id(slot.entity_type, slot.senior)
    return Entity(slot.entity_type, name, slot.size, slot.position, tuple(found))


def _persons(group_id: str, found: Sequence[Any]) -> tuple[Belonging, ...]:
    """The memberships of a group: of each the person's key, packed role, since when, until when, in turn."""
    persons = (
        Belonging(
            entity_id("person", key),
            group_id,
            unpack_role(role),
            from_year_one(since),
            from_year_one(until) if until else None,
        )
        for key, role, since, until in zip(*(found[at::4] for at in range(4)), strict=True)
    )
    return tuple(sorted(persons, key=_by_group))


def _by_group(one: Belonging) -> tuple[str, str, str]:
    return one.group_id, one.person_id, one.role or ""


def _member(key: bytes, record: bytes) -> Member:
    name = unpack_name(unpack_node(key, record).name)
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


# What Redis says of itself when it cannot take a write now. These words are looked for within its answer:
# Redis 6.2 tells them in the words of the script that was refused.
_NOT_NOW: Final = {
    "BUSY Redis is busy": "Redis is busy with one call for seconds",
    "when used memory > 'maxmemory'": "Redis is full: raise its maxmemory, and give it that memory",
    "MISCONF ": "Redis cannot write to its disk: see its log, and make room there",
    "NOREPLICAS ": "Redis has fewer replicas at work than it was told to want (min-replicas-to-write)",
}


class translated:  # noqa: N801 -- used like a function
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
        if isinstance(error, redis.exceptions.NoScriptError):
            # a call loads its script again where the server lost it; this one lost it in between as well
            raise StoreUnavailable("Redis was started anew during a call") from error
        if isinstance(error, redis.exceptions.ResponseError):
            for words, reason in _NOT_NOW.items():
                if words in str(error):
                    raise StoreUnavailable(reason) from error
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
