"""Devices that several customers use."""

from __future__ import annotations

from collections import defaultdict

import pytest

from demo_producer import Record, Truth, records
from demo_producer.shared import TOO_MANY
from resolver.reference import Reference
from schemas.identifiers import Keyring
from tests.demo_producer.decoding import decoded


def _shared(count: int, seed: int = 1, faults: str = "all", customers: int | None = None) -> list[Record]:
    """What a stream with shared devices consists of."""
    stream = records(count=count, seed=seed, faults=faults, customers=customers, timestamps=True, shared=True)
    return list(stream)


def _users(stream: list[Record]) -> dict[str, list[int | None]]:
    """Who signs in on each device, in order."""
    found = defaultdict(list)
    for record in stream:
        if record.shared is not None and record.fault in {None, "late", "shuffled"}:
            found[record.shared.partition("-")[0]].append(record.customer)
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1_000, 2_000, 20_000])
def test_a_device_is_shared_by_one_too_many_at_least(count: int, seed: int) -> None:
    """On the tablet three sign in, on the kiosk more, and all of them are different customers."""
    users = _users(_shared(count, seed))
    assert len(users["tablet"]) == TOO_MANY
    assert len(users["kiosk"]) > TOO_MANY
    everybody = [*users["tablet"], *users["kiosk"]]
    assert len(set(everybody)) == len(everybody)


@pytest.mark.parametrize("count", [0, 1, 40, 900])
def test_in_a_short_stream_nothing_is_shared(count: int) -> None:
    """Too few lives are told by then."""
    assert _users(_shared(count)) == {}


def test_with_too_few_customers_nothing_is_shared() -> None:
    """Two on a device would be one person for ever."""
    assert _users(_shared(2_000, customers=2)) == {}


def test_the_same_seed_shares_the_same_devices() -> None:
    """And another seed others."""
    one, again, other = ({record.shared for record in _shared(1_000, seed)} - {None} for seed in (1, 1, 2))
    assert one == again
    assert not one & other


def test_without_being_asked_nobody_shares() -> None:
    """A stream is as it always was."""
    assert {record.shared for record in records(count=2_000, faults="all")} == {None}


@pytest.mark.parametrize("faults", ["none", "all", "duplicates=60,junk=10", "late=40,shuffled=40"])
def test_the_rules_find_everybody_all_the_same(faults: str) -> None:
    """A resolver that keeps the default rules mixes up no two customers, and the devices are nobody's."""
    truth, reference = Truth(), Reference(Keyring("demo"))
    for record in _shared(3_000, faults=faults):
        events = decoded(record).events
        truth.note(record, events)
        reference.add(events)
    assert len(truth.shared) == 2
    assert truth.faults(reference.answer().entity_of.get) == []
