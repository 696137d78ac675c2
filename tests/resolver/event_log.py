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
from schemas.rules import Rules
from schemas.tables import LOG, ColumnType
from tests.resolver.histories import KEYRING

_TYPES: Final[Mapping[ColumnType, str]] = {
    "text": "VARCHAR",
    "bytes": "BLOB",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "instant": "TIMESTAMP",
    "json": "VARCHAR",
}


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
                f"make_timestamp_ms(unnest(${place}::BIGINT[]))"
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
        """The entity id of every identifier, as the resolution has it."""
        query = """
            SELECT i.entity_type, i.identifier_type, i.identifier_value, e.entity_id
            FROM nexus_work_components c JOIN nexus_work_entities e USING (component)
            JOIN nexus_work_identifiers i USING (node)
        """
        return {Identifier(*named): entity_id for *named, entity_id in self.engine.rows(query)}

    def out_of_the_graph(self) -> dict[bytes, tuple[int, bytes] | None]:
        """Who is not in the graph: the place of the limit and what brought one too many; None if blocked."""
        query = """
            SELECT i.identifier_key, q.limit_index, MIN(l.first_position)
            FROM nexus_work_guarded g JOIN nexus_work_identifiers i USING (node)
            LEFT JOIN nexus_work_quarantined q USING (node) LEFT JOIN nexus_work_links l ON q.age = l.age
            GROUP BY ALL
        """
        found = self.engine.rows(query)
        return {key: None if place is None else (place, position) for key, place, position in found}

    def traits(self) -> dict[str, dict[str, Trait]]:
        """The traits of every entity that has some."""
        query = """
            SELECT e.entity_id, t.trait_name, t.trait_value, EPOCH_MS(t.occurred_at), t.source, t.event_id
            FROM nexus_work_traits t JOIN nexus_work_entities e ON t.entity = e.senior
        """
        found: dict[str, dict[str, Trait]] = defaultdict(dict)
        for entity_id, name, value, *origin in self.engine.rows(query):
            found[entity_id][name] = Trait(value.encode(), Origin(*origin))
        return found

    def timelines(self) -> dict[str, dict[str, Timeline]]:
        """The timelines of every entity that has some."""
        query = """
            SELECT e.entity_id, s.state_name, s.state_value, s.state_numeric_value, s.entered_ms, s.exited_ms
            FROM nexus_work_states s JOIN nexus_work_entities e ON s.entity = e.senior ORDER BY s.entered_ms
        """
        found: dict[str, dict[str, Timeline]] = defaultdict(dict)
        for entity_id, name, text, number, *bounds in self.engine.rows(query):
            interval = Interval(Value(text, number), *bounds)
            found[entity_id][name] = (*found[entity_id].get(name, ()), interval)
        return found

    def memberships(self) -> dict[tuple[str, str, str | None], Membership]:
        """Person, group and role: since when and until when."""
        query = """
            SELECT p.entity_id, g.entity_id, m.role, EPOCH_MS(m.established_at), EPOCH_MS(m.ended_at)
            FROM nexus_work_memberships m
            JOIN nexus_work_entities p ON m.person = p.senior JOIN nexus_work_entities g ON m.company = g.senior
        """
        return {
            (person, group, role): Membership(*since)
            for person, group, role, *since in self.engine.rows(query)
        }

    def agrees(self, answer: Answer, now_ms: int) -> None:
        """Assert that the resolution gives this answer."""
        report = self.resolve()
        self.authoritative.describe(self.rules, now_ms)
        assert self.entity_of() == answer.entity_of
        out: dict[bytes, tuple[int, bytes] | None] = dict.fromkeys(answer.blocked)
        for key, why in answer.quarantined.items():
            out[key] = self.rules.limits.index(why.limit), why.position
        assert self.out_of_the_graph() == out
        assert report.suspended == answer.suspended
        profiles = answer.profiles.items()
        assert self.traits() == {name: each.traits for name, each in profiles if each.traits}
        assert self.timelines() == {name: each.timelines for name, each in profiles if each.timelines}
        assert self.memberships() == answer.memberships
