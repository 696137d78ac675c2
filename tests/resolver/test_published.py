"""The tables that people read: they stand as declared, change as a whole, and have columns for traits."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, Final

import pytest

from resolver.trait_columns import MOST, chosen, column_name, widened
from schemas.events import Event, Json
from schemas.rules import Rules
from schemas.tables import FINAL, LOG, RESOLVED, VIEWS, quoted
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from tests.resolver.event_log import EventLog
from tests.resolver.histories import event
from tests.sinks.warehouse.reading import required

NOW_MS: Final = 10_000


def said_of(number: int, value: str, traits: Mapping[str, Json]) -> Event:
    """An event that says traits of a person."""
    one = event(number, (f"user_id={value}", f"email={value}@b.test"))
    (participant,) = one.participants
    return replace(one, participants=(replace(participant, traits=dict(traits)),))


def publish(log: EventLog, *events: Event) -> None:
    """Let the answer to these events be seen."""
    log.write(events)
    report = log.authoritative.resolve(log.rules, ())
    log.authoritative.describe(log.rules, NOW_MS)
    log.authoritative.publish(report, NOW_MS)


def persons(engine: Engine, *columns: str) -> dict[str, tuple[Any, ...]]:
    """Columns of all persons, by their user id."""
    listed = ", ".join(quoted(engine.dialect, name) for name in columns)
    return {who: tuple(row) for who, *row in engine.rows(f"SELECT user_id, {listed} FROM nexus_persons")}


def test_what_stands_after_a_publication_is_what_is_declared(engine: Engine) -> None:
    """Tables have the columns of their declaration, and no other must have a value; views have theirs too."""
    log = EventLog(engine, Rules())
    publish(log, said_of(1, "a", {"plan": "x"}))
    publish(log, said_of(1, "a", {"plan": "y"}))
    more = {"plan", "email", "user_id"}
    for table in (*RESOLVED, *FINAL):
        wide = widened(table, more if table.name == "nexus_persons" else ())
        assert required(engine, table.name) == {one.name: one.is_required for one in wide.columns}, table.name
    for table in VIEWS:
        assert set(table.names) <= set(engine.columns(table.name)) <= {*table.names, *more}, table.name


def test_readers_see_one_answer_or_the_other(tmp_path: Path) -> None:
    """While answers take each other's place, no question over several tables finds parts of both."""
    engine = DuckDB(tmp_path / "warehouse.duckdb")
    engine.create(LOG)
    log = EventLog(engine, Rules())
    few = [said_of(n, f"a{n}", {"plan": "x"}) for n in range(3)]
    many = [said_of(n, f"b{n}", {"plan": "y"}) for n in range(100)]
    publish(log, *few)
    seen: list[tuple[int, ...]] = []
    is_over = Flag()

    def read() -> None:
        with engine._connection.cursor() as cursor:
            while not is_over.is_set():
                seen.append(cursor.execute(_COUNTS).fetchone() or ())

    reader = Thread(target=read)
    reader.start()
    for events, _ in zip(cycle([many, few]), range(4), strict=False):
        publish(log, *events)
    is_over.set()
    reader.join()
    assert set(seen) == {(3, 3, 6, 3), (100, 100, 200, 100)}
    engine.close()


_COUNTS: Final = """
    SELECT
        (SELECT COUNT(*) FROM nexus_persons),
        (SELECT COUNT(*) FROM nexus_person_participants),
        (SELECT COUNT(*) FROM nexus_resolved_person_identifiers),
        (SELECT COUNT(*) FROM nexus_entities WHERE plan IN ('x', 'y'))
"""


def test_each_trait_has_a_column(engine: Engine) -> None:
    """Under its name as far as that can be one: lower case, reserved words and marks included."""
    traits: dict[str, Json] = {
        "name": 'Ada "L"\n\\',
        "Postal code": "N1",
        "order": 7,
        "2fa": True,
        "traits": "said",
        "\N{CJK UNIFIED IDEOGRAPH-4EF7}": "no column",
        "address": {"b": [1.5], "a": "x"},
        "it's": None,
    }
    publish(EventLog(engine, Rules()), said_of(1, "a", traits))
    columns = ("name", "postal_code", "order", "trait_2fa", "trait_traits", "address")
    assert persons(engine, *columns)["a"] == (
        'Ada "L"\n\\', "N1", "7", "true", "said", '{"a":"x","b":[1.5]}',
    )  # fmt: skip
    (given,) = persons(engine, "traits")["a"]
    assert '"\N{CJK UNIFIED IDEOGRAPH-4EF7}":"no column"' in given
    assert "it_s" not in engine.columns("nexus_persons")


def test_traits_that_share_a_column_take_turns(duckdb: Engine) -> None:
    """Of names that come to one column the trait that was said last counts."""
    log = EventLog(duckdb, Rules())
    publish(
        log, said_of(1, "a", {"Plan": "old"}), said_of(2, "a", {"plan": "new"}), said_of(3, "b", {"PLAN": 1})
    )
    assert persons(duckdb, "plan") == {"a": ("new",), "b": ("1",)}


def test_an_identifier_stands_where_no_trait_does(duckdb: Engine) -> None:
    """The column of a type has the oldest such identifier; a trait of that name goes before it."""
    log = EventLog(duckdb, Rules())
    publish(
        log,
        said_of(2, "a", {"email": "as.told@b.test"}),
        event(1, ("user_id=b", "email=first@b.test")),
        event(3, ("user_id=b", "email=early@b.test")),
    )
    assert persons(duckdb, "email") == {"a": ("as.told@b.test",), "b": ("first@b.test",)}


def test_columns_come_and_stay(engine: Engine) -> None:
    """A new trait brings its column; one that nobody has any more keeps it, with nothing in it."""
    log = EventLog(engine, Rules())
    publish(log, said_of(1, "a", {"plan": "x"}))
    publish(log, said_of(1, "a", {"seats": 3}))
    assert persons(engine, "plan", "seats") == {"a": (None, "3")}
    assert list(engine.rows("SELECT plan, seats FROM nexus_entities")) == [(None, "3")]


def test_columns_are_not_without_number() -> None:
    """Beyond the most there may be, the traits that most entities have get one; those that are there stay."""
    traits = [(f"t{number:04}", number) for number in range(2 * MOST)]
    names = chosen(["plan"], ["email"], traits)
    assert len(names) == MOST
    assert names[:3] == ("plan", "email", f"t{2 * MOST - 1:04}")
    everywhere = tuple(f"c{number}" for number in range(MOST + 1))
    assert chosen(everywhere, ["email"], traits) == everywhere


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Company Name", "company_name"),
        ("a.b--c", "a_b_c"),
        ("_id", "trait__id"),
        ("person_id", "trait_person_id"),
        ("entity_type", "trait_entity_type"),
        ("'; DROP TABLE nexus_persons; --", "trait__drop_table_nexus_persons_"),
        ("---", None),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_of_columns(name: str, column: str | None) -> None:
    """What is left of a name is safe in any statement, and never the name of another column."""
    assert column_name(name) == column
