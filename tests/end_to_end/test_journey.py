"""The journey of the demo through the whole stream: what comes out is what the reference says."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import pytest

from demo_producer import journey
from demo_producer.cli import main
from flows.client import Nexus as Client
from flows.settings import load
from resolver.reference import Reference
from schemas.decode import decode
from schemas.events import Event, Message
from schemas.identifiers import EntityType, Keyring
from schemas.mapping import EntityMapping
from schemas.rules import Rules
from schemas.transitions import StateCorrected, StateEntered, Transition, from_json
from tests.end_to_end.programs import Nexus
from tests.end_to_end.test_embedded import lines_of
from tests.resolver.histories import kept_by, told_of

SEED = 3


@pytest.fixture(scope="module")
def nexus(tmp_path_factory: pytest.TempPathFactory) -> Nexus:
    """Run the journey and give the folder that it was run in."""
    folder = tmp_path_factory.mktemp("journey")
    file, settings = folder / "journey.jsonl", folder / "nexus.yaml"
    arguments = ["--journey", "--seed", str(SEED), "--timestamps", "--to", str(file), "--quiet"]
    assert main([*arguments, "--settings", str(settings)]) == 0
    nexus = Nexus(folder)
    nexus.ok("run", "--until-end", "--source", file, "--as", "record")
    nexus.ok("check")
    return nexus


@pytest.fixture(scope="module")
def told(nexus: Nexus) -> list[Transition]:
    """Give what was published."""
    return [from_json(line.data) for line in lines_of(nexus, "transitions")]


def rules_of(folder: Path) -> Rules:
    """The rules that the journey comes with."""
    settings = folder / "settings.yaml"
    assert (
        main(["--journey", "--to", str(folder / "none.jsonl"), "--settings", str(settings), "--quiet"]) == 0
    )
    return load({}, settings).rules


def events(rules: Rules) -> list[Event]:
    """Everything that the journey says."""
    found: list[Event] = []
    for number, record in enumerate(journey(SEED)):
        assert record.ingested_at_ms is not None
        place = (record.format, 0, number, number + 1)
        message = Message(*place, record.ingested_at_ms, record.value, headers=record.headers)
        decoded = decode(message, record.format, rules.identifier)
        assert decoded.problem is None
        found += decoded.events
    return found


def test_what_comes_out_is_what_the_reference_says(told: list[Transition], tmp_path: Path) -> None:
    """Who is who, traits, memberships and every timeline, for a consumer who sees nothing but transitions."""
    rules = rules_of(tmp_path)
    reference, consumer = Reference(Keyring("default"), rules), EntityMapping()
    reference.add(events(rules))
    answer = reference.answer(time.time_ns() // 1_000_000)
    for transition in told:
        consumer.apply(transition)
    assert consumer.missing == ()
    assert consumer.as_dict() == {
        (one.entity_type, one.identifier_type, one.identifier_value): name
        for one, name in answer.entity_of.items()
    }
    assert kept_by(consumer) == told_of(answer)


def test_little_of_what_is_told_has_to_be_corrected(told: list[Transition]) -> None:
    """Time stands still while the past is read: nobody is told that a customer is dormant who is not."""
    entered = sum(isinstance(one, StateEntered) for one in told)
    corrected = sum(isinstance(one, StateCorrected) for one in told)
    assert corrected < entered / 10


def of_each(rules: Rules) -> dict[str, list[Event]]:
    """The events in which each person and group took part, by id, in order of time."""
    log = events(rules)
    reference = Reference(Keyring("default"), rules)
    reference.add(log)
    home = reference.answer().entity_of
    found: dict[str, list[Event]] = defaultdict(list)
    distinct = {(one.occurred_at_ms, one.source, one.event_id): one for one in log}
    for _, event in sorted(distinct.items()):
        those = {home[name] for one in event.participants for name in one.identifiers if name in home}
        for entity_id in those:
            found[entity_id].append(event)
    return found


def test_everybody_has_their_last_events_in_one_timeline(nexus: Nexus, tmp_path: Path) -> None:
    """From all sources and under all names, amid what came of them."""
    expected = of_each(rules_of(tmp_path))
    with Client(load({}, nexus.folder / "nexus.yaml", data=nexus.folder / "nexus-data")) as client:
        for entity_id, those in expected.items():
            kind: EntityType = "person" if entity_id.startswith("per_") else "group"
            for events, known in ((None, those[-20:]), (1_000, those)):
                found = client.timeline(kind, entity_id, events=events).recent.events
                assert [one.event_id for one in found] == [one.event_id for one in known]
    entity_id = max(expected, key=lambda one: (one[0], len({each.source for each in expected[one][-20:]})))
    (page,) = map(json.loads, nexus.ok("timeline", entity_id, "--json").out.splitlines())
    course = [one["at"] for one in page["timeline"]]
    assert course == sorted(course)
    assert {one["source"] for one in page["timeline"] if one["what"] == "event"} >= {
        "gmail",
        "stripe",
        "segment",
    }
    assert {"state_entered", "membership_started"} <= {one["what"] for one in page["timeline"]}
