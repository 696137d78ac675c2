"""Rows that were in the log before an erasure came are what they would be had it been known first."""

from random import Random

import pytest

from schemas.erased_rows import Ended, redacted_rows, without_erased
from schemas.erasures import Erasures
from schemas.events import Event, log_position
from schemas.identifiers import entity_id
from schemas.log_rows import LogRows, Rows
from schemas.operations import Operation
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    EntityErased,
    IdentifierAdded,
    NamedIdentifier,
    TraitChanged,
)
from tests.resolver.profile_histories import an_event
from tests.schemas.messages import NOW_MS, message
from tests.schemas.test_log_rows import ADA, KEYRING, cells, control, erased, fit
from tests.sinks.warehouse.reading import in_order

BO = entity_id("person", b"b" * 16)
CY = entity_id("person", b"c" * 16)
ADA_ID = entity_id("person", KEYRING.key(ADA))


def rows_of(events: list[Event], erasures: Erasures) -> Rows:
    """The rows of events, each in a message of its own."""
    rows: Rows = {}
    for offset, event in enumerate(events):
        LogRows(KEYRING, erasures).add_events(rows, message(b"", offset=offset), [event])
    return rows


@pytest.mark.parametrize("seed", range(200))
def test_when_an_erasure_comes_does_not_matter(seed: int) -> None:
    """However many erasures come after the rows, one by one, the log is what it would have been with them.

    The seed is the test's parameter.
    """
    draw = Random(seed)
    events = [an_event(draw) for _ in range(12)]
    keys = sorted(
        {KEYRING.key(one) for event in events for part in event.participants for one in part.identifiers}
    )
    all_of_them, rows = Erasures(KEYRING), rows_of(events, Erasures(KEYRING))
    positions = sorted(
        log_position(1_000_000 + draw.randrange(12_000), "nexus-operator", "") for _ in range(3)
    )
    for position in positions:
        victim = draw.choice(keys)
        living = all_of_them.living(victim, position) or victim
        all_of_them.learn([living], position)
        rows = without_erased(rows, all_of_them)
        fit(rows)
    assert in_order(rows) == in_order(rows_of(events, all_of_them))


def test_an_operator_event_is_void_afterwards() -> None:
    """Of an operator event that is below an erasure the keys and the reason go, with the same result."""
    block = Operation("block", "person", "acme", "0" * 32, "bo", "Ada asked", (ADA,))
    before, after, erasures = Rows(), Rows(), erased(ADA, NOW_MS + 1)
    LogRows(KEYRING, Erasures(KEYRING)).add_operation(before, control(), block)
    LogRows(KEYRING, erasures).add_operation(after, control(), block)
    assert without_erased(before, erasures) == after


def cause() -> Cause:
    """Of every change here."""
    return Cause.at(NOW_MS, "app", "e")


def added(number: int, whom: str, value: str = "ada@acme.test") -> IdentifierAdded:
    """An identifier that was added to an entity."""
    return IdentifierAdded(
        transition_id=str(number),
        namespace="acme",
        generation=1,
        number=number,
        entity_type="person",
        entity_id=whom,
        cause=cause(),
        identifier=NamedIdentifier(type="email", value=value),
    )


def trait(number: int, whom: str) -> TraitChanged:
    """A trait of an entity."""
    return TraitChanged(
        transition_id=str(number),
        namespace="acme",
        generation=1,
        number=number,
        entity_type="person",
        entity_id=whom,
        cause=cause(),
        name="name",
        value="Ada",
        source="app",
        event_id="e",
        occurred_at=cause().ingested_at,
    )


def merged(number: int, into: str, absorbed: str) -> EntitiesMerged:
    """Two entities that are one."""
    return EntitiesMerged(
        transition_id=str(number),
        namespace="acme",
        generation=1,
        number=number,
        entity_type="person",
        entity_id=into,
        cause=cause(),
        absorbed_id=absorbed,
        moved=1,
    )


def erasure(number: int) -> EntityErased:
    """Ada's, as it was published."""
    return EntityErased(
        transition_id=str(number),
        namespace="acme",
        generation=1,
        number=number,
        entity_type="person",
        entity_id=ADA_ID,
        cause=cause(),
        erased_ids=(ADA_ID,),
    )


def kinds(changes: list[Change], number: int = 10) -> list[str]:
    """What becomes of the changes when Ada's erasure is published under a number."""
    ended = Ended.of(erased(ADA, NOW_MS), erasure(number), changes)
    rows = {"nexus_transitions": redacted_rows(changes, [ended])}
    fit(rows)
    return [str(kind) for (kind,) in cells(rows, "nexus_transitions", "transition")]


def test_transitions_forget_the_erased() -> None:
    """What names the erased, and what is said of an id by which they were known, is redacted; others stay."""
    changes: list[Change] = [
        added(1, BO),
        merged(2, CY, BO),
        trait(3, CY),
        trait(4, ADA_ID),
        added(5, BO, "bo@acme.test"),
    ]
    assert kinds(changes) == ["redacted", "entities_merged", "redacted", "redacted", "identifier_added"]


def test_what_was_published_after_the_erasure_stays() -> None:
    """Who came back is somebody else."""
    assert kinds([added(11, BO), trait(12, ADA_ID)]) == ["identifier_added", "trait_changed"]
