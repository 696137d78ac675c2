"""The rows of the event log say what the reference knows: no more, no less."""

from random import Random
from typing import Any

import pytest

from resolver.facts import Affiliation, Facts, Mention
from resolver.profiles import Origin, TraitFact
from schemas.erasures import Erasures
from schemas.events import StateFact
from schemas.identifiers import ENTITY_TYPES, EntityType, Identifier, Keyring
from schemas.log_rows import LogRows, Rows
from schemas.tables import tables
from tests.resolver.profile_histories import an_event
from tests.schemas.messages import message

KEYRING = Keyring("acme")


def dicts(rows: Rows, table: str) -> list[dict[str, Any]]:
    """The rows of a table by the names of its columns."""
    return [dict(zip(tables()[table].names, row, strict=True)) for row in rows.get(table, ())]


def place(row: dict[str, Any], index: str = "participant_index") -> tuple[Any, ...]:
    """Which participant a row is about."""
    return (row["topic"], row["log_partition"], row["log_offset"], row["event_index"], row[index])


def facts_of(rows: Rows) -> Facts:
    """What the rows say, as the reference keeps it."""
    facts = Facts()
    mentions = {
        at: one
        for entity_type in ENTITY_TYPES
        for at, one in _mentions(dicts(rows, f"nexus_{entity_type}_identifiers"), entity_type).items()
    }
    facts.mentions.update(mentions.values())
    for entity_type in ENTITY_TYPES:
        for row in dicts(rows, f"nexus_{entity_type}_traits"):
            one = mentions[place(row)]
            facts.traits.add((one, TraitFact(row["trait_name"], one.origin, row["trait_value"].encode())))
    for row in dicts(rows, "nexus_state_facts"):
        said = StateFact("", row["state_name"], row["state_value"], row["state_numeric_value"])
        facts.states.add((mentions[place(row)], said))
    for row in dicts(rows, "nexus_event_measurements"):
        for at, one in mentions.items():
            if at[:4] == place(row, "measurement_index")[:4]:
                facts.measurements.add((one, row["measurement_name"], row["value"]))
    for row in dicts(rows, "nexus_membership_identifiers"):
        person, group = (mentions[place(row, f"{side}_index")] for side in ENTITY_TYPES)
        facts.affiliations.add(Affiliation(person, group, row["role"], row["ended"]))
    return facts


def _mentions(rows: list[dict[str, Any]], entity_type: EntityType) -> dict[tuple[Any, ...], Mention]:
    named: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        named.setdefault(place(row), []).append(row)
    return {at: _mention(found, entity_type) for at, found in named.items()}


def _mention(rows: list[dict[str, Any]], entity_type: EntityType) -> Mention:
    first = rows[0]
    identifiers = [Identifier(entity_type, row["identifier_type"], row["identifier_value"]) for row in rows]
    assert [row["identifier_key"] for row in rows] == [KEYRING.key(one) for one in identifiers]
    assert len({row["set_key"] for row in rows}) == 1
    origin = Origin(first["occurred_at"], first["source"], first["event_id"])
    return Mention(
        frozenset(identifiers),
        first["log_position"],
        first["ingested_at"],
        origin,
        first["event_name"],
        entity_type,
        first["role"],
    )


def refless(facts: Facts) -> Facts:
    """The same without the refs, which mean something within one event only."""
    states = {
        (mention, StateFact("", one.state_name, one.state_value, one.state_numeric_value))
        for mention, one in facts.states
    }
    return Facts(facts.mentions, facts.traits, states, facts.measurements, facts.affiliations)


@pytest.mark.parametrize("seed", range(50))
def test_rows_say_what_the_reference_knows(seed: int) -> None:
    """Of random events the rows give the very facts that the reference keeps. The seed is the parameter."""
    draw, rows, expected = Random(seed), Rows(), Facts()
    maker = LogRows(KEYRING, Erasures(KEYRING))
    for offset in range(40):
        events = [an_event(draw) for _ in range(draw.choice([1, 1, 2]))]
        maker.add_events(rows, message(b"", offset=offset), events)
        for event in events:
            expected.add(event)
    assert facts_of(rows) == refless(expected)


def test_sets_are_told_apart_by_their_keys() -> None:
    """Two participants have the same set key exactly if they have the same identifiers."""
    draw, rows = Random(7), Rows()
    maker = LogRows(KEYRING, Erasures(KEYRING))
    for offset in range(500):
        maker.add_events(rows, message(b"", offset=offset), [an_event(draw)])
    named: dict[tuple[Any, ...], set[bytes]] = {}
    whole: dict[tuple[Any, ...], bytes] = {}
    for entity_type in ENTITY_TYPES:
        for row in dicts(rows, f"nexus_{entity_type}_identifiers"):
            named.setdefault(place(row), set()).add(row["identifier_key"])
            whole[place(row)] = row["set_key"]
    pairs = {(frozenset(keys), whole[at]) for at, keys in named.items()}
    assert len(pairs) == len({keys for keys, _ in pairs}) == len({key for _, key in pairs})
