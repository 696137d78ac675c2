"""Who comes from dbt-nexus asks as before: the queries of its documentation run, and the page is true."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.decode import decode
from schemas.events import Event, Message
from schemas.rules import Rules
from schemas.tables import tables
from sinks.warehouse.engine import Engine
from tests.resolver.event_log import EventLog

_PAGE: Final = Path(__file__).parents[2] / "docs" / "from-dbt-nexus.md"
_RULES: Final = {
    "states": {
        "billing_lifecycle": {
            "of": "group",
            "values": ["trialing", "active", "cancelled"],
            "events": [
                {"event": "subscription_active", "value": "active"},
                {"event": "subscription_cancelled", "value": "cancelled"},
            ],
        }
    }
}


def _participant(ref: str, **identifiers: str) -> dict[str, Any]:
    named = [{"type": kind, "value": value} for kind, value in identifiers.items()]
    return {"ref": ref, "entity_type": "person" if ref == "p" else "group", "identifiers": named}


_ADA: Final = _participant("p", email="ada@acme.test")
_ACME: Final = _participant("g", domain="acme.test")
_MEMBER: Final = {"person": "p", "group": "g", "role": "owner"}

_STORY: Final[list[dict[str, Any]]] = [
    {
        "source": "gmail",
        "event_name": "email_sent",
        "event_type": "communication",
        "participants": [{**_ADA, "role": "sender", "traits": {"name": "Ada"}}],
    },
    {
        "source": "stripe",
        "event_name": "subscription_active",
        "event_type": "billing",
        "participants": [_ADA, {**_ACME, "traits": {"company_name": "Acme", "name": "Acme"}}],
        "memberships": [_MEMBER],
    },
    {
        "source": "stripe",
        "event_name": "subscription_cancelled",
        "event_type": "billing",
        "participants": [_participant("g", domain="acme.test", group_id="g1")],
    },
    {
        "source": "gmail",
        "event_name": "email_sent",
        "event_type": "communication",
        "participants": [_participant("p", email="bob@b.test", phone="+4930123456")],
    },
]


def _story() -> Iterator[Event]:
    """What happened: a message, a subscription, its end, another message."""
    for number, told in enumerate(_STORY, 1):
        happened = {"event_id": f"e{number}", "occurred_at": f"2026-01-0{number}T00:00:00Z"}
        payload = json.dumps({**told, **happened}).encode()
        yield from decode(Message("t", 0, number, number + 1, 1_770_000_000_000, payload), "event").events


@pytest.fixture
def told(engine: Engine) -> Engine:
    """A warehouse with a short story in it, published."""
    log = EventLog(engine, Rules.from_data(_RULES))
    log.write(_story())
    report = log.authoritative.resolve(log.rules, ())
    log.authoritative.describe(log.rules, 0)
    log.authoritative.publish(report, 0)
    return engine


_TABLES: Final = (
    *("nexus_persons", "nexus_groups", "nexus_events", "nexus_states", "nexus_memberships"),
    *("nexus_person_identifiers", "nexus_group_identifiers", "nexus_person_identifiers_edges"),
    *("nexus_person_participants", "nexus_group_participants", "nexus_entities", "nexus_relationships"),
)
"""Of which its pages say `select * from`."""

_GIVES: Final[dict[str, list[tuple[Any, ...]]]] = {
    "a few columns of persons": [("per_ada", "ada@acme.test", "Ada")],
    "a person by its e-mail": [("Ada",)],
    "how many there are": [(2, 1, 4)],
    "whether resolution worked": [(2, 3)],
    "identifiers of a person": [(2, 2, 2)],
    "events by source": [("gmail", 2), ("stripe", 2)],
    "from when to when": [(3,)],
    "members of groups": [("Ada", "Acme", "owner")],
    "e-mails that several persons have": [],
    "identifiers without a value": [(0,)],
    "events that are there twice": [],
    "the current billing status": [("grp_acme", "cancelled")],
    "a person among entities": [("Ada",)],
    "related entities": [("Ada", "Acme")],
    "e-mails that several entities have": [],
    "e-mails that resolve to several persons": [],
    "resolved identifiers by type": [("email", 2, 2), ("phone", 1, 1)],
    "edges by type": [("domain", "group_id", 1)],
    "an entity's events": [("email_sent",), ("subscription_active",)],
}
"""What each of the queries gives on the story, in any order."""


def test_documented_queries_run(told: Engine) -> None:
    """Each gives what it gives in dbt-nexus, ids aside; and all of each table can be asked for."""
    ids = {"per_ada": _id(told, "person", "ada@acme.test"), "grp_acme": _id(told, "group", "acme.test")}
    asked = dict(_QUERY.findall(Path(__file__).with_name("from_dbt_nexus.sql").read_text()))
    assert asked.keys() == _GIVES.keys()
    for name, query in asked.items():
        expected = Counter(tuple(ids.get(value, value) for value in row) for row in _GIVES[name])
        found = Counter(tuple(row) for row in told.rows(query))
        if name != "edges by type":  # which end is the first is not said
            assert found == expected, name
        assert found.total() == expected.total(), name
    for table in _TABLES:
        assert list(told.rows(f"SELECT * FROM {table}")), table
    (shown,) = re.findall(r"^```sql\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert [tuple(row) for row in told.rows(shown)] == [("Ada", "Acme")]


_QUERY: Final = re.compile(r"^-- ([^\n]+)\n((?:SELECT|WITH)[^;]+);$", re.MULTILINE)


def _id(engine: Engine, entity_type: str, value: str) -> str:
    ((found,),) = engine.rows(
        f"SELECT {entity_type}_id FROM nexus_resolved_{entity_type}_identifiers "
        f"WHERE identifier_value = '{value}'"
    )
    return str(found)


def _promised() -> Iterator[tuple[str, str, str]]:
    """Table, column of dbt-nexus, and what the page says is here."""
    chapters = re.split(r"^### ", _PAGE.read_text(), flags=re.MULTILINE)[1:]
    for chapter in chapters:
        table = chapter.partition("\n")[0]
        if table.startswith("nexus_"):
            for name, here in re.findall(r"^\| `(\w+)` \| (.*) \|$", chapter, re.MULTILINE):
                yield table, name, here


@pytest.mark.parametrize(("table", "column", "here"), list(_promised()))
def test_the_page_says_which_columns_are_here(table: str, column: str, here: str) -> None:
    """A column is called the same if and only if it is there; another name that is given is there."""
    names = tables()[table].names
    assert here.startswith("the same") == (column in names)
    instead = re.match(r"`(\w+)`", here)
    assert instead is None or instead[1] in names


def test_the_page_knows_every_table_of_the_entities() -> None:
    """Each view in dbt-nexus's shape, and the table of states, has a chapter."""
    chapters = {table for table, _, _ in _promised()}
    assert {table.name for table in tables().values() if table.layer == "view"} | {"nexus_states"} <= chapters
