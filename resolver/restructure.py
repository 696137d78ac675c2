"""Restructurings that are too large for one call, in bounded calls while the stream goes on.

What a call could not settle it left in `unsettled`: identifiers whose standing has to be looked at, each
with the log position of the cause. Marks, links and rules say how they are to stand, so that to settle one
twice, or after a crash from the beginning, gives the same.

1. *Begin.* Void what an attempt that did not end has prepared.
2. *Read* the region: everything that hangs together with these identifiers. Entities are flagged before they
   are read; what comes to them from then on is added to the old answer as ever, and noted.
3. *Prepare* the new answer beside the old one: entities in new slots, where each identifier will be, the
   transitions.
4. *Flip.* One call makes it visible, if nothing has come that it does not know of; else read that, prepare
   again, and try again. If events keep coming, those that touch the region are told to wait for a moment.
5. *Settle.* Nodes are told in which slot they are, and what is no longer needed goes.

Any process may do this, one at a time (a lock), and take over from one that died, at every step.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from resolver.keys import Keys
from resolver.packing import (
    SlotRecord,
    pack_chunk,
    pack_count,
    pack_node,
    pack_quarantine,
    pack_slot,
    pack_unsummed,
    unpack_chunk,
    unpack_slot,
)
from resolver.parts import Answer, Part
from resolver.redact import Redaction
from resolver.redis_store import RedisStore, script, translated
from resolver.region import Region, pages
from resolver.rescan import Rescan
from resolver.summing_up import NO_SLOT, STEPS, SummingUp
from schemas.errors import SettingsError

log = logging.getLogger("nexus.restructure")

_CHUNK = 512  # entries of a chunk of a list that is written whole
_RECENT = 32  # entries that the record itself holds
_TRIES = 3  # before events that touch the region are told to wait
_HOLD_MS = 10_000
_LOCK_MS = 30_000
_SETTLED_AT_ONCE = 1_000  # identifiers that a change of the rules may leave to one restructuring

Step = Callable[[str], None]


def _no_step(name: str) -> None:
    """Nobody wants to know."""


class Restructuring:
    """Settles what the store has left for bounded calls. One runs at a time; each call is short.

    `step` is told the name of each step as it begins; the crash tests end the process there.
    """

    def __init__(
        self, client: "redis.Redis", namespace: str, store: RedisStore, step: Step = _no_step
    ) -> None:
        self._client, self._namespace, self._store, self._step = client, namespace, store, step
        self._redis: Any = client
        self._keys = Keys(namespace)
        register = client.register_script
        self._begin, self._flip = register(script("begin")), register(script("flip"))
        self._settle = register(script("hash", "settle"))
        self._retire, self._lock = (
            register(script("hash", "order", "history", "facts", "retire")),
            register(script("lock")),
        )
        self._unlock = register(script("unlock"))

    def is_due(self) -> bool:
        """Whether anything is to be settled."""
        with translated():
            is_left = self._redis.hlen(self._keys.unsettled) or self._redis.scard(self._keys.redact)
            return bool(is_left or any(self._redis.hmget(self._keys.meta, "job", "rescan")))

    def run(self) -> int:
        """Settle whatever is to be settled; how many identifiers. 0 also when somebody else does."""
        token, settled = secrets.token_hex(8), 0
        if not self._hold(token):
            return 0
        try:
            while self.is_due() and self._hold(token):
                Redaction(self._client, self._namespace, self._store).run()
                settled += self._once(token)
                if self._is_rescan_due():
                    settled += self._rescan(token)
        except _Superseded:
            log.warning("another process has taken over what was being settled: leaving it to that one")
        finally:
            with translated():
                self._unlock([self._keys.worker], [token])
        return settled

    def _hold(self, token: str) -> bool:
        with translated():
            return bool(self._lock([self._keys.worker], [token, _LOCK_MS]))

    def _is_rescan_due(self) -> bool:
        with translated():
            return bool(self._redis.hexists(self._keys.meta, "rescan"))

    def _rescan(self, token: str) -> int:
        """Find and settle what a change of the rules concerns; begins anew where somebody else takes over."""
        if not self._store.take_rules():
            raise SettingsError(
                "other rules are in force than those of these settings: put them there, and start anew"
            )
        rescan, settled = Rescan(self._client, self._namespace, self._store), 0
        for is_all_due in rescan.steps():
            self._step("rules-page")
            while self._is_to_settle(is_all_due):
                if not self._hold(token):
                    return settled
                settled += self._once(token)
            if not self._hold(token):
                return settled
        return settled

    def _is_to_settle(self, is_all_due: bool) -> bool:
        with translated():
            left = self._redis.hlen(self._keys.unsettled)
            is_begun = self._redis.hexists(self._keys.meta, "job")
        return bool(left >= _SETTLED_AT_ONCE or (is_all_due and (left or is_begun)))

    def _once(self, token: str) -> int:
        keys = self._keys
        self._void()
        self._store.take_rules()  # should they change from here on, a rescan follows
        rules, ruled_by = self._store.rules, self._store.ruled_by
        with translated():
            reply = self._begin(
                [keys.meta, keys.unsettled, keys.touched, keys.moving, keys.staged, keys.doomed]
            )
        if reply[0] == b"visible":
            self._finish(token)
            return 0
        if reply[0] == b"nothing":
            return 0
        with translated():
            unsettled: dict[bytes, bytes] = self._redis.hgetall(keys.unsettled)
        self._step("restructure-begin")
        started = time.monotonic()
        region = Region(self._client, self._namespace, self._store, unsettled.keys())
        with translated():
            self._redis.sadd(keys.touched, *(b"k" + key for key in unsettled))
        region.read(unsettled)
        self._step("restructure-read")
        self._prepare_and_flip(region, unsettled, token, lambda: Answer(region, unsettled, rules, ruled_by))
        self._step("restructure-visible")
        self._finish(token)
        log.info(
            "%d identifiers are settled, among %d, in %.1f s",
            len(unsettled),
            len(region.walked),
            time.monotonic() - started,
        )
        return len(unsettled)

    def _void(self) -> None:
        """Clear away the entities that an attempt has prepared which did not end."""
        keys = self._keys
        with translated():
            if self._redis.hget(keys.meta, "job") == b"visible":
                return
            self._redis.unlink(keys.unsummed)
            for page in pages(self._redis.hscan_iter(keys.moving, count=1000)):
                slots = {slot for _, slot in page}
                written = (record for record in self._redis.hmget(keys.slots, slots) if record)
                for chunk in (unpack_slot(record).older for record in written):
                    self._void_chunks(chunk)
                self._redis.hdel(keys.slots, *slots)

    def _void_chunks(self, chunk: int) -> None:
        while chunk and (record := self._redis.hget(self._keys.chunks, chunk)):
            self._redis.hdel(self._keys.chunks, chunk)
            chunk = unpack_chunk(record).left  # a list that was written whole is a chain

    def _prepare_and_flip(
        self, region: Region, unsettled: dict[bytes, bytes], token: str, answer_of: Callable[[], Answer]
    ) -> None:
        known = {b"k" + key for key in unsettled}
        beside = _Beside(self._redis, self._keys, _Guarded(self._client, self._keys, token))
        tries = 0
        while True:
            answer = answer_of()
            if answer.unread:
                known |= self._read_also(region, unsettled, answer.unread)
                continue
            answer.tell()
            is_noted = beside.prepare(answer)
            self._step("restructure-prepared")
            if self._try_flip(answer, len(known), token, is_noted=is_noted):
                with translated():
                    self._redis.hincrby(self._keys.meta, "rescanned", answer.changed)
                return
            tries += 1
            beside.guarded("PEXPIRE", self._keys.worker, _LOCK_MS)  # a lock that was lost stays lost
            if tries >= _TRIES:
                self._make_wait()
            known |= self._refresh(region, known)

    def _read_also(self, region: Region, unsettled: dict[bytes, bytes], keys: Iterable[bytes]) -> set[bytes]:
        """Settle some more; what `touched` has of them."""
        cause = min(unsettled.values())
        unsettled |= dict.fromkeys(keys, cause)  # the roots of the region as well
        noted = {b"k" + key for key in keys}
        with translated():
            self._redis.sadd(self._keys.touched, *noted)
        region.read(keys)
        return noted

    def _refresh(self, region: Region, known: set[bytes]) -> set[bytes]:
        with translated():
            touched = self._redis.smembers(self._keys.touched)
        fresh = {one for one in touched if one not in known}
        region.refresh({one[:16] for one in fresh if len(one) == 20})
        return fresh

    def _make_wait(self) -> None:
        """Events that touch the region are refused for a moment; the store tries them again by itself."""
        with translated():
            now = self._redis.time()
            self._redis.hset(self._keys.meta, "hold", now[0] * 1000 + now[1] // 1000 + _HOLD_MS)

    def _try_flip(self, answer: Answer, touched: int, token: str, *, is_noted: bool) -> bool:
        keys = self._keys
        nodes, quarantine = [], []
        for key, wish in answer.wishes.items():
            node = wish.on(answer.region.nodes[key])
            nodes.append((key, b"" if wish.is_erased else pack_node(key, node)))
            quarantine.append((key, pack_quarantine(wish.crossed) if wish.crossed else b""))
        arguments: list[Any] = [token, touched, "1" if is_noted else ""]
        for records in (nodes, quarantine):
            arguments += [len(records), *(part for record in records for part in record)]
        arguments += [part for pair in answer.unsettled.items() for part in pair]
        with translated():
            return bool(
                self._flip(
                    [
                        keys.meta,
                        keys.unsettled,
                        keys.touched,
                        keys.staged,
                        keys.outbox,
                        keys.nodes,
                        keys.quarantine,
                        keys.worker,
                        keys.said,
                        keys.watched,
                    ],
                    arguments,
                )
            )

    def _finish(self, token: str) -> None:
        """Tell the nodes, and clear away what was."""
        keys = self._keys
        with translated():
            for page in pages(key for key, _ in self._redis.hscan_iter(keys.moving, count=1000)):
                self._settle([keys.nodes, keys.moving], page)
            self._step("restructure-settled")
            SummingUp(self._client, keys, self._store).run()
            self._step("restructure-summed-up")
            hashes = [
                keys.slots,
                keys.chunks,
                keys.links,
                keys.suspended,
                keys.history,
                keys.synonyms,
                keys.pending,
                keys.said,
                keys.profiles,
                keys.staff,
                keys.timelines,
                keys.touched,
                keys.nodes,
                keys.recent,
            ]
            while self._retire([keys.doomed, keys.meta, *hashes], [1000]):
                pass
        _Guarded(self._client, keys, token)("HDEL", keys.meta, "job", "hold", "flipped")


class _Superseded(Exception):
    """The lock was lost, and another process does the work."""


class _Guarded:
    """Commands that do nothing once another process does the work: a process may be frozen for as long as it
    likes, and must not write into what another one prepares.
    """

    def __init__(self, client: "redis.Redis", keys: Keys, token: str) -> None:
        self._script: Any = client.register_script(script("guarded"))
        self._worker, self._token = keys.worker, token

    def __call__(self, command: str, key: str, *arguments: Any) -> None:
        """Run it, or raise _Superseded."""
        with translated():
            done = self._script([self._worker, key], [self._token, command, *arguments])
        if not done:
            raise _Superseded


@dataclass
class _Beside:
    """The new answer as it is written beside the old one."""

    redis: Any
    keys: Keys
    guarded: "_Guarded"
    written: dict[bytes, int] = field(default_factory=dict)
    records: dict[int, bytes] = field(default_factory=dict)
    chunks: list[int] = field(default_factory=list)

    def prepare(self, answer: Answer) -> bool:
        """Write it, in place of what was written before; whether it is noted what is to be summed up."""
        slots = self._slots(answer.parts)
        self._write_moves(  # first: by these it is known what to clear away after a crash
            {key: slot for part, slot in zip(answer.parts, slots, strict=True) for key in part.keys}
        )
        self._write_entities(answer, slots)
        self._write_transitions(answer.transitions)
        self._write_doomed(answer)
        return self._write_unsummed(answer, slots)

    def _write_unsummed(self, answer: Answer, slots: Sequence[int]) -> bool:
        self.guarded("UNLINK", self.keys.unsummed)
        with translated():
            if not self.redis.hlen(self.keys.said):
                return False
        known = answer.known()
        noted = {
            slot: pack_unsummed(known.get(part.senior, 0), slot, answer.cause)
            for part, slot in zip(answer.parts, slots, strict=True)
        }
        about_all = {NO_SLOT: pack_unsummed(0, 0, answer.cause), STEPS: answer.group_steps}
        self._save(self.keys.unsummed, {**about_all, **noted})
        return True

    def _slots(self, parts: Sequence[Part]) -> list[int]:
        """A slot for each part: the one that its senior was given before, or a new one."""
        taken: set[int] = set()
        found = []
        for part in parts:
            slot = self.written.get(part.senior, 0)
            found.append(0 if slot in taken else slot)
            taken.add(slot)
        missing = found.count(0)
        with translated():
            last = self.redis.hincrby(self.keys.meta, "slot", missing) if missing else 0
        numbers = iter(range(last - missing + 1, last + 1))
        return [slot or next(numbers) for slot in found]

    def _write_entities(self, answer: Answer, slots: Sequence[int]) -> None:
        long = [
            (part, slot) for part, slot in zip(answer.parts, slots, strict=True) if len(part.keys) > _RECENT
        ]
        count = sum(_chunks_of(part) for part, _ in long)
        with translated():
            last = self.redis.hincrby(self.keys.meta, "chunk", count) if count else 0
        number, chunks, records = last - count, {}, {}
        for part, slot in zip(answer.parts, slots, strict=True):
            older, recent = 0, part.keys
            if len(recent) > _RECENT:
                for at in range(0, len(part.keys) - 1, _CHUNK):
                    number += 1
                    chunks[number] = pack_chunk(older, part.keys[at : min(at + _CHUNK, len(part.keys) - 1)])
                    older = number
                recent = part.keys[-1:]
            records[slot] = pack_slot(_entity(answer, part, older, recent))
        self._save(self.keys.chunks, chunks)
        self._save(
            self.keys.slots,
            {slot: record for slot, record in records.items() if self.records.get(slot) != record},
        )
        self._clear(self.keys.chunks, self.chunks)
        self._clear(self.keys.slots, [slot for slot in self.records if slot not in records])
        self.chunks, self.records = list(chunks), records

    def _write_moves(self, moves: Mapping[bytes, int]) -> None:
        self._save(
            self.keys.moving, {key: slot for key, slot in moves.items() if self.written.get(key) != slot}
        )
        self._clear(self.keys.moving, [key for key in self.written if key not in moves])
        self.written = dict(moves)

    def _write_transitions(self, transitions: Sequence[bytes]) -> None:
        self.guarded("UNLINK", self.keys.staged)
        for page in pages(transitions):
            self.guarded("RPUSH", self.keys.staged, pack_count(len(page), 4) + b"".join(page))

    def _write_doomed(self, answer: Answer) -> None:
        self.guarded("UNLINK", self.keys.doomed)
        for page in pages(_doomed(answer)):
            self.guarded("RPUSH", self.keys.doomed, *page)

    def _save(self, key: str, records: Mapping[Any, Any]) -> None:
        for page in pages(records.items()):
            self.guarded("HSET", key, *(part for pair in page for part in pair))

    def _clear(self, key: str, fields: Iterable[Any]) -> None:
        for page in pages(fields):
            self.guarded("HDEL", key, *page)


def _chunks_of(part: Part) -> int:
    return -(-(len(part.keys) - 1) // _CHUNK)


def _entity(answer: Answer, part: Part, older: int, recent: Sequence[bytes]) -> SlotRecord:
    kind, position = answer.region.nodes[part.senior].entity_type, answer.ages[part.senior]
    return SlotRecord(
        0,
        kind,
        len(part.keys),
        older,
        part.senior,
        position,
        tuple(recent),
        part.is_tied,
        part.is_apart,
        part.values,
    )


def _doomed(answer: Answer) -> Iterator[bytes]:
    """What goes once the new answer is visible, and what is then to be written: a letter, and what it needs.

    s slot; c chunk; l link handle; g key of an identifier that was erased, v that no link names; m key of a
    group's that is in no entity, so that nobody is a member by it; p key of whom only the log can tell, and
    why; - field of the suspended hash; + length, field, reason; h history: 4 bytes number of the transition,
    key, and the entry without its sequence.
    """
    region = answer.region
    yield from (b"s%d" % slot for slot in region.slots)
    for entity in region.entities.values():
        yield from (b"c%d" % chunk for chunk in region.chunks_of(entity))
    yield from (b"l" + handle for handle in answer.dropped)
    yield from (b"g" + key for key in answer.erased)
    yield from (b"v" + key for key in answer.vanished)
    yield from (b"m" + key for key in answer.groups_out)
    yield from (b"p" + key + b"e" + erasure for key, erasure in answer.pending.items())
    yield from _suspensions(answer)
    for told in answer.history:
        head = pack_count(told.at, 4) + told.key + pack_count(told.what, 1) + told.other
        yield b"h" + head + pack_count(told.moved, 4) + told.cause


def _suspensions(answer: Answer) -> Iterator[bytes]:
    suspended = {answer.field(edge): why for edge, why in answer.judged[1].items()}
    for name in answer.region.suspended():
        keys = (name[1:17], name[17:]) if len(name) > 16 else answer.region.keys_of(name)
        if name not in suspended and not answer.region.walked.isdisjoint(keys):
            yield b"-" + name
    for name, why in suspended.items():
        yield b"+" + pack_count(len(name), 1) + name + answer.reason(why)
