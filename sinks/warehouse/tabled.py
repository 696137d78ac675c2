"""The event log in the tables of a warehouse: BigQuery, Snowflake, or whatever else is an Engine.

One table more than `schemas.tables` declares says how far the log is: `nexus_event_log`, of one row. A load
is one transaction. It begins by moving that row on, from the number that it was read under, and signs it;
rows come and go only where the signature is there. So of two loads that were made for the same row one
counts, whichever processes send them, and a load whose answer was lost is recognised by the offsets.

Who has the log is written into the row, too, with the instant until when, by the warehouse's clock. Each load
puts the instant off. It keeps two archives from doing the same work; that they do no harm does not rest on
it.

An erasure is carried out as a person would: read the rows that it concerns, work out what is left of them
(`schemas.erased_rows`), and put that in their place, in the transaction of the load that brings it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from schemas.erased_rows import IDENTIFIERS, TELLING, Ended, without_erased
from schemas.erasures import Erasures
from schemas.errors import NexusError, StartRefused, TerminalError, TransientError
from schemas.identifiers import Keyring
from schemas.log_rows import Row, Rows, add_transition, milliseconds
from schemas.tables import LOG, ColumnType, Table, tables
from schemas.transitions import Change, EntityErased, from_json
from sinks.warehouse.arrow import write_parquet
from sinks.warehouse.engine import Condition, Dialect, Engine, Parameters
from sinks.warehouse.promise import Load, Standing, standing_of
from sinks.warehouse.statements import TYPES, keys_of

_COLUMNS: Final[Mapping[str, ColumnType]] = {
    "namespace": "text",
    "load_number": "int",
    "load_id": "text",
    "offsets": "json",
    "topics": "json",
    "holder": "text",
    "held_until_ms": "int",
}
_CLOCK: Final[Mapping[Dialect, str]] = {
    "bigquery": "UNIX_MILLIS(CURRENT_TIMESTAMP())",
    "duckdb": "epoch_ms(now())",
    "snowflake": "DATE_PART(EPOCH_MILLISECOND, CURRENT_TIMESTAMP())",
}
_HEX: Final[Mapping[Dialect, str]] = {
    "bigquery": "TO_HEX(identifier_key)",
    "duckdb": "LOWER(HEX(identifier_key))",
    "snowflake": "LOWER(HEX_ENCODE(identifier_key))",
}
_LEASE_S: Final = 240.0
_KEYS_AT_ONCE: Final = 500
_EVENT: Final = ("topic", "log_partition", "log_offset", "event_index")

HOLDS: Final = "EXISTS (SELECT 1 FROM nexus_event_log WHERE load_id = $load)"
RELEASE: Final = "UPDATE nexus_event_log SET holder = '', held_until_ms = 0 WHERE holder = $holder"
ERASURES: Final = "SELECT log_position, operation FROM nexus_operator_events WHERE kind = 'erase'"


def make(dialect: Dialect) -> str:
    """The row that says how far the log is, unless there is one: table and row come into being together."""
    empty = {"text": "''", "json": "'{}'", "int": "0"}
    columns = ",\n".join(
        f"    CAST({empty[kind]} AS {TYPES[dialect][kind]}) AS {name}" for name, kind in _COLUMNS.items()
    )
    return f"CREATE TABLE IF NOT EXISTS nexus_event_log AS\nSELECT\n{columns}"


def look(dialect: Dialect) -> str:
    """The row as it is, and whether somebody has the log now."""
    return f"SELECT {', '.join(_COLUMNS)}, held_until_ms > {_CLOCK[dialect]} AS is_held FROM nexus_event_log"


def take(dialect: Dialect) -> str:
    """Take hold of a log that nobody has, or has no more; or hold it longer."""
    return f"""UPDATE nexus_event_log
SET namespace = $namespace, holder = $holder, held_until_ms = {_CLOCK[dialect]} + $lease_ms
WHERE holder = $holder OR held_until_ms <= {_CLOCK[dialect]}"""


def move(dialect: Dialect) -> str:
    """What a load begins with."""
    return f"""UPDATE nexus_event_log
SET
    load_number = load_number + 1,
    load_id = $load,
    offsets = $offsets,
    topics = $topics,
    held_until_ms = {_CLOCK[dialect]} + $lease_ms
WHERE load_number = $number AND holder = $holder"""


@dataclass(frozen=True, slots=True)
class _Head:
    """The row, as it was read."""

    namespace: str
    number: int
    load_id: str
    offsets: Mapping[tuple[str, int], int]
    topics: Mapping[str, str]
    holder: str
    is_held: bool

    @classmethod
    def read(cls, engine: Engine, wanted: str) -> _Head:
        """As it is now. Raises StartRefused where it is not of the namespace that is wanted."""
        ((namespace, number, load_id, offsets, topics, holder, _, is_held),) = engine.rows(
            look(engine.dialect)
        )
        places = {
            (topic, int(partition)): offset
            for topic, of_topic in json.loads(offsets).items()
            for partition, offset in of_topic.items()
        }
        if namespace not in ("", wanted):
            raise StartRefused(
                f"the warehouse holds the event log of namespace {namespace}: give namespace {wanted} a "
                "dataset or schema of its own in the settings"
            )
        return cls(namespace, number, load_id, places, json.loads(topics), holder, is_held)

    def after(self, load: Load) -> Parameters:
        """Offsets and topics as they are after a load, as they are written."""
        places: dict[str, dict[int, int]] = defaultdict(dict)
        moved = {(step.topic, step.partition): step.next for step in load.steps}
        for (topic, partition), offset in {**self.offsets, **moved}.items():
            places[topic][partition] = offset
        return {"offsets": json.dumps(places), "topics": json.dumps({**self.topics, **load.topics})}


def begin(engine: Engine) -> None:
    """Make what says how far the log is, if that is missing."""
    engine.create(())
    engine.execute(make(engine.dialect))


def offsets_in(engine: Engine, namespace: str) -> Mapping[tuple[str, int], int]:
    """How far the log of a namespace is, by topic and partition, where `begin` was called."""
    return _Head.read(engine, namespace).offsets


class TabledEventLog:
    """The event log of a namespace in a warehouse. See the module, and `EventLog` for the promise.

    `connect` makes a connection when one is needed, and again after one has failed. `step` is told of each
    point at which a process may be killed between two writes, for the chaos suite.
    """

    def __init__(
        self,
        connect: Callable[[], Engine],
        keyring: Keyring,
        lease_s: float = _LEASE_S,
        step: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self._connect, self._keyring, self._step = connect, keyring, step
        self._lease_s, self._holder = lease_s, uuid.uuid4().hex
        self._engine: Engine | None = None
        self._head: _Head | None = None
        self._is_made = self._had_it = False
        self._next_look = 0.0

    # where it stands

    def open(self) -> Standing | None:
        """Make what is missing, and take hold of the log. One that another process has is looked at again
        only after a while, since to ask a warehouse costs.
        """
        if time.monotonic() < self._next_look:
            return None
        with self._connected() as engine:
            if not self._is_made:
                engine.create(LOG)
                self._is_made = True
            head = _Head.read(engine, self._namespace)
            if head.holder == self._holder or not head.is_held:
                engine.execute(take(engine.dialect), {"namespace": self._namespace, **self._lease})
                head = _Head.read(engine, self._namespace)
            if head.holder != self._holder:
                self._next_look = time.monotonic() + min(self._lease_s / 4, 30.0)
                return None
            self._head, self._had_it = head, True
            ended = tuple(one for one in _changes(engine, {"entity_erased"}) if isinstance(one, EntityErased))
            return Standing(head.offsets, head.topics, self._erasures(engine).positions, ended)

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """As they are in the warehouse now. A log that nobody began is at no offset."""
        with self._connected() as engine:
            return offsets_in(engine, self._namespace)

    @property
    def _namespace(self) -> str:
        return self._keyring.namespace

    @property
    def _lease(self) -> Parameters:
        return {"holder": self._holder, "lease_ms": int(self._lease_s * 1000)}

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Engine]:
        """The connection. One that failed is not used again: with it goes what it had left undone, and how
        far the log is has to be read anew.
        """
        try:
            if self._engine is None:
                self._engine = self._connect()
                begin(self._engine)
            yield self._engine
        except TransientError:
            self._head = None
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with contextlib.suppress(NexusError):
                engine.close()

    def _erasures(self, engine: Engine) -> Erasures:
        erasures = Erasures(self._keyring)
        for position, text in engine.rows(ERASURES):
            erasures.learn(map(bytes.fromhex, json.loads(text)["keys"]), position)
        return erasures

    # a load

    def load(self, load: Load) -> bool:
        """Move the row on and load, in one transaction; then see whether it was this load that did."""
        with self._connected() as engine:
            head = self._head = self._head or _Head.read(engine, self._namespace)
            is_in = standing_of(load, head.offsets)
            if is_in is not None or head.holder != self._holder:
                return bool(is_in)
            signature = uuid.uuid4().hex
            try:
                self._load(engine, head, load, signature)
            except TerminalError:
                if _Head.read(engine, self._namespace).number == head.number:
                    raise  # else somebody else made the same load meanwhile, and cleared it away
            head = self._head = _Head.read(engine, self._namespace)
            return head.load_id == signature or bool(standing_of(load, head.offsets))

    def _load(self, engine: Engine, head: _Head, load: Load, signature: str) -> None:
        gone, come = self._replaced(engine, load)
        moved: Parameters = {**head.after(load), **self._lease, "number": head.number, "load": signature}
        condition = Condition(move(engine.dialect), HOLDS, moved)
        with TemporaryDirectory(prefix="nexus-") as place:
            folder = Path(place)
            added = {name: [*load.rows.get(name, ()), *come.get(name, ())] for name in tables()}
            files = {table: _written(folder, table, rows) for table, rows in _of_tables(added)}
            going = {table: _keys_written(folder, table, rows) for table, rows in _of_tables(gone)}
            self._step("written")
            engine.load(_load_id(load, (*files.values(), *going.values())), files, going, condition)
            self._step("loaded")

    def _replaced(self, engine: Engine, load: Load) -> tuple[Rows, Rows]:
        """Rows that are to go by the load's erasures, and those that come in their place."""
        gone, come = Rows(), Rows()
        if not load.erased and not load.ended:
            return gone, come
        erasures = self._erasures(engine)
        erasures.update(load.erased)
        before = _concerned(engine, load.erased.keys()) if load.erased else Rows()
        after = without_erased(before, erasures)
        for name in before:
            was, is_now = set(before[name]), set(after[name])
            gone[name] = [row for row in before[name] if row not in is_now]
            come[name] = [row for row in after[name] if row not in was]
        if load.ended:
            ended = [Ended.of(erasures, one, _changes(engine, TELLING)) for one in load.ended]
            for change in _changes(engine):
                left = change
                for one in ended:
                    left = one.redacted(left)
                if left is not change:
                    add_transition(gone, change)
                    add_transition(come, left)
        return gone, come

    def tidy(self) -> None:
        """Nothing: the warehouse does it."""

    def close(self) -> None:
        """Let another process have the log."""
        if self._engine is not None and self._had_it:
            with contextlib.suppress(NexusError):  # then it is free when the lease has run out
                self._engine.execute(RELEASE, {"holder": self._holder})
        self._head = None
        self._disconnect()


def _concerned(engine: Engine, keys: Collection[bytes]) -> Rows:
    """The rows of events that name one of these identifiers, and the operator events."""
    found = Rows({"nexus_operator_events": list(stored_rows(engine, tables()["nexus_operator_events"]))})
    wanted, named = sorted(keys), dict[str, dict[Row, None]]()
    for start in range(0, len(wanted), _KEYS_AT_ONCE):
        given = {f"key_{n}": key.hex() for n, key in enumerate(wanted[start : start + _KEYS_AT_ONCE])}
        for table in LOG:
            if "event_index" in table.names:
                rows = stored_rows(engine, table, naming(engine.dialect, len(given)), given)
                named.setdefault(table.name, {}).update(dict.fromkeys(rows))
    return found | {name: list(rows) for name, rows in named.items()}


def naming(dialect: Dialect, count: int) -> str:
    """What picks, of a table named `said`, the rows of events that name one of so many identifiers."""
    keys = ", ".join(f"$key_{n}" for n in range(count))
    event = ", ".join(_EVENT)
    events = "\n        UNION ALL\n        ".join(
        f"SELECT {event} FROM {name} WHERE {_HEX[dialect]} IN ({keys})" for name in IDENTIFIERS
    )
    same = " AND ".join(f"said.{name} = named.{name}" for name in _EVENT)
    return f"""
INNER JOIN (
    SELECT DISTINCT {event}
    FROM (
        {events}
    ) AS naming
) AS named
ON {same}"""


def stored_rows(
    engine: Engine, table: Table, which: str = "", parameters: Parameters | None = None
) -> Iterator[Row]:
    """Rows of a table, as they are made: with instants in milliseconds."""
    columns = ", ".join(f"said.{name}" for name in table.names)
    for row in engine.rows(f"SELECT {columns} FROM {table.name} AS said{which}", parameters):
        yield tuple(milliseconds(value) if isinstance(value, datetime) else value for value in row)


def _changes(engine: Engine, kinds: Collection[str] = ()) -> Iterator[Change]:
    """The transitions of these kinds; of all, where none is named."""
    listed = ", ".join(f"'{kind}'" for kind in sorted(kinds))
    only = f" WHERE transition IN ({listed})" if kinds else ""
    for (text,) in engine.rows(f"SELECT message FROM nexus_transitions{only}"):
        change = from_json(text.encode())
        assert isinstance(change, Change), "only changes are archived"
        yield change


def _of_tables(rows: Rows) -> Iterator[tuple[Table, list[Row]]]:
    """The tables that have rows."""
    return ((tables()[name], listed) for name, listed in rows.items() if listed)


def _written(folder: Path, table: Table, rows: list[Row]) -> Path:
    file = folder / f"{table.name}.parquet"
    write_parquet(file, {column.name: column.type for column in table.columns}, rows)
    return file


def _keys_written(folder: Path, table: Table, rows: list[Row]) -> Path:
    keys = keys_of(table)
    places = [table.place(name) for name in keys.names]
    file = folder / f"{table.name}-gone.parquet"
    columns = {column.name: column.type for column in keys.columns}
    write_parquet(file, columns, [tuple(row[place] for place in places) for row in rows])
    return file


def _load_id(load: Load, files: Iterable[Path]) -> str:
    """The same for the same load, whoever sends it again."""
    digest = hashlib.blake2b(repr(load.steps).encode(), digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
