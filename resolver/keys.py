"""Every Redis key of a namespace, and nothing else makes one.

All keys of a namespace carry the same hash tag, `nexus:{<namespace>}:...`: a Redis Cluster puts them on one
node, so one Lua call may touch all of them, and spreads namespaces over nodes.
"""

import re
from dataclasses import dataclass

from schemas.errors import SettingsError

_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace, by what they hold.

    Raises SettingsError for a namespace that is not `[a-z0-9][a-z0-9_-]{0,62}`: a brace would break the
    hash tag.
    """

    namespace: str

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise SettingsError(
                "namespace must be 1 to 63 of a-z, 0-9, '_' and '-', and begin with a letter or digit"
            )

    def _key(self, name: str) -> str:
        return f"nexus:{{{self.namespace}}}:{name}"

    @property
    def nodes(self) -> str:
        """HASH identifier key -> node record: slot, name, links it is in."""
        return self._key("nodes")

    @property
    def links(self) -> str:
        """HASH link handle -> link record: last instant, first evidence, identifier keys."""
        return self._key("links")

    @property
    def slots(self) -> str:
        """HASH slot number -> the entity that lives there, or the slot it moved to."""
        return self._key("slots")

    @property
    def chunks(self) -> str:
        """HASH chunk number -> a piece of a long member or link list."""
        return self._key("chunks")

    @property
    def synonyms(self) -> str:
        """HASH identifier key -> the key of the former id that is one with it, if events name both."""
        return self._key("synonyms")

    @property
    def history(self) -> str:
        """HASH identifier key of an entity id -> its last 20 identity changes."""
        return self._key("history")

    @property
    def meta(self) -> str:
        """HASH of the namespace's counters: schema, generation, number, slot, chunk, pending, secret."""
        return self._key("meta")

    @property
    def offsets(self) -> str:
        """HASH `topic/partition` -> the next offset to read, decimal."""
        return self._key("offsets")

    @property
    def topics(self) -> str:
        """HASH topic -> the broker's id of it, by which a recreated topic is recognised."""
        return self._key("topics")

    @property
    def rewinds(self) -> str:
        """HASH `topic/partition` -> the group offset Redis was found behind of, while it catches up."""
        return self._key("rewinds")

    @property
    def outbox(self) -> str:
        """STREAM of the transitions not yet published, one entry a batch, id `generation-firstnumber`."""
        return self._key("outbox")

    @property
    def cursor(self) -> str:
        """HASH generation, number: the last transition published."""
        return self._key("cursor")

    @property
    def lock(self) -> str:
        """STRING token of the one publisher, with a time to live."""
        return self._key("lock")

    @property
    def snapshot(self) -> str:
        """HASH requested, done, begun: the snapshots asked of the publisher and answered, and its tries."""
        return self._key("snapshot")

    @property
    def marks(self) -> str:
        """HASH identifier key -> what operators said of it: blocked, released, erased, together, apart."""
        return self._key("marks")

    @property
    def quarantine(self) -> str:
        """HASH identifier key -> the limits that it crossed, with the oldest of its partners."""
        return self._key("quarantine")

    @property
    def suspended(self) -> str:
        """HASH link handle, or `t` or `s` and a pair of keys -> why the link is suspended."""
        return self._key("suspended")

    @property
    def pending(self) -> str:
        """HASH identifier key, or a JSON object that says what is no longer blocked -> why only the log knows
        everything.
        """
        return self._key("pending")

    @property
    def unsettled(self) -> str:
        """HASH identifier key -> log position of the cause: to be settled in bounded calls."""
        return self._key("unsettled")

    @property
    def touched(self) -> str:
        """SET of what comes while a region is resolved anew: link handle and a number; `k` and a key. Once
        the new answer is visible: `s` and the field of what is suspended otherwise than that says.
        """
        return self._key("touched")

    @property
    def moving(self) -> str:
        """HASH identifier key -> the slot that it has in the new answer, until its node says so."""
        return self._key("moving")

    @property
    def redact(self) -> str:
        """SET of erased identifier keys that the outbox may still name."""
        return self._key("redact")

    @property
    def redacted(self) -> str:
        """HASH entry id -> an entry of the outbox without what was erased: instant, transitions."""
        return self._key("redacted")

    @property
    def staged(self) -> str:
        """LIST of packed transitions of the new answer, which go to the outbox when it becomes visible."""
        return self._key("staged")

    @property
    def worker(self) -> str:
        """STRING token of the one process that restructures, with a time to live."""
        return self._key("worker")

    @property
    def doomed(self) -> str:
        """LIST of what goes when the new answer is visible: a letter, and the field of a hash."""
        return self._key("doomed")

    @property
    def said(self) -> str:
        """HASH link handle -> the facts that hang on the link."""
        return self._key("said")

    @property
    def profiles(self) -> str:
        """HASH slot number -> the facts of the entity: those of the links whose anchor it holds."""
        return self._key("profiles")

    @property
    def staff(self) -> str:
        """HASH identifier key of a group -> handles of the links that say somebody is in it."""
        return self._key("staff")

    @property
    def timers(self) -> str:
        """ZSET of slots by the instant (ms) at which a timed state of theirs may change, or earlier."""
        return self._key("timers")

    @property
    def unsummed(self) -> str:
        """HASH slot number -> what consumers know of an entity whose facts are not all together yet."""
        return self._key("unsummed")

    @property
    def watched(self) -> str:
        """HASH link handle -> what came to a link since a repair looks at it; `f` and the handle -> facts."""
        return self._key("watched")

    @property
    def reconciler(self) -> str:
        """STRING token of the one process that reconciles, with a time to live."""
        return self._key("reconciler")

    @property
    def notices_cursor(self) -> str:
        """HASH `topic/partition` -> how far notifications have read it: offset, generation, number; `id` ->
        the topic's id; `digest` -> when the next one is due, and what was counted when the last one was made.
        """
        return self._key("notices:cursor")

    @property
    def notices_changes(self) -> str:
        """HASH kind of transition and entity type -> how many were read."""
        return self._key("notices:changes")

    @property
    def notices_lock(self) -> str:
        """STRING token of the one process that notifies, with a time to live."""
        return self._key("notices:lock")

    @property
    def notices_endpoints(self) -> str:
        """SET of the endpoints for which something may wait."""
        return self._key("notices:endpoints")

    def notices(self, endpoint: str) -> list[str]:
        """What waits for an endpoint: waiting, HASH id -> record; due, ZSET id -> ms; order, ZSET id -> place
        in the queue; standing, HASH of counts and what came last; recent, LIST of the last outcomes, JSON.
        """
        parts = ("waiting", "due", "order", "standing", "recent")
        return [self._key(f"notices:{part}:{endpoint}") for part in parts]

    @property
    def timelines(self) -> str:
        """HASH chunk number -> facts of one state of a link or an entity, older than those in its record."""
        return self._key("timelines")

    @property
    def recent(self) -> str:
        """HASH link handle, or that and `-` -> the last events that name the link, and those before."""
        return self._key("recent")

    @property
    def retracted(self) -> str:
        """SET of the handles of events of which nothing is taken any more."""
        return self._key("retracted")

    @property
    def apply(self) -> list[str]:
        """KEYS of the `apply` script, in its order."""
        return [
            self.nodes,
            self.links,
            self.slots,
            self.chunks,
            self.synonyms,
            self.history,
            self.meta,
            self.offsets,
            self.outbox,
            self.marks,
            self.quarantine,
            self.suspended,
            self.pending,
            self.unsettled,
            self.touched,
            self.moving,
            self.redact,
            self.said,
            self.profiles,
            self.staff,
            self.timers,
            self.unsummed,
            self.timelines,
            self.recent,
            self.watched,
            self.retracted,
        ]

    @property
    def read(self) -> list[str]:
        """KEYS of the scripts that read entities (`lua/places.lua`), in their order."""
        first = [self.nodes, self.slots, self.chunks, self.moving, self.meta]
        return [*first, self.profiles, self.unsummed, self.said, self.staff]

    @property
    def all(self) -> list[str]:
        """Every key of the namespace, but those of each endpoint (`notices`)."""
        work = (self.staged, self.doomed, self.worker, self.redacted, self.reconciler)
        notices = (self.notices_cursor, self.notices_changes, self.notices_lock, self.notices_endpoints)
        publishing = (self.cursor, self.lock, self.snapshot)
        return [*self.apply, *work, self.topics, self.rewinds, *publishing, *notices]


def partition_field(topic: str, partition: int) -> str:
    """The field of a partition. A topic's name holds no '/', so this is injective."""
    return f"{topic}/{partition}"


def parse_partition_field(field: str) -> tuple[str, int]:
    """The topic and partition of a field."""
    topic, _, partition = field.rpartition("/")
    return topic, int(partition)
