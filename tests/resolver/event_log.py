"""An event log in a warehouse, to ask the authoritative resolution about."""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from resolver.authoritative import Authoritative, Cut, Report
from resolver.facts import Membership
from resolver.profiles import Interval, Origin, Timeline, Trait, Value
from resolver.reference import Answer
from resolver.store import Command
from resolver.words import words
from schemas.events import Event, Message
from schemas.identifiers import ENTITY_TYPES, Identifier
from schemas.log_rows import LogRows, Row, Rows
from schemas.rules import Limit, Rules
from schemas.tables import FINAL, LOG, RESOLVED
from sinks.warehouse.engine import Engine
from tests.resolver.histories import KEYRING

MADE_MS: Final = 1_780_000_000_000
"""When the tables are made."""


class EventLog:
    """A log in a warehouse: takes events and operator events, and has the resolution answer."""

    def __init__(self, engine: Engine, rules: Rules, max_recursion: int = 100) -> None:
        self.engine, self.rules = engine, rules
        self.commands: list[Command] = []
        self.authoritative = Authoritative(engine, KEYRING, max_recursion)

    def write(self, events: Iterable[Event], commands: Iterable[Command] = ()) -> None:
        """Put the rows of all events into the log, in the place of those that were there."""
        self.commands = list(commands)
        rows, maker = Rows(), LogRows(KEYRING, words(KEYRING, self.commands).erasures)
        for offset, event in enumerate(events):
            message = Message("t", 0, offset, offset + 1, event.ingested_at_ms, None)
            maker.add_events(rows, message, [event])
        rows["nexus_operator_events"] = [_row(*one) for one in enumerate(self.commands)]
        for table in LOG:
            columns = {column.name: column.type for column in table.columns}
            self.engine.replace(table.name, columns, rows.get(table.name, ()))

    def resolve(self, cut: Cut | None = None, until_ms: int | None = None) -> Report:
        """Run the authoritative resolution, and make the tables of identity."""
        report = self.authoritative.resolve(self.rules, self.commands, cut, until_ms)
        self.authoritative.publish_identity(report)
        return report

    def entity_of(self) -> dict[Identifier, str]:
        """The entity id of every identifier in the graph."""
        return {
            Identifier(entity_type, *named): name
            for entity_type in ENTITY_TYPES
            for name, *named in self.engine.rows(
                f"SELECT {entity_type}_id, identifier_type, identifier_value "
                f"FROM nexus_resolved_{entity_type}_identifiers"
            )
        }

    def aliases(self) -> dict[str, str]:
        """The entities that answer to ids other than their own."""
        return dict(self.engine.rows("SELECT alias_id, entity_id FROM nexus_entity_aliases"))

    def other_names(self) -> dict[str, str]:
        """The ids made from identifiers, other than their entity's own."""
        found = {
            name[:4] + key.hex(): name
            for entity_type in ENTITY_TYPES
            for name, key in self.engine.rows(
                f"SELECT {entity_type}_id, identifier_key FROM nexus_resolved_{entity_type}_identifiers"
            )
        }
        return {alias: name for alias, name in found.items() if alias != name}

    def out_of_the_graph(self) -> dict[bytes, tuple[Limit, bytes] | None]:
        """Who is not in the graph: the limit and what brought one too many; None if blocked."""
        query = """
            SELECT identifier_key, reason, log_position, identifier_type, partner_type, most
            FROM nexus_quarantine
        """
        return {
            key: None if reason == "blocked" else (Limit(*limit), position)
            for key, reason, position, *limit in self.engine.rows(query)
        }

    def traits(self) -> dict[str, dict[str, Trait]]:
        """The traits of every entity that has some."""
        found: dict[str, dict[str, Trait]] = defaultdict(dict)
        for entity_type in ENTITY_TYPES:
            query = f"""
                SELECT {entity_type}_id, trait_name, trait_value, occurred_at, source, event_id
                FROM nexus_resolved_{entity_type}_traits
            """
            for name, trait, value, occurred_at, *event in self.engine.rows(query):
                found[name][trait] = Trait(value.encode(), Origin(ms_of(occurred_at), *event))
        return found

    def timelines(self) -> dict[str, dict[str, Timeline]]:
        """The timelines of every entity that has some."""
        query = """
            SELECT
                entity_id, state_name, state_value, state_numeric_value,
                state_entered_at, state_exited_at, is_current
            FROM nexus_states ORDER BY state_entered_at
        """
        found: dict[str, dict[str, Timeline]] = defaultdict(dict)
        for name, state, text, number, entered_at, exited_at, is_current in self.engine.rows(query):
            interval = Interval(Value(text, number), ms_of(entered_at), _until(exited_at, is_current))
            found[name][state] = (*found[name].get(state, ()), interval)
        return found

    def memberships(self) -> dict[tuple[str, str, str | None], Membership]:
        """Person, group and role: since when and until when."""
        query = "SELECT person_id, group_id, role, established_at, ended_at, is_active FROM nexus_memberships"
        return {
            (person, group, role): Membership(ms_of(since), _until(until, is_active))
            for person, group, role, since, until, is_active in self.engine.rows(query)
        }

    def agrees(
        self, answer: Answer, now_ms: int, cut: Cut | None = None, until_ms: int | None = None
    ) -> None:
        """Assert that the resolution gives this answer, in the tables as they are declared."""
        report = self.authoritative.resolve(self.rules, self.commands, cut, until_ms)
        self.authoritative.describe(self.rules, now_ms)
        self.authoritative.publish(report, MADE_MS)
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

    def as_declared(self) -> None:
        """Assert that each table has the columns that it is declared with, and one row for each key."""
        made = (*RESOLVED, *FINAL)
        self.engine.create(made)  # refuses a column of another type
        for table in made:
            key = ", ".join(table.key)
            twice = f"SELECT {key} FROM {table.name} GROUP BY {key} HAVING COUNT(*) > 1"
            assert not list(self.engine.rows(twice)), table.name


def ms_of(instant: datetime) -> int:
    """An instant in ms since 1970."""
    return round((instant - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000)


def _until(instant: datetime | None, is_open: bool) -> int | None:
    """When something ended. Snowflake's emulator sends 1970 for an instant that is missing."""
    return None if is_open or instant is None else ms_of(instant)


def _row(offset: int, one: Command) -> Row:
    event = {} if one.event is None else one.event._asdict()
    keys = {"keys": [key.hex() for key in one.keys], "blocked": [key.hex() for key in one.blocked]}
    operation = {**keys, **event}
    said = (one.kind, one.entity_type, json.dumps(operation), "who", None)
    return ("control", 0, offset, int.from_bytes(one.position[:6], "big"), one.position, f"{offset}", *said)
