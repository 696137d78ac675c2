"""Holding an answer against the truth."""

from demo_producer import Truth, records
from schemas.blocked import blocked
from tests.demo_producer.components import Components
from tests.demo_producer.decoding import decoded


def _resolve(truth: Truth, *, guard: bool = True, shared: bool = False) -> Components:
    """The plainest resolver, with every fault in its input, and with guard 2 or without it."""
    components = Components()
    for record in records(count=3_000, faults="duplicates,late,shuffled,malformed,junk=10", shared=shared):
        events = decoded(record).events
        truth.note(record, events)
        for participant in (each for event in events for each in event.participants):
            if kept := [each for each in participant.identifiers if not guard or blocked(each) is None]:
                components.unite(kept)
    return components


def test_a_resolver_that_unites_and_guards_finds_everybody() -> None:
    """With every fault in the stream, each customer whose life is told becomes one entity of their own."""
    truth = Truth()
    components = _resolve(truth)
    assert len(truth.completed) > 100
    assert truth.faults(components.entity_of) == []


def test_a_resolver_without_guard_glues_strangers() -> None:
    """Junk does what it is there for: taken at its word, it makes one person of many."""
    truth = Truth()
    components = _resolve(truth, guard=False)
    assert any(" holds " in fault for fault in truth.faults(components.entity_of))


def test_a_resolver_that_trusts_every_device_glues_customers() -> None:
    """Shared devices do what they are there for; that they belong to somebody is a fault, too."""
    truth = Truth()
    faults = truth.faults(_resolve(truth, shared=True).entity_of)
    assert any(" holds " in fault for fault in faults)
    assert sum("a shared anonymous_id" in fault for fault in faults) == 2


def test_a_customer_torn_apart_is_a_fault() -> None:
    """A resolver that unites nothing is told so."""
    truth = Truth()
    _resolve(truth)
    assert any(" is " in fault for fault in truth.faults(str))


def test_a_missing_identifier_is_a_fault() -> None:
    """A resolver that has seen nothing is told so."""
    truth = Truth()
    _resolve(truth)
    assert len(truth.faults(lambda _: None)) == len(truth.owners)
