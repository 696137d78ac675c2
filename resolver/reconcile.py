"""The warehouse has the last word: compares the stream's answer with the authoritative one, and repairs.

1. *Cut.* One call says what the store has read by then, as of which `now` timed states are, and the rules.
   From then on the store notes of whom anything is told.
2. *Wait* until the event log has all of that, and compute the authoritative answer to it (`authoritative`):
   the resolved and final tables, which people read as well.
3. *Compare* it with the stream's answer, which is read meanwhile and after. Entities of which something was
   told since the cut cannot be compared: whether they are right the repair finds out.
4. *Repair* the entities that differ (`repair`): what the log says is put in the place of what the store has,
   and told as anything else is, with the reconciliation as the cause.

What is *pending* is no drift: only the log could tell, and now it does.

An incremental run does the same for those alone to whom something happened since the last answer (`touched`),
which stands in the warehouse's tables. It makes the tables that a full run would make. Of the stream it sees
what it has of these, so drift elsewhere waits for a full run.
"""

import json
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

import redis

from resolver.authoritative import Authoritative, Engine, statement
from resolver.keys import Keys
from resolver.last_answer import LastAnswer
from resolver.packing import sixteens
from resolver.redis_store import RedisStore, script, translated
from resolver.repair import Repair
from resolver.restructure import Restructuring
from resolver.store import Command, Cut
from resolver.stream_answer import StreamAnswer
from resolver.touched import Since, Touched
from schemas.errors import SettingsError, StartRefused, StoreUnavailable
from schemas.events import Event, EventKey, log_position
from schemas.identifiers import ENTITY_TYPES, entity_id
from schemas.log_rows import Row, events_in
from schemas.tables import LOG, ColumnType

log = logging.getLogger("nexus.reconcile")

Kind = Literal[
    "identifier_elsewhere",
    "identifier_missing",
    "identifier_extra",
    "id_differs",
    "trait",
    "membership",
    "state",
]
Extent = Literal["full", "incremental", "thorough"]
SOURCE: Final = "nexus-reconcile"
"""The source that is given as the cause of repairs."""
_LOCK_MS: Final = 15 * 60_000  # a step that takes longer lets another run begin, which does no harm
_EXAMPLES: Final = 10
_PREFIX: Final = "nexus_work_"
_TRIES: Final = 5
_AT_ONCE: Final = 5_000  # identifiers in a repair of everything
_UNLOGGED: Final = 100  # identifiers that only the stream has; more, and above a hundredth, are refused


class Warehouse(Protocol):
    """Where the event log is."""

    @property
    def engine(self) -> Engine:
        """The warehouse itself."""

    def reach(self, cut: Cut) -> None:
        """Wait until the event log has all that the store has read at a cut, and let the engine see it."""


class Busy(StoreUnavailable):
    """Another process reconciles this namespace."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that the stream has otherwise than the log says: of which kind, and of which entities."""

    kind: Kind
    entity_ids: tuple[str, ...]
    about: str


@dataclass(slots=True)
class Report:
    """What a run found, and what it did.

    `is_incremental`: whether it looked only at those to whom something happened since the last run.
    `compared`: identifiers of the stream that were looked at. `drift`: by kind, how often. `examples`: some
    of each kind. `busy`: entities that differ, of which something was told meanwhile; they are repaired as
    well and are no drift. `pending`: what only the log could tell. `repaired`: identifiers that were
    resolved anew.
    """

    cut: str
    rules: str
    now_ms: int
    compared: int = 0
    rounds: int = 0
    depth: int = 0
    drift: dict[Kind, int] = field(default_factory=dict)
    examples: dict[Kind, list[dict[str, Any]]] = field(default_factory=dict)
    busy: int = 0
    pending: int = 0
    repaired: int = 0
    is_dry: bool = False
    is_incremental: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether the stream's answer was the authoritative one."""
        return not self.drift

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Nobody wants to know."""


class Reconciliation:
    """Reconciles one namespace. One run at a time; `say` is told what comes next, for people who wait."""

    def __init__(
        self,
        client: "redis.Redis",
        namespace: str,
        store: RedisStore,
        warehouse: Warehouse,
        restructuring: Restructuring,
        say: Say = _silent,
    ) -> None:
        self._store, self._warehouse, self._say = store, warehouse, say
        self._keys, self._engine = Keys(namespace), warehouse.engine
        self._log = LogInWarehouse(warehouse)
        self._repair = Repair(client, namespace, store, self._log, restructuring)
        self._restructuring = restructuring
        self._last = LastAnswer(self._engine, self._log, store.keyring)
        self._lock, self._unlock = (
            client.register_script(script("lock")),
            client.register_script(script("unlock")),
        )
        self._token = secrets.token_hex(8)

    def run(self, *, is_dry: bool = False, trusts_log: bool = False, extent: Extent = "full") -> Report:
        """Compare, and unless it is a dry run repair. An incremental run is a full one where the last answer
        does not help, see `LastAnswer.since`; a thorough one repairs everything, whether it differs or not.

        Raises StartRefused where a log that began after the stream would take much out of it, unless one
        `trusts_log`; Busy while another process reconciles; StoreUnavailable where something else went on
        that this run could not wait for: the next run goes on.
        """
        self._hold()
        try:
            return self._run(is_dry=is_dry, trusts_log=trusts_log, extent=extent)
        finally:
            with translated():
                self._unlock([self._keys.reconciler], [self._token])

    def _hold(self) -> None:
        with translated():
            if not self._lock([self._keys.reconciler], [self._token, _LOCK_MS]):
                raise Busy("another process reconciles this namespace")

    def _run(self, *, is_dry: bool, trusts_log: bool, extent: Extent) -> Report:
        if not self._store.is_ruled() and not self._store.take_rules():
            raise SettingsError("the rules in force are not those of these settings: see `nexus rules diff`")
        for _ in range(_TRIES):
            found = self._compared(is_dry=is_dry, is_incremental=extent == "incremental")
            if found is not None:
                break
        else:
            raise StoreUnavailable("restructurings kept the store from being compared: the next run goes on")
        report, concerned, untold, cut = found
        if not is_dry and not trusts_log:
            _refuse_young_log(report)
        if not is_dry and (concerned or extent == "thorough"):
            self._set_right(report, self._everyone() if extent == "thorough" else [concerned])
        if not is_dry and untold:
            self._store.forget_untold(untold)
        if not is_dry or not concerned:
            self._last.keep(cut)
        return report

    def _set_right(self, report: Report, pages: Iterable[Sequence[bytes]]) -> None:
        """Repair some identifiers at a time."""
        self._say("repair")
        for page in pages:
            self._hold()
            self._repair.run(page, log_position(self._store.clock()[0], SOURCE, report.cut))
            report.repaired += len(page)
        if report.repaired:
            self._repair.sweep()

    def _everyone(self) -> Iterator[Sequence[bytes]]:
        """The keys of all identifiers, some thousand at a time: the next statement would end the rows."""
        rows = self._engine.rows(statement(self._engine.dialect, "everyone"))
        keys = b"".join(bytes(key) for key, _ in rows)
        for at in range(0, len(keys), 16 * _AT_ONCE):
            yield sixteens(keys[at : at + 16 * _AT_ONCE])

    def _compared(
        self, *, is_dry: bool, is_incremental: bool
    ) -> tuple[Report, list[bytes], list[bytes], Cut] | None:
        """What differs, the identifiers concerned, what rules left pending at the cut, and the cut; None if
        the store was restructured meanwhile.
        """
        self._say("cut")
        self._restructuring.run()
        store = self._store
        try:
            cut = store.watch_told()
            pending, untold = store.pending_keys(), store.untold_fields()
            report = Report(
                f"{cut.sequence.generation}-{cut.sequence.number}", cut.rules, cut.now_ms, is_dry=is_dry
            )
            self._say("wait")
            self._warehouse.reach(cut)
            self._hold()
            self._say("resolve")
            since = self._last.since(cut, pending) if is_incremental and not untold else None
            self._resolve(cut, report, since)
            self._hold()
            self._say("compare")
            self._read_stream(since)
            told = store.told_since()
        finally:
            store.unwatch()
        if told is None:
            return None
        comparison = _Comparison(self._engine, {*_ids_of(told)}, pending, is_all_pending=bool(untold))
        comparison.fill(report)
        return report, comparison.concerned(), untold, cut

    def _resolve(self, cut: Cut, report: Report, since: Since | None) -> None:
        rules, engine = self._store.rules, self._engine
        part = None if since is None else Touched(engine, rules, since)
        authoritative = Authoritative(engine, self._store.keyring, part=part)
        resolved = authoritative.resolve(rules, self._log.commands(cut.offsets), cut.offsets)
        authoritative.describe(rules, cut.now_ms)
        self._last.forget()
        authoritative.publish(resolved, self._store.clock()[0])
        report.rounds, report.depth = resolved.rounds, resolved.depth
        report.is_incremental = since is not None

    def _read_stream(self, since: Since | None) -> None:
        """The stream's answer, into the warehouse."""
        answer = StreamAnswer(self._store, self._engine)
        if since is None:
            answer.read_all()
        else:
            answer.read_touched()


@dataclass
class _Comparison:
    """The two answers side by side, both in the warehouse.

    `told`: ids of which something was told since the cut. `pending`: keys of identifiers of which only the
    log knew everything.
    """

    engine: Engine
    told: Collection[str]
    pending: Collection[bytes]
    is_all_pending: bool
    _concerned: set[str] = field(default_factory=set)

    def fill(self, report: Report) -> None:
        """Count what differs, kind by kind."""
        ((report.compared,),) = self._rows_of("SELECT COUNT(*) FROM nexus_stream_identifiers")
        pending = self._pending_ids()
        counts: Counter[Kind] = Counter()
        busy, unsure = set[str](), set[str]()
        for drift in self._drift():
            self._concerned.update(drift.entity_ids)
            if self.is_all_pending or not pending.isdisjoint(drift.entity_ids):
                unsure.update(drift.entity_ids)
            elif not self.told_of(drift):
                counts[drift.kind] += 1
                examples = report.examples.setdefault(drift.kind, [])
                if len(examples) < _EXAMPLES:
                    examples.append({"entity_ids": list(drift.entity_ids), "about": drift.about})
            else:
                busy.update(drift.entity_ids)
        report.drift, report.busy = dict(counts), len(busy)
        report.pending = len(self.pending) + len(unsure - pending)

    def told_of(self, drift: Drift) -> bool:
        """Whether something was told of one of these entities since the cut."""
        return any(name in self.told for name in drift.entity_ids)

    def concerned(self) -> list[bytes]:
        """The keys of all identifiers that are to be resolved anew."""
        if not self._concerned and not self.pending:
            return []
        self.engine.replace(
            "nexus_work_concerned", {"entity_id": "text"}, [(name,) for name in sorted(self._concerned)]
        )
        return sorted({bytes(key) for (key,) in self._rows("concerned")}.union(self.pending))

    def _pending_ids(self) -> set[str]:
        """The ids of entities that what is pending may have a say in, by either answer."""
        if not self.pending:
            return set()
        keys = [(key,) for key in sorted(self.pending)]
        self.engine.replace("nexus_work_wanted", {"identifier_key": "bytes"}, keys)
        return {name for (name,) in self._rows("entities_of")}

    def _drift(self) -> Iterator[Drift]:
        moved = [_Moved(bytes(key), *others) for key, *others in self._rows("drift_identifiers")]
        renamed = _renamed(moved)
        of_identity = {name for one in moved for name in one.ids}
        for one in moved:
            yield Drift(_kind_of(one, renamed), one.ids, one.key.hex())
        for drift in self._drift_of_profiles():
            if of_identity.isdisjoint(drift.entity_ids):
                yield drift
            else:  # it comes of the other, and is repaired with it
                self._concerned.update(drift.entity_ids)

    def _drift_of_profiles(self) -> Iterator[Drift]:
        for name, trait in self._rows("drift_traits"):
            yield Drift("trait", (name,), trait)
        for person, group, role in self._rows("drift_memberships"):
            yield Drift("membership", (person, group), role or "")
        for name, state in self._rows("drift_states"):
            yield Drift("state", (name,), state)

    def _rows(self, name: str) -> Iterable[Row]:
        return self._rows_of(statement(self.engine.dialect, name))

    def _rows_of(self, query: str) -> Iterable[Row]:
        return [tuple(row) for row in self.engine.rows(query)]


def _refuse_young_log(report: Report) -> None:
    """A log that began after the stream lacks what was there before: to repair by it would lose all that."""
    unlogged = report.drift.get("identifier_extra", 0)
    if unlogged > _UNLOGGED and unlogged * 100 > report.compared:
        raise StartRefused(
            f"the event log does not have {unlogged:,} of {report.compared:,} identifiers: it began after "
            "the stream, or lost something. Nothing was repaired. Fill it from the topics' beginning; or "
            "look with --dry-run, and say --trust-log if they are to go"
        )


class _Moved(NamedTuple):
    """An identifier whose entity differs: its id by the log and by the stream, None where it has none, and
    whether one of these ids is an entity's by the other answer as well.
    """

    key: bytes
    expected: str | None
    found: str | None
    is_known: bool

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids that it has."""
        return tuple(name for name in (self.expected, self.found) if name)


def _renamed(moved: Iterable[_Moved]) -> set[tuple[str, ...]]:
    """Pairs of ids that are of the same identifiers."""
    pairs = {one.ids for one in moved if len(one.ids) == 2 and not one.is_known}
    expected, found = Counter(pair[0] for pair in pairs), Counter(pair[1] for pair in pairs)
    return {pair for pair in pairs if expected[pair[0]] == 1 and found[pair[1]] == 1}


def _kind_of(one: _Moved, renamed: set[tuple[str, ...]]) -> Kind:
    if one.found is None:
        return "identifier_missing"
    if one.expected is None:
        return "identifier_extra"
    return "id_differs" if one.ids in renamed else "identifier_elsewhere"


def _ids_of(keys: Iterable[bytes]) -> Iterator[str]:
    """The ids made from keys, of whichever type."""
    for key in keys:
        for entity_type in ENTITY_TYPES:
            yield entity_id(entity_type, key)


class LogInWarehouse:
    """The event log in a warehouse, as `repair` asks it, and what operators said.

    `prefix` begins the names of the tables that are made for that.
    """

    def __init__(self, warehouse: Warehouse, prefix: str = _PREFIX) -> None:
        self._warehouse, self._engine, self._prefix = warehouse, warehouse.engine, prefix

    def reach(self, cut: Cut) -> None:
        """Wait until the log has what the store has read at a cut."""
        self._warehouse.reach(cut)

    def events(self, keys: Collection[bytes]) -> Iterator[Event]:
        """The events of which a participant names one of these identifiers."""
        self._load("wanted", {"identifier_key": "bytes"}, [(key,) for key in sorted(keys)])
        yield from self.chosen("wanted_events")

    def chosen(self, name: str) -> Iterator[Event]:
        """The events of which a statement makes a list."""
        self._engine.execute(self._own(statement(self._engine.dialect, name)))
        yield from self._events(_WANTED)

    def _load(self, name: str, columns: Mapping[str, ColumnType], rows: Iterable[Row]) -> None:
        self._engine.replace(self._prefix + name, columns, rows)

    def _own(self, statement_text: str) -> str:
        return statement_text.replace(_PREFIX, self._prefix)

    def all_events(self) -> Iterator[Event]:
        """All events, some thousand at a time, one partition after the other."""
        for topic, partition, *between in list(self._engine.rows(_STRETCHES)):
            columns: dict[str, ColumnType] = {"topic": "text", "log_partition": "int"}
            ends: dict[str, ColumnType] = {"first_offset": "int", "last_offset": "int"}
            self._load("stretch", {**columns, **ends}, [(topic, partition, *between)])
            yield from self._events(_IN_STRETCH)

    def _events(self, query: str) -> Iterator[Event]:
        rows = {
            table.name: map(tuple, self._engine.rows(self._own(query.format(table=table.name))))
            for table in LOG
            if "event_index" in table.names
        }
        yield from events_in(rows)

    def commands(self, offsets: Mapping[tuple[str, int], int] | None = None) -> list[Command]:
        """The operator events that lie before some offsets, by topic and partition; none: all of them."""
        query = """
            SELECT topic, log_partition, log_offset, kind, entity_type, log_position, operation
            FROM nexus_operator_events
        """
        found = []
        for topic, partition, offset, kind, entity_type, position, text in self._engine.rows(query):
            said = json.loads(text)
            keys = tuple(map(bytes.fromhex, said["keys"]))
            event = EventKey(said["source"], said["event_id"]) if kind == "retract" else None
            is_behind = offsets is not None and offset >= offsets.get((topic, partition), 0)
            if kind == "rules" or not (keys or event) or is_behind:
                continue
            blocked = tuple(map(bytes.fromhex, said.get("blocked", ())))
            found.append(Command(kind, entity_type, bytes(position), keys, blocked, event))
        return found


_STRETCHES: Final = """
WITH numbered AS (
    SELECT
        topic,
        log_partition,
        log_offset,
        ROW_NUMBER() OVER (PARTITION BY topic, log_partition ORDER BY log_offset) AS place
    FROM nexus_events
)

SELECT topic, log_partition, MIN(log_offset) AS first_offset, MAX(log_offset) AS last_offset
FROM numbered
GROUP BY topic, log_partition, place - MOD(place, 20000)
ORDER BY topic, log_partition, first_offset
"""
_IN_STRETCH: Final = """
SELECT said.*
FROM {table} AS said
INNER JOIN nexus_work_stretch AS stretch
    ON said.topic = stretch.topic AND said.log_partition = stretch.log_partition
WHERE said.log_offset BETWEEN stretch.first_offset AND stretch.last_offset
"""
_WANTED: Final = """
SELECT said.*
FROM {table} AS said
INNER JOIN nexus_work_wanted_events AS wanted
    ON
        said.topic = wanted.topic
        AND said.log_partition = wanted.log_partition
        AND said.log_offset = wanted.log_offset
        AND said.event_index = wanted.event_index
"""
