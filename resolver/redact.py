"""Takes erased identifiers out of the outbox: what is not published yet must not name them any more.

Nor what was known of those who had them. An entry of a stream cannot be changed, so one that says either is
taken out of the stream and kept, redacted, in a hash beside it, from which the reader puts it back in its
place. `Restructuring` calls this before anything else; until then the keys wait in a set, so that a crash
loses no redaction.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import redis

from resolver.keys import Keys
from resolver.packing import unpack_marks
from resolver.redis_store import RedisStore, script, translated
from resolver.store import OutboxEntry
from schemas.identifiers import ENTITY_TYPES, EntityType, Identifier, entity_id, parse_entity_id
from schemas.redaction import IsErased, named_by, redacted
from schemas.transitions import (
    Change,
    EntitiesMerged,
    EntityRelabelled,
    NamedIdentifier,
    Snapshot,
    entity_keys,
    to_json,
)

_PAGE = 200


class Redaction:
    """The outbox of one namespace, to be rid of what was erased."""

    def __init__(self, client: "redis.Redis", namespace: str, store: RedisStore) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys, self._store = Keys(namespace), store
        self._replace = client.register_script(script("replace"))

    def is_due(self) -> bool:
        """Whether anything was erased that the outbox may still name."""
        with translated():
            return bool(self._redis.scard(self._keys.redact))

    def run(self) -> int:
        """Redact every entry that names what was erased; how many those were.

        A consumer may have missed a change by that, so the whole answer is asked for, to be sent behind them.
        """
        with translated():
            erased = self._redis.smembers(self._keys.redact)
        if not erased:
            return 0
        is_erased = self._is_erased(erased)
        subjects = self._subjects(erased, is_erased)
        ids = {entity_id(kind, key) for key in subjects for kind in ENTITY_TYPES}
        changed = sum(self._redact(entry, is_erased, ids) for entry in self._naming(subjects))
        if changed:
            self._store.request_snapshot()
        with translated():
            self._redis.srem(self._keys.redact, *erased)
        return changed

    def _subjects(self, erased: set[bytes], is_erased: IsErased) -> set[bytes]:
        """The keys of all ids by which the erased were known, as far as the outbox tells: those made from
        erased identifiers, those that ever held one, and what these were called before or became.
        """
        found, new = set[bytes](), erased
        while new:
            found |= new
            ids = {
                name
                for entry in self._naming(new)
                for one in entry.transitions
                if isinstance(one, Change) and _ties(one, is_erased, found)
                for name in entity_keys(one)
            }
            new = {parse_entity_id(name)[1] for name in ids} - found
        return found

    def _naming(self, keys: set[bytes]) -> Iterator[OutboxEntry]:
        """The entries that may name one of these, those that are redacted already first."""
        yield from self._store.redacted()
        after = b"-"
        while True:
            with translated():
                page = self._redis.xrange(self._keys.outbox, min=after, count=_PAGE)
            for entry_id, fields in page:
                if any(key in fields[b"made"] for key in keys):
                    yield self._store.unpacked(entry_id.decode(), fields)
            if len(page) < _PAGE:
                return
            after = b"(" + page[-1][0]

    def _redact(self, entry: OutboxEntry, is_erased: IsErased, ids: set[str]) -> bool:
        changes = [
            one if isinstance(one, Snapshot) else redacted(one, is_erased, ids) for one in entry.transitions
        ]
        if changes == list(entry.transitions):
            return False
        value = str(entry.applied_ms).encode() + b"\n" + _lines(changes)
        with translated():
            return bool(self._replace([self._keys.outbox, self._keys.redacted], [entry.entry_id, value]))

    def _is_erased(self, erased: set[bytes]) -> IsErased:
        def is_erased(entity_type: EntityType, named: NamedIdentifier) -> bool:
            key = self._store.keyring.key(Identifier(entity_type, named.type, named.value))
            return not erased.isdisjoint(self._goes_by(key))

        return is_erased

    def _goes_by(self, key: bytes) -> Iterator[bytes]:
        """The keys that an identifier has gone by, an erasure between each and the next."""
        while True:
            yield key
            with translated():
                marks = unpack_marks(self._redis.hget(self._keys.marks, key) or b"")
            erasures = [mark.position for mark in marks if mark.what == "e"]
            if not erasures:
                return
            key = self._store.keyring.reborn(key, erasures[0])


def _ties(change: Change, is_erased: IsErased, subjects: set[bytes]) -> bool:
    """Whether a change says that who is under its ids was, or is one with, somebody who was erased."""
    if isinstance(change, EntitiesMerged | EntityRelabelled):
        return any(parse_entity_id(name)[1] in subjects for name in entity_keys(change))
    return any(is_erased(change.entity_type, one) for one in named_by(change))


def _lines(changes: Sequence[Any]) -> bytes:
    return b"\n".join(map(to_json, changes))
