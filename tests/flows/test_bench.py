"""The benchmarks: each scenario at a tiny scale reports what it is to report. No test asserts a time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import redis

from flows.bench import run
from flows.bench.beside import beside
from flows.bench.figures import Figure, quantile
from flows.bench.filling import Feed, named
from flows.bench.naive import NaiveResolver
from flows.bench.pairs import Rounds
from flows.bench.place import place
from flows.bench.running import EMBEDDED, ON_BROKER
from flows.bench.sides import Pass
from flows.bench.splits import Joined, Way
from flows.bench.traffic import again, messages
from flows.settings import Settings
from flows.wiring import Wiring
from resolver.links import Linker
from resolver.reference import Reference
from schemas.decode import decode
from schemas.errors import SettingsError
from schemas.events import Event
from schemas.identifiers import Keyring
from schemas.synonyms import PREVIOUS

TINY = 0.003


def figures(settings: Settings, name: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Run one scenario as small as can be; what it reported."""
    assert run(settings, (name,), TINY, True, lambda _: None) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", EMBEDDED)
def test_each_scenario_reports_and_leaves_nothing_behind(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every figure has a name and a number, and the folder beside the data is as it was."""
    found = figures(Settings(data=tmp_path / "data"), name, capsys)
    assert found
    assert {one["scenario"] for one in found} == {name}
    assert all(isinstance(one["value"], float) and one["value"] >= 0 for one in found)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.services
def test_the_latency_on_a_real_broker_is_reported(
    kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Transitions come back to an independent consumer, and the broker alone is told beside them."""
    settings = Settings(data=tmp_path / "data", kafka={"bootstrap.servers": kafka})
    found = figures(settings, "latency", capsys)
    assert [one.get("at_most") for one in found] == [20, 50, None, None, None]


@pytest.mark.services
def test_the_way_to_a_webhook_is_reported(
    kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New persons are told to a receiver; the transitions and the broker alone are reported beside it."""
    settings = Settings(data=tmp_path / "data", kafka={"bootstrap.servers": kafka})
    found = figures(settings, "webhook", capsys)
    assert ["webhook" in str(one["figure"]) for one in found] == [True] * 3 + [False] * 4


@pytest.mark.parametrize("name", ON_BROKER)
def test_what_needs_a_broker_says_so(name: str, tmp_path: Path) -> None:
    """Asked for by name without a broker it is wrong usage, not a figure of something else."""
    with pytest.raises(SettingsError, match=r"needs a broker: set kafka\.bootstrap\.servers"):
        run(Settings(data=tmp_path), (name,), TINY, True, lambda _: None)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """One line says what there is."""
    with pytest.raises(SettingsError, match="no benchmark nonsense: choose from profile, steady"):
        run(Settings(data=tmp_path), ("nonsense",), TINY, False, lambda _: None)


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    """One round that a neighbour disturbed does not count."""
    quick = [Pass(100, seconds, 0.0, {}) for seconds in (1.0, 1.0, 9.0)]
    slow = [Pass(100, seconds, 0.0, {}) for seconds in (2.0, 2.0, 2.0)]
    assert Rounds({"quick": quick, "slow": slow}).ratio("quick", "slow") == 0.5


def test_a_budget_has_a_verdict() -> None:
    """At least and at most, for people and for programs."""
    kept = Figure("steady", "ratio", 0.7, "x", at_least=0.6)
    missed = Figure("size", "cost", 1.5, "x", at_most=1.2)
    assert (kept.is_met, missed.is_met, Figure("a", "b", 1.0, "x").is_met) == (True, False, None)
    assert kept.for_people().endswith("kept: at least 0.6")
    assert missed.as_json()["at_most"] == 1.2


def test_a_quantile_is_a_value_that_was_seen() -> None:
    """Never one in between: of a hundred numbers from 0 on, 0.99 of them is the last."""
    assert quantile(range(100), 0.99) == 99
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_the_same_visitors_again_bring_nothing_new() -> None:
    """Other events a year later, on exactly the same links."""
    once = list(messages("growth", "event", 50))
    linker = Linker(Keyring("again"))
    first, second = (
        linker.evidence([event for one in those for event in decode(one, None).events])
        for those in (once, again(once, 1))
    )
    assert {one.shape.handle for one in first} == {one.shape.handle for one in second}
    assert min(one.last_ms for one in second) > max(one.last_ms for one in first)


@pytest.mark.parametrize("way", ["quarantine", "block"])
@pytest.mark.parametrize("in_two", [True, False])
def test_what_is_to_come_apart_is_one_entity_before(way: Way, in_two: bool, tmp_path: Path) -> None:
    """A bridge holds all customers together, and without it the address stands in a part of them."""
    joined = Joined(1, 4, way, in_two)
    with place(Settings(data=tmp_path / "data")) as where, Wiring(where.settings("split")) as parts:
        feed, email = Feed(parts, "split"), parts.keyring.key(joined.email)
        feed.fill(joined.links())
        before = parts.store.entity(email)
        feed.apply(joined.end(parts, feed))
        after = parts.store.entity(email)
    assert before is not None
    assert before.size == 4 * 5 + 3
    assert after is not None
    assert after.size == (11 if in_two else 5)


def test_what_holds_up_the_store_makes_late_what_is_due_meanwhile(tmp_path: Path) -> None:
    """A batch counts from when it was due, not from when its turn came."""
    with place(Settings(data=tmp_path / "data")) as where, Wiring(where.settings("beside")) as parts:
        parts.store.check()
        with beside(parts.settings, "beside", [named("email", "ada@acme.example")]) as stream:
            began = time.monotonic_ns()
            parts.client.client_pause(400)
            time.sleep(0.5)
            waited = stream.during(began, began + 100_000_000)
    assert len(waited) >= 5
    assert min(waited) > 200


def test_the_naive_resolver_is_correct(redis_url: str) -> None:
    """What the stream is compared with finds the reference's entities: it is not quick by being wrong."""
    keyring = Keyring("naive")
    events = [one for one in demo_events(600) if not names_a_former_id(one)]
    with redis.Redis.from_url(redis_url) as client:
        naive = NaiveResolver(client, Linker(keyring), "naive", each_event=True)
        naive.resolve(events)
        found = naive.mapping()
    reference = Reference(keyring)
    reference.add(events)
    entities = reference.answer().entities.values()
    assert len(entities) > 20
    assert {frozenset(keyring.key(one) for one in entity) for entity in entities} == together(found)


def demo_events(count: int) -> list[Event]:
    """The demo's events, in canonical form."""
    return [event for one in messages("growth", "sources", count) for event in decode(one, None).events]


def names_a_former_id(event: Event) -> bool:
    """Whether an alias names the former id of a customer, which the naive resolver takes for any other."""
    return any(one.identifier_type == PREVIOUS for each in event.participants for one in each.identifiers)


def together(mapping: Mapping[bytes, bytes]) -> set[frozenset[bytes]]:
    """The identifiers of each entity."""
    return {frozenset(key for key in mapping if mapping[key] == entity) for entity in mapping.values()}


def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    """A run that is told to end takes its private Redis and its folder with it."""
    command = [sys.executable, "-m", "flows", "bench", "steady", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: any(tmp_path.glob("nexus-bench-*/steady-event-1/input-0")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def wait_until(holds: Callable[[], bool], patience_s: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
