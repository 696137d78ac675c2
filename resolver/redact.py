"""Takes erased identifiers out of the outbox: what is not published yet must not name them any more.

An entry of a stream cannot be changed, so one that names an erased identifier is taken out of the stream and
kept, redacted, in a hash beside it, from which the reader puts it back in its place. `Restructuring` calls
this before anything else; until then the keys wait in a set, so that a crash loses no redaction.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis

from resolver.keys import Keys
from resolver.packing import unpack_marks
from resolver.redis_store import RedisStore, script, translated
from resolver.store import OutboxEntry
from schemas.identifiers import EntityType, Identifier
from schemas.redaction import redacted
from schemas.transitions import NamedIdentifier, Snapshot, to_json

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
        changed = sum(self._redact(entry, erased) for entry in self._naming(erased))
        if changed:
            self._store.request_snapshot()
        with translated():
            self._redis.srem(self._keys.redact, *erased)
        return changed

    def _naming(self, erased: set[bytes]) -> Iterator[OutboxEntry]:
        """The entries that may name one of these, in order."""
        after = b"-"
        while True:
            with translated():
                page = self._redis.xrange(self._keys.outbox, min=after, count=_PAGE)
            for entry_id, fields in page:
                if any(key in fields[b"made"] for key in erased):
                    yield self._store.unpacked(entry_id.decode(), fields)
            if len(page) < _PAGE:
                return
            after = b"(" + page[-1][0]

    def _redact(self, entry: OutboxEntry, erased: set[bytes]) -> bool:
        is_erased = self._is_erased(erased)
        changes = [
            one if isinstance(one, Snapshot) else redacted(one, is_erased) for one in entry.transitions
        ]
        if changes == list(entry.transitions):
            return False
        value = str(entry.applied_ms).encode() + b"\n" + _lines(changes)
        with translated():
            return bool(self._replace([self._keys.outbox, self._keys.redacted], [entry.entry_id, value]))

    def _is_erased(self, erased: set[bytes]) -> Callable[[EntityType, NamedIdentifier], bool]:
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


def _lines(changes: Sequence[Any]) -> bytes:
    return b"\n".join(map(to_json, changes))
