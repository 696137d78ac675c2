"""Notices on their way: how far transitions were read for them, what waits for which endpoint, until when.

What may be relied on:

- To enqueue the notices of a batch and to move the cursor behind it is one atomic call that names the cursor
  that it expects. So a crash neither loses a notice nor enqueues it twice.
- A notice waits until an attempt to deliver it has ended and that was written down: who is killed in between
  leaves it to be sent again, under the same id.
- What waits for one endpoint is bounded, and touches nothing of another.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import redis

from resolver.keys import Keys
from resolver.redis_store import script, translated
from schemas.errors import StoreCorrupt

End = Literal["delivered", "again", "failed", "gone"]

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for one endpoint. `about`: the entity ids that it names; an erasure of one takes it back.

    `since_ms`: when it was enqueued; `attempts`: how many have failed.
    """

    id: str
    rule: str
    body: str
    about: tuple[str, ...] = ()
    since_ms: int = 0
    attempts: int = 0

    def record(self) -> str:
        """As Redis keeps it."""
        rest = {"rule": self.rule, "about": self.about, "since": self.since_ms, "attempts": self.attempts}
        return json.dumps({**rest, "body": self.body}, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Post:
    """What a batch brings one endpoint: notices, and how many matched and were too old. `limit`: how many may
    wait. `settings`: which ones the endpoint has; under those with which it was gone it gets nothing.
    """

    limit: int
    settings: str
    notices: tuple[Notice, ...] = ()
    old: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A field of the cursor, from the value that it has to that which it gets."""

    field: str
    expected: str
    value: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended. `again_ms`: when the next one is due. `held_ms`: until when nothing else is
    tried at the endpoint. `settings`: which settings of the endpoint are gone.
    """

    end: End
    at_ms: int
    error: str = ""
    again_ms: int = 0
    held_ms: int = 0
    settings: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stands. Counts, instants (ms, 0: never), and what came of the last attempts.

    `since_ms`: since when the oldest waits; `next_ms`: when the next attempt is due.
    """

    waiting: int = 0
    since_ms: int | None = None
    next_ms: int | None = None
    taken: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    old: int = 0
    delivered_at_ms: int = 0
    error: str = ""
    error_at_ms: int = 0
    held_ms: int = 0
    disabled: str = ""
    recent: tuple[dict[str, Any], ...] = field(default=())


class Deliveries:
    """The notices of one namespace."""

    def __init__(self, client: "redis.Redis", namespace: str) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys = Keys(namespace)
        self._enqueue = client.register_script(script("enqueue"))
        self._attempted = client.register_script(script("attempted"))
        self._lock = client.register_script(script("lock"))
        self._unlock = client.register_script(script("unlock"))

    # one process at a time

    def hold_lock(self, token: str, ttl_ms: int) -> bool:
        """Take or renew the lock of who notifies; False when somebody else holds it."""
        with translated():
            return bool(self._lock([self._keys.notices_lock], [token, ttl_ms]))

    def release_lock(self, token: str) -> None:
        """Let the lock go, if this token holds it."""
        with translated():
            self._unlock([self._keys.notices_lock], [token])

    # what is read

    def cursor(self) -> dict[str, str]:
        """Every field of the cursor."""
        with translated():
            found = self._redis.hgetall(self._keys.notices_cursor)
        return {name.decode(): value.decode() for name, value in found.items()}

    def changes(self) -> dict[str, int]:
        """How many transitions of each kind were ever read."""
        with translated():
            found = self._redis.hgetall(self._keys.notices_changes)
        return {name.decode(): int(value) for name, value in found.items()}

    def enqueue(
        self, now_ms: int, steps: Sequence[Step], changes: Mapping[str, int], posts: Mapping[str, Post]
    ) -> bool:
        """Enqueue what a batch brings and move the cursor; False, and nothing done, when it is elsewhere."""
        keys = [self._keys.notices_cursor, self._keys.notices_changes]
        words: list[str | int] = [now_ms, len(steps)]
        for step in steps:
            words += [step.field, step.expected, step.value]
        words.append(len(changes))
        for kind, count in changes.items():
            words += [kind, count]
        for endpoint, post in posts.items():
            keys += self._keys.notices(endpoint)
            words += [post.limit, post.old, post.settings, len(post.notices)]
            for notice in post.notices:
                words += [notice.id, notice.record()]
        with translated():
            return bool(self._enqueue(keys, words))

    def keep(self, endpoints: Collection[str]) -> None:
        """These are the endpoints that are set: forget all others, with what waits for them."""
        with translated():
            for name in self.endpoints() - set(endpoints):
                gone = self._redis.pipeline().delete(*self._keys.notices(name))
                gone.srem(self._keys.notices_endpoints, name).execute()
            if endpoints:
                self._redis.sadd(self._keys.notices_endpoints, *endpoints)

    def endpoints(self) -> set[str]:
        """Those for which something may wait."""
        with translated():
            return {name.decode() for name in self._redis.smembers(self._keys.notices_endpoints)}

    def forget(self, endpoints: Collection[str], ids: Collection[str]) -> int:
        """Take back what waits about these entities; how many those were."""
        return sum(self._forget(endpoint, frozenset(ids)) for endpoint in endpoints)

    def _forget(self, endpoint: str, ids: frozenset[str]) -> int:
        waiting, due, order, *_ = self._keys.notices(endpoint)
        with translated():
            pages = self._redis.hscan_iter(waiting, count=_PAGE)
            about = [key for key, record in pages if not ids.isdisjoint(json.loads(record)["about"])]
            if about:
                self._redis.pipeline().hdel(waiting, *about).zrem(due, *about).zrem(order, *about).execute()
        return len(about)

    # what is sent

    def due(self, endpoint: str, now_ms: int, most: int) -> list[str]:
        """The ids of what is due, the longest due first."""
        with translated():
            found = self._redis.zrangebyscore(self._keys.notices(endpoint)[1], "-inf", now_ms, 0, most)
        return [one.decode() for one in found]

    def notices(self, endpoint: str, ids: Sequence[str]) -> list[Notice]:
        """Those of them that wait."""
        if not ids:
            return []
        with translated():
            found = self._redis.hmget(self._keys.notices(endpoint)[0], ids)
        return [_noticed(notice_id, record) for notice_id, record in zip(ids, found, strict=True) if record]

    def attempted(self, endpoint: str, attempts: Sequence[tuple[Notice, Attempt]]) -> int:
        """Write down how attempts ended, in their order. How many those were: not notices that were taken
        back, or attempted by another.
        """
        words = [word for notice, attempt in attempts for word in _told(notice, attempt)]
        with translated():
            return int(self._attempted(self._keys.notices(endpoint), words))

    # how it stands

    def standing(self, endpoint: str) -> Standing:
        """Everything about an endpoint."""
        waiting, due, order, standing, recent = self._keys.notices(endpoint)
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.hlen(waiting).zrange(due, 0, 0, withscores=True).zrange(order, 0, 0)
            count, first, oldest, found, told = pipeline.hgetall(standing).lrange(recent, 0, -1).execute()
            record = self._redis.hget(waiting, oldest[0]) if oldest else None  # None: it was just delivered
        fields = {name.decode(): value.decode() for name, value in found.items()}
        counts = {
            name: int(fields.get(name, 0)) for name in ("taken", "delivered", "failed", "dropped", "old")
        }
        return Standing(
            count,
            json.loads(record)["since"] if record else None,
            int(first[0][1]) if first else None,
            **counts,
            delivered_at_ms=int(fields.get("delivered_at", 0)),
            error=fields.get("error", ""),
            error_at_ms=int(fields.get("error_at", 0)),
            held_ms=int(fields.get("held_until", 0)),
            disabled=fields.get("disabled", ""),
            recent=tuple(json.loads(one) for one in told),
        )

    def check(self) -> None:
        """What waits has a place in the queue and an instant, and nothing else has. StoreCorrupt if not."""
        for endpoint in sorted(self.endpoints()):
            waiting, due, order, *_ = self._keys.notices(endpoint)
            with translated():
                pipeline = self._redis.pipeline()
                found = pipeline.hkeys(waiting).zrange(due, 0, -1).zrange(order, 0, -1).execute()
            records, dues, places = map(set, found)
            if not records == dues == places:
                odd = sorted((records ^ dues) | (records ^ places))[:5]
                raise StoreCorrupt(f"notices for {endpoint}: waiting, due and order differ in {odd}")

    def enable(self, endpoint: str) -> None:
        """Forget that the endpoint was gone, and leave it alone no longer."""
        with translated():
            self._redis.hdel(self._keys.notices(endpoint)[3], "disabled", "held_until")


def _noticed(notice_id: str, record: bytes) -> Notice:
    told = json.loads(record)
    return Notice(
        notice_id, told["rule"], told["body"], tuple(told["about"]), told["since"], told["attempts"]
    )


def _told(notice: Notice, attempt: Attempt) -> list[str | int]:
    """An attempt, as the script takes it."""
    after = replace(notice, attempts=notice.attempts + 1)
    told = {"id": notice.id, "notification": notice.rule, "attempt": after.attempts}
    told |= {"at": attempt.at_ms, "outcome": attempt.end, "error": attempt.error}
    ended = (notice.id, notice.record(), attempt.end, attempt.at_ms, attempt.again_ms, after.record())
    return [*ended, json.dumps(told), attempt.error, attempt.held_ms, attempt.settings]
