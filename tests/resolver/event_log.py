"""An event log in a warehouse of a test's own, to ask the authoritative resolution about."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import duckdb

from resolver.authoritative import Authoritative, Report
from resolver.facts import Membership
from resolver.profiles import Interval, Origin, Timeline, Trait, Value
from resolver.reference import Answer
from resolver.store import Command
from resolver.words import words
from schemas.events import Event, Message
from schemas.identifiers import Identifier
from schemas.log_rows import LogRows, Rows
from schemas.rules import Limit, Rules
from schemas.tables import FINAL, LOG, RESOLVED, ColumnType
from tests.resolver.histories import KEYRING

_TYPES: Final[Mapping[ColumnType, str]] = {
    "text": "VARCHAR",
    "bytes": "BLOB",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "instant": "TIMESTAMP WITH TIME ZONE",
    "json": "VARCHAR",
}
_MADE_ELSEWHERE: Final = ("nexus_persons", "nexus_groups")
_RESOLVED: Final = """(
    SELECT 'person' AS entity_type, person_id AS entity_id, * FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT 'group' AS entity_type, group_id AS entity_id, * FROM nexus_resolved_group_identifiers
)"""


class DuckDb:
    """DuckDB in memory, as the resolution sees it."""

    dialect = "duckdb"

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")

    def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement).fetchall()

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        declared = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in columns.items())
        self.execute(f"CREATE OR REPLACE TABLE {table} ({declared})")
        self.insert(table, columns, rows)

    def insert(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        values = list(zip(*rows, strict=True))
        if values:
            read = ", ".join(
                f"make_timestamp_ms(unnest(${place}::BIGINT[])) AT TIME ZONE 'UTC'"
                if kind == "instant"
                else f"unnest(${place}::{_TYPES[kind]}[])"
                for place, kind in enumerate(columns.values(), 1)
            )
            self._connection.execute(f"INSERT INTO {table} SELECT {read}", [list(each) for each in values])


class EventLog:
    """A log in a warehouse: takes events and operator events, and has the resolution answer."""

    def __init__(self, rules: Rules, max_recursion: int = 100) -> None:
        self.engine, self.rules = DuckDb(), rules
        self.commands: list[Command] = []
        self.authoritative = Authoritative(self.engine, KEYRING, max_recursion)

    def write(self, events: Iterable[Event], commands: Iterable[Command] = ()) -> None:
        """Put the rows of all events into the log, in the place of those that were there."""
        self.commands = list(commands)
        rows, maker = Rows(), LogRows(KEYRING, words(KEYRING, self.commands).erasures)
        for offset, event in enumerate(events):
            message = Message("t", 0, offset, offset + 1, event.ingested_at_ms, None)
            maker.add_events(rows, message, [event])
        for table in LOG:
            columns = {column.name: column.type for column in table.columns}
            self.engine.replace(table.name, columns, rows.get(table.name, ()))

    def resolve(self) -> Report:
        """Run the authoritative resolution."""
        return self.authoritative.resolve(self.rules, self.commands)

    def entity_of(self) -> dict[Identifier, str]:
        """The entity id of every identifier in the graph."""
        query = f"SELECT entity_type, identifier_type, identifier_value, entity_id FROM {_RESOLVED}"
        return {Identifier(*named): entity_id for *named, entity_id in self.engine.rows(query)}

    def aliases(self) -> dict[str, str]:
        """The entities that answer to ids other than their own."""
        return dict(self.engine.rows("SELECT alias_id, entity_id FROM nexus_entity_aliases"))

    def other_names(self) -> dict[str, str]:
        """The ids made from identifiers, other than their entity's own."""
        query = f"SELECT LEFT(entity_id, 4) || LOWER(HEX(identifier_key)) AS own, entity_id FROM {_RESOLVED}"
        return {own: name for own, name in self.engine.rows(query) if own != name}

    def out_of_the_graph(self) -> dict[bytes, tuple[Limit, bytes] | None]:
        """Who is not in the graph: the limit and what brought one too many; None if blocked."""
        query = """
            SELECT identifier_key, reason, identifier_type, partner_type, most, log_position
            FROM nexus_quarantine
        """
        return {
            key: None if reason == "blocked" else (Limit(*limit), position)
            for key, reason, *limit, position in self.engine.rows(query)
        }

    def traits(self) -> dict[str, dict[str, Trait]]:
        """The traits of every entity that has some."""
        query = """
            SELECT person_id, trait_name, trait_value, EPOCH_MS(occurred_at), source, event_id
            FROM (FROM nexus_resolved_person_traits UNION ALL FROM nexus_resolved_group_traits)
        """
        found: dict[str, dict[str, Trait]] = defaultdict(dict)
        for entity_id, name, value, *origin in self.engine.rows(query):
            found[entity_id][name] = Trait(value.encode(), Origin(*origin))
        return found

    def timelines(self) -> dict[str, dict[str, Timeline]]:
        """The timelines of every entity that has some."""
        query = """
            SELECT
                entity_id, state_name, state_value, state_numeric_value,
                EPOCH_MS(state_entered_at), EPOCH_MS(state_exited_at)
            FROM nexus_states ORDER BY state_entered_at
        """
        found: dict[str, dict[str, Timeline]] = defaultdict(dict)
        for entity_id, name, text, number, *bounds in self.engine.rows(query):
            interval = Interval(Value(text, number), *bounds)
            found[entity_id][name] = (*found[entity_id].get(name, ()), interval)
        return found

    def memberships(self) -> dict[tuple[str, str, str | None], Membership]:
        """Person, group and role: since when and until when."""
        query = """
            SELECT person_id, group_id, role, EPOCH_MS(established_at), EPOCH_MS(ended_at)
            FROM nexus_memberships
        """
        found = self.engine.rows(query)
        return {(person, group, role): Membership(*since) for person, group, role, *since in found}

    def as_declared(self) -> None:
        """Assert that each table has the columns that it is declared with, and one row for each key."""
        for table in (*RESOLVED, *FINAL):
            if table.name in _MADE_ELSEWHERE:
                continue
            columns = dict(
                self.engine.rows(
                    f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table.name}'"
                )
            )
            assert columns == {one.name: _TYPES[one.type] for one in table.columns}, table.name
            key = ", ".join(table.key)
            twice = self.engine.rows(f"SELECT {key} FROM {table.name} GROUP BY ALL HAVING COUNT(*) > 1")
            assert not twice, table.name

    def agrees(self, answer: Answer, now_ms: int) -> None:
        """Assert that the resolution gives this answer."""
        report = self.resolve()
        self.authoritative.publish_identity(report)
        self.authoritative.describe(self.rules, now_ms)
        self.authoritative.publish_profiles()
        assert self.entity_of() == answer.entity_of
        assert self.aliases() == self.other_names()
        out: dict[bytes, tuple[Limit, bytes] | None] = dict.fromkeys(answer.blocked)
        out.update({key: (why.limit, why.position) for key, why in answer.quarantined.items()})
        assert self.out_of_the_graph() == out
        assert report.suspended == answer.suspended
        profiles = answer.profiles.items()
        assert self.traits() == {name: each.traits for name, each in profiles if each.traits}
        assert self.timelines() == {name: each.timelines for name, each in profiles if each.timelines}
        assert self.memberships() == answer.memberships
        self.as_declared()
