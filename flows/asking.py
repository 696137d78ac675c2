"""The event log, opened for a question: beside whoever fills it and whoever reconciles with it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from flows.stopping import Stop
from flows.wiring import Wiring
from resolver.excerpt import AskedLog
from resolver.facts import Mention
from resolver.neighbours import RedisNeighbours
from resolver.store import RecentEvent, RecentEvents, StoredProfile
from resolver.words import words
from schemas.erasures import Erasures
from schemas.events import Event, EventKey
from schemas.identifiers import Identifier
from schemas.log_rows import set_key


@contextmanager
def asked_log(parts: Wiring) -> Iterator[AskedLog | None]:
    """The event log of the settings; None where there is none."""
    settings = parts.settings
    if settings.warehouse_engine == "none":
        yield None
        return
    from flows.reconcile import FolderWarehouse, warehouse  # what most questions need not wait for

    if settings.warehouse_engine == "duckdb":
        folder = settings.data / settings.namespace / "events"
        # in memory, over the log's files: the DuckDB file beside them is for one process, which reconciles
        with closing(FolderWarehouse(folder, Path(":memory:"), Stop())) as found:
            yield AskedLog(found) if found.look() else None
    else:
        with warehouse(parts, Stop()) as shared, closing(AskedLog(shared)) as log:
            yield log


def events_of(
    parts: Wiring, graph: RedisNeighbours, found: StoredProfile, remembered: RecentEvents, most: int
) -> RecentEvents:
    """The last events of an entity by the event log, and those of the store that are not in it yet; where
    there is no log, those that the store remembers.
    """
    with asked_log(parts) as log:
        if log is None:
            return remembered
        said = words(parts.keyring, log.commands())
        log.bound(None, said.retracted, most)
        members = {one.key for one in found.entity.members}
        links = [(key, mention) for key, mention in log.links(members) if mention.identifiers]
        anchored = _Anchors(parts, graph, said.erasures, [mention for _, mention in links])
        sets = {key for key, mention in links if anchored.of(mention) in members}
        events = list(log.newest(sets)) if sets else []
    told = {EventKey(one.source, one.event_id): one for one in remembered.events}
    told |= _as_remembered(events, sets, said.erasures)
    newest = sorted(told.values(), key=lambda one: (one.occurred_ms, one.source, one.event_id))
    is_whole = remembered.is_whole and len(members) == found.entity.size
    return RecentEvents(tuple(newest[-most:]), most, is_whole, is_by_log=True)


class _Anchors:
    """Which identifier the events of a link belong to: of those in the graph, the one of highest type."""

    def __init__(
        self, parts: Wiring, graph: RedisNeighbours, erasures: Erasures, mentions: Iterable[Mention]
    ) -> None:
        self._rules, self._erasures = parts.store.rules, erasures
        self._keys = {mention: self._named(mention) for mention in mentions}
        self._homes = graph.homes(sorted({key for named in self._keys.values() for key in named}))

    def _named(self, mention: Mention) -> Mapping[bytes, Identifier]:
        named = tuple(mention.identifiers)
        keys = self._erasures.living_set(map(self._erasures.keyring.key, named), mention.position) or ()
        pairs = zip(keys, named, strict=False)
        return {key: one for key, one in pairs if self._rules.blocked(one) is None}

    def of(self, mention: Mention) -> bytes | None:
        """The key of the identifier; None while none is in the graph."""
        named = self._keys[mention]
        inside = [key for key in named if self._homes.get(key) is not None]
        return min(
            inside, key=lambda key: (self._rules.priority(named[key].identifier_type), key), default=None
        )


def _as_remembered(
    events: Iterable[Event], sets: Collection[bytes], erasures: Erasures
) -> Mapping[EventKey, RecentEvent]:
    """Events as people look at them; of several messages under one key the last counts."""
    last: dict[EventKey, Event] = {}
    roles: dict[tuple[EventKey, int], dict[str, None]] = defaultdict(dict)
    for event in sorted(events, key=lambda one: (one.occurred_at_ms, one.position)):
        last[event.key] = event
        for participant in event.participants:
            keys = map(erasures.keyring.key, participant.identifiers)
            living = erasures.living_set(keys, event.position) or ()
            if participant.role is not None and set_key(erasures.keyring, living) in sets:
                roles[event.key, event.occurred_at_ms][participant.role] = None
    return {
        key: RecentEvent(
            event.occurred_at_ms,
            event.source,
            event.event_id,
            event.event_name,
            event.event_type,
            tuple(roles[key, event.occurred_at_ms]),
            event.measurements,
        )
        for key, event in last.items()
    }
