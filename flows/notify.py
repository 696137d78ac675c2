"""flows.notify: from the transitions to whoever wants to hear of some of them.

    transitions ─▶ match ─▶ enqueue          and beside the flow, for each endpoint:  due ─▶ send ─▶ attempted

It reads where everybody reads, with a cursor of its own, and what matched waits in Redis: so no endpoint can
hold up the stream, and a notice survives every crash (`resolver.deliveries` has the promises). Sending
(`flows.sending`) is at least once, under an id that stays. One process notifies at a time; others wait for
its lock.
"""

import contextlib
import json
import logging
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from flows.matching import Conditions
from flows.notices import Digest, Notifications
from flows.resolve import Nowhere
from flows.sending import Sender, fingerprint
from flows.stopping import Steps, Stop
from flows.transitions_reader import Published, Transitions
from flows.wording import body_of, digest_of
from resolver.deliveries import Deliveries, Notice, Post, Step
from resolver.keys import partition_field
from schemas.errors import BadMessage, TransientError
from schemas.instants import parse_instant

log = logging.getLogger("nexus.notify")

_LOCK_MS = 10_000
_LOOK_S = 1.0  # how often it is looked whether a digest is due
_DIGEST = "digest"
_ID = "id"

Transition = dict[str, Any]


class _Head(BaseModel):
    """What every transition has. Of which kind it is, and what else it says, is for the rules to judge."""

    model_config = ConfigDict(strict=True)

    transition: str = Field(pattern=r"^[a-z_]{1,100}$")
    transition_id: str = Field(pattern=r"^[\x21-\x7e]{1,100}$")  # it becomes a header
    namespace: str
    generation: int
    number: int
    entity_id: str = ""
    entity_type: str = ""
    erased_ids: list[str] = []
    cause: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read together: transitions, each once, and how that moves the cursor."""

    transitions: tuple[Transition, ...]
    steps: tuple[Step, ...]
    offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Matched:
    """A batch with what it brings each endpoint, what is taken back for it, and its transitions counted."""

    batch: Batch
    posts: Mapping[str, Post]
    erased: frozenset[str]
    changes: Mapping[str, int]


def build(source: DynamicSource[Batch], work: "Work", steps: Steps) -> Dataflow:
    """The flow as Bytewax runs it."""
    flow = Dataflow("nexus_notify")
    batches = op.input("transitions", flow, source)
    matched = op.filter_map("match", batches, steps("match", work.match))
    enqueued = op.filter_map("enqueue", matched, steps("enqueue", work.enqueue))
    op.output("done", enqueued, Nowhere())
    return flow


class Reader:
    """Reads the transitions of a namespace behind the cursor, while this process holds the lock.

    `endpoints`: those that are set; what waits for others is dropped. `since_ms`: where to begin without a
    cursor. `no_more`: says that no more transitions will be published; then the reader is worked off when all
    were read and `is_quiet` says that all that can be sent now was.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        source: Transitions,
        namespace: str,
        endpoints: Collection[str],
        digest: "DigestClock | None",
        since_ms: int,
        no_more: Callable[[], bool] | None = None,
        is_quiet: Callable[[], bool] = lambda: True,
    ) -> None:
        self._deliveries, self._source, self._digest, self._since_ms = deliveries, source, digest, since_ms
        self._namespace, self._endpoints = namespace, frozenset(endpoints)
        self._no_more, self._is_quiet = no_more, is_quiet
        self._token = secrets.token_hex(16)
        self._ours_until = self._renew_at = 0.0
        self._refused_since = math.inf
        self._cursor: dict[str, str] = {}
        self._is_open = False

    def is_ours(self) -> bool:
        """Whether this process is the one that notifies."""
        return time.monotonic() < self._ours_until

    def take(self) -> list[Batch]:
        """The next batch, if any; nothing while another process holds the lock."""
        if not self._holds_lock():
            time.sleep(0.1)
            return []
        if not self._is_open:
            self._open()
        if self._digest is not None:
            self._digest.look()
        published = self._source.read()
        return [self._batch(published)] if published else []

    def _holds_lock(self) -> bool:
        now = time.monotonic()
        if now < self._renew_at:
            return True
        if not self._deliveries.hold_lock(self._token, _LOCK_MS):
            self._is_open, self._ours_until = False, 0.0
            self._refused_since = min(self._refused_since, now)
            return False
        self._refused_since = math.inf
        self._renew_at, self._ours_until = now + _LOCK_MS / 3000, now + _LOCK_MS / 1000
        return True

    def _open(self) -> None:
        """Read on where the cursor stands. Of a topic that was made anew, from its beginning."""
        self._deliveries.keep(self._endpoints)
        self._cursor = self._deliveries.cursor()
        identity = self._source.id()
        is_other = self._cursor.get(_ID, identity) != identity
        offsets = {} if is_other else dict(self._places())
        self._source.open(offsets, 0 if is_other else self._since_ms)
        self._identity = identity
        self._is_open = True

    def _places(self) -> list[tuple[int, int]]:
        prefix = partition_field(self._source.topic, 0)[:-1]
        found = ((name, value) for name, value in self._cursor.items() if name.startswith(prefix))
        return [(int(name.removeprefix(prefix)), int(value.split()[0])) for name, value in found]

    def _batch(self, published: Sequence[Published]) -> Batch:
        """What was read, with each transition once: of one about two entities there are two copies, and a
        publisher that was killed sends again what it sent already.
        """
        places = {one.partition: self._place(one.partition) for one in published}
        transitions = []
        for one in published:
            _, last = places[one.partition]
            transition = _parsed(one, self._namespace)
            if transition is not None:
                sequence = (transition["generation"], transition["number"])
                if sequence > last:
                    transitions.append(transition)
                    last = sequence
            places[one.partition] = one.next_offset, last
        return Batch(
            tuple(transitions),
            tuple(self._steps(places)),
            {partition: offset for partition, (offset, _) in places.items()},
        )

    def _place(self, partition: int) -> tuple[int, tuple[int, int]]:
        """Offset, and the last sequence that was read, of a partition."""
        value = self._cursor.get(partition_field(self._source.topic, partition), "0 0 0")
        offset, generation, number = map(int, value.split())
        return offset, (generation, number)

    def _steps(self, places: Mapping[int, tuple[int, tuple[int, int]]]) -> list[Step]:
        told = {
            partition_field(self._source.topic, partition): f"{offset} {generation} {number}"
            for partition, (offset, (generation, number)) in places.items()
        }
        told |= {_ID: self._identity}
        steps = [Step(name, self._cursor.get(name, ""), value) for name, value in told.items()]
        self._cursor |= told
        return [step for step in steps if step.expected != step.value]

    def lost(self) -> None:
        """The cursor is elsewhere than thought: read it again, and ask for the lock again."""
        self._is_open, self._renew_at = False, 0.0

    def done(self, offsets: Mapping[int, int]) -> None:
        """All that was read up to here is enqueued."""
        self._source.commit(offsets)

    def is_worked_off(self) -> bool:
        """Whether nothing is left to read, nothing will come, and nothing can be sent now; or that another
        process sees to it, and not one that was killed and left its lock.
        """
        if self._no_more is None or not self._no_more():
            return False
        if not self._is_open:
            return time.monotonic() - self._refused_since > _LOCK_MS / 1000 + 1
        return self._source.is_at_end() and self._is_quiet()

    def close(self) -> None:
        """Let the lock go."""
        self._ours_until = 0.0
        self._source.close()
        with contextlib.suppress(TransientError):  # it ends by itself
            self._deliveries.release_lock(self._token)


class Work:
    """What each step of the flow does."""

    def __init__(
        self,
        deliveries: Deliveries,
        notifications: Notifications,
        namespace: str,
        senders: Mapping[str, Sender],
        reader: Reader,
        stop: Stop,
    ) -> None:
        self._deliveries, self._notifications, self._namespace = deliveries, notifications, namespace
        self._senders, self._reader, self._stop = senders, reader, stop
        self._conditions = Conditions({name: rule.when for name, rule in notifications.rules.items()})
        self.enqueued = 0

    def match(self, batch: Batch) -> Matched:
        """What each rule makes of each transition."""
        now_ms = _now_ms()
        posts = {name: _Tray(self._notifications, name, now_ms) for name in self._notifications.endpoints}
        erased: set[str] = set()
        for transition in batch.transitions:
            if transition["transition"] == "entity_erased":
                gone = {transition.get("entity_id", ""), *transition.get("erased_ids", ())}
                erased |= gone
                for tray in posts.values():
                    tray.take_back(gone)
            if transition["transition"] != "redacted":
                self._tell(transition, posts)
        filled = {name: tray.post() for name, tray in posts.items()}
        changes = Counter(map(_kind, batch.transitions))
        return Matched(
            batch, {name: post for name, post in filled.items() if post}, frozenset(erased), changes
        )

    def _tell(self, transition: Transition, posts: Mapping[str, "_Tray"]) -> None:
        age_ms = _age_ms(transition)
        for name in self._conditions.true_of(transition):
            for endpoint in self._notifications.rules[name].to:
                posts[endpoint].put(name, self._namespace, transition, age_ms)

    def enqueue(self, matched: Matched) -> Matched | None:
        """Takes back what was erased, and moves the cursor with everything that waits from now on."""
        moved: list[bool] = []
        looks = {name: sender.looks for name, sender in self._senders.items()}

        def write() -> None:
            if matched.erased:
                self._deliveries.forget(tuple(self._senders), matched.erased)
                for sender in self._senders.values():
                    sender.recall()
            steps = matched.batch.steps
            moved.append(self._deliveries.enqueue(_now_ms(), steps, matched.changes, matched.posts))

        if not self._stop.persist("the store", write):
            return None
        if not moved[-1] and not self._is_in(matched.batch.steps):
            log.info("the cursor of the notifications is elsewhere; reading it again")
            self._reader.lost()
            return None
        self._reader.done(matched.batch.offsets)
        for name, post in matched.posts.items():
            self.enqueued += len(post.notices)
            if post.notices:
                self._senders[name].wake(post.notices, looks[name])
        return matched

    def _is_in(self, steps: Sequence[Step]) -> bool:
        """Whether the cursor is where these steps lead: a call that was retried finds it where it put it."""
        cursor = self._deliveries.cursor()
        return all(cursor.get(step.field) == step.value for step in steps)


class _Tray:
    """What one batch brings one endpoint, while it is put together."""

    def __init__(self, notifications: Notifications, endpoint: str, now_ms: int) -> None:
        self._notifications, self._endpoint = notifications, notifications.endpoints[endpoint]
        self._now_ms, self._old = now_ms, 0
        self._notices: list[Notice] = []

    def put(self, name: str, namespace: str, transition: Transition, age_ms: int) -> None:
        """What a rule says of a transition, unless that is old news."""
        rule = self._notifications.rules[name]
        if age_ms > self._notifications.max_age_ms(rule):
            self._old += 1
            return
        notice_id = f"{transition['transition_id']}-{name}"
        body = body_of(self._endpoint, name, rule, namespace, transition)
        self._notices.append(Notice(notice_id, name, body, _about(transition), self._now_ms))

    def take_back(self, gone: set[str]) -> None:
        """Leave out what is about these entities."""
        self._notices = [one for one in self._notices if gone.isdisjoint(one.about)]

    def post(self) -> Post | None:
        """What goes to the store; None for nothing."""
        if not self._notices and not self._old:
            return None
        limit, settings = self._endpoint.queue_limit, fingerprint(self._endpoint)
        return Post(limit, settings, tuple(self._notices), self._old)


class DigestClock:
    """Enqueues the daily digest: once, whoever was running when it became due.

    It counts the transitions that were read since the one before. A digest that became due while nothing ran
    is sent when something does.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        notifications: Notifications,
        digest: Digest,
        namespace: str,
        wake: Callable[[str], None] = lambda _: None,
        now_ms: "Callable[[], int] | None" = None,
    ) -> None:
        self._deliveries, self._notifications, self._digest = deliveries, notifications, digest
        self._namespace, self._wake = namespace, wake
        self._now_ms = now_ms or _now_ms
        self._next_look = 0.0

    def look(self) -> None:
        """Enqueue the digest, if it is due."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_S
        now_ms, value = self._now_ms(), self._deliveries.cursor().get(_DIGEST, "")
        last = json.loads(value) if value else None
        if last is not None and now_ms < min(last["due"], self._digest.next_after(last["since"])):
            return
        counts = self._deliveries.changes()
        following = {"due": self._digest.next_after(now_ms), "since": now_ms, "counts": counts}
        posts = {} if last is None else self._posts(last, counts, now_ms)
        step = Step(_DIGEST, value, json.dumps(following))
        if self._deliveries.enqueue(now_ms, [step], {}, posts):
            for name in posts:
                self._wake(name)

    def _posts(self, last: dict[str, Any], counts: Mapping[str, int], now_ms: int) -> dict[str, Post]:
        new = {kind: count - last["counts"].get(kind, 0) for kind, count in counts.items()}
        changed = {kind: count for kind, count in new.items() if count}
        posts = {}
        for name in self._digest.to:
            endpoint = self._notifications.endpoints[name]
            body = digest_of(endpoint, self._namespace, last["since"], now_ms, changed)
            notice = Notice(f"digest-{self._namespace}-{last['due']}", _DIGEST, body, (), now_ms)
            posts[name] = Post(endpoint.queue_limit, fingerprint(endpoint), (notice,))
        return posts


def _parsed(one: Published, namespace: str) -> Transition | None:
    """The transition in a message; None for a tombstone, the copy for its second entity, what belongs to a
    snapshot and so tells nothing new, what is of another namespace, and what is none.
    """
    if one.data is None:
        return None
    try:
        transition = from_json(one.data, allow_inf_nan=False)
        head = _Head.model_validate(transition)
    except (ValueError, ValidationError):
        log.warning("a message among the transitions is none; it is passed over")
        return None
    is_second = one.key is not None and one.key != (head.entity_id or one.key)
    is_told = head.namespace == namespace and not head.transition.startswith("snapshot_")
    return transition if is_told and not is_second else None


def _kind(transition: Transition) -> str:
    return f"{transition['transition']}/{transition.get('entity_type', '')}"


def _about(transition: Transition) -> tuple[str, ...]:
    """Every entity id that a transition names."""
    names = ("entity_id", "absorbed_id", "former_id", "part_id", "person_id", "group_id")
    return tuple(transition[name] for name in names if isinstance(transition.get(name), str))


def _age_ms(transition: Transition) -> int:
    """How long ago its cause came in."""
    try:
        return _now_ms() - parse_instant(transition["cause"]["ingested_at"], "cause")
    except (KeyError, TypeError, BadMessage):  # no instant: then it is as good as new
        return 0


def _now_ms() -> int:
    return int(time.time() * 1000)
