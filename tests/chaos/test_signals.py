"""SIGTERM and SIGINT: the batch in hand is finished, and the process ends with 0 within ten seconds."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, customers

pytestmark = pytest.mark.services

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


@BOTH
def test_a_signal_in_the_middle_of_load_drains(world: World, number: signal.Signals) -> None:
    """Three workers under load end with 0, and the next run goes on where they stopped."""
    world.produce(customers(2_500))
    process = world.start("run", "--workers", "3", NEXUS_BATCH="5")
    world.wait_until_applied(200)
    process.send(number)
    process.ends_well(10)
    assert world.applied < len(world.places), "all was done before the signal came"
    world.finish()
    assert_as_if_nothing_happened(world)


@BOTH
def test_one_of_two_processes_ends_and_the_other_goes_on(world: World, number: signal.Signals) -> None:
    """A signal to one process is no concern of the other, which works off the rest."""
    stream = customers(1_000)
    one, other = world.start("run", "--workers", "2"), world.start("run", "--workers", "2")
    world.produce(stream[:500])
    world.wait_until_applied(100)
    one.send(number)
    one.ends_well(10)
    world.produce(stream[500:])
    world.wait_until_done()
    other.send(number)
    other.ends_well(10)
    assert_as_if_nothing_happened(world)


@pytest.mark.parametrize("flow", [(), ("resolve",), ("publish",)], ids=lambda flow: "-".join(flow) or "all")
def test_an_idle_process_ends_at_once(world: World, flow: tuple[str, ...]) -> None:
    """Without anything to do, a signal ends each flow just as well."""
    process = world.start("run", *flow)
    world.produce(customers(20))
    world.finish()
    process.send(signal.SIGTERM)
    process.ends_well(10)
