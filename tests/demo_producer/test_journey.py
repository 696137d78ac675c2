"""The journey of fifty customers, as the reference answers to it under the rules that come with it.

What is expected stands here as the story has it, written down by hand: from which day and hour on a state was
what. None says that it was over.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo_producer import PARTS, SPAN_MS, START, Customer, Part, Record, company, journey, people
from demo_producer.calls import ALL
from demo_producer.cli import main
from demo_producer.customers import EMPLOYEES
from demo_producer.segment import TRANSIT_MS
from flows.settings import Settings, load
from resolver.profiles import NOTHING, Interval, Profile
from resolver.reference import Answer, Reference
from schemas.decode import Decoded, decode
from schemas.errors import SettingsError
from schemas.events import Message
from schemas.identifiers import EntityType, Keyring, identifier
from schemas.rules import Rules

FILE = Path(__file__).parents[2] / "demo_producer" / "journey.yaml"
START_MS = int(START.timestamp() * 1_000)
HOUR_MS = 3_600_000
SEEDS = (1, 2, 3, 4, 5)

Step = tuple[float, float, str | float | None]
"""From this day and hour on a state is this."""

STATES: Mapping[str, Mapping[str, list[Step]]] = {
    "settled": {
        "setup_progress": [(0, 0, "started"), (0, 5, "reporting")],
        "billing_lifecycle": [(0, 6, "trial"), (14, 6, "active")],
        "success_meeting": [(2, 1, "planned")],
        "support_ticket": [(20, 1, "open"), (20, 4, "answered")],
        "activity": [(0, 0.25, "active")],
        "customer_health": [(0, 6, "healthy"), (20, 1, "at_risk"), (20, 4, "healthy")],
    },
    "joined": {
        "setup_progress": [(5, 0, "started"), (5, 3, "reporting")],
        "billing_lifecycle": [(5, 6, "trial"), (19, 6, "active")],
        "activity": [(5, 0.5, "active")],
        "customer_health": [(5, 6, "healthy")],
    },
    "declined": {
        "setup_progress": [(3, 0, "started"), (3, 2, "reporting")],
        "billing_lifecycle": [(3, 6, "trial"), (17, 6, "active"), (47, 6, "past_due"), (53, 2, "active")],
        "support_ticket": [(52, 1, "open"), (52, 3, "answered")],
        "activity": [(3, 0.25, "active")],
        "customer_health": [(3, 6, "healthy"), (47, 6, "at_risk"), (53, 2, "healthy")],
    },
    "churned": {
        "setup_progress": [(1, 0, "started"), (1, 2, "reporting")],
        "billing_lifecycle": [(1, 6, "trial"), (15, 6, "active"), (60, 3, "churned")],
        "support_ticket": [(55, 1, "open"), (55, 8, "answered"), (57, 1, "open"), (57, 2, "answered")],
        "activity": [(1, 0.25, "active"), (89, 5, "dormant")],
        "customer_health": [
            *[(1, 6, "healthy"), (55, 1, "at_risk"), (55, 8, "healthy")],
            *[(57, 1, "at_risk"), (57, 2, "healthy"), (60, 3, "churned")],
        ],
    },
    "slow": {
        "setup_progress": [(10, 0, "started"), (15, 3, "reporting")],
        "setup": [(11, 0, "abandoned"), (15, 3, None)],
        "billing_lifecycle": [(15, 6, "trial"), (29, 6, "active")],
        "success_meeting": [(12, 2, "planned")],
        "activity": [(10, 0.25, "active")],
        "customer_health": [(11, 0, "at_risk"), (15, 3, None), (15, 6, "healthy")],
    },
    "dormant": {
        "setup_progress": [(2, 0, "started"), (2, 2, "reporting")],
        "billing_lifecycle": [(2, 6, "trial"), (16, 6, "active")],
        "activity": [(2, 0.25, "active"), (55, 5, "dormant"), (70, 5, "active")],
        "customer_health": [(2, 6, "healthy")],
        "customer_attention": [(55, 5, "needed"), (70, 5, None)],
    },
    "offline": {
        "setup_progress": [(4, 0, "started"), (4, 3, "reporting")],
        "billing_lifecycle": [(4, 6, "trial"), (18, 6, "active"), (48, 6, "past_due"), (50, 6, "active")],
        "activity": [(4, 0.25, "active")],
        "customer_health": [(4, 6, "healthy"), (48, 6, "at_risk"), (50, 6, "healthy")],
    },
    "rescheduled": {
        "setup_progress": [(8, 0, "started"), (8, 2, "reporting")],
        "billing_lifecycle": [(8, 6, "trial"), (22, 6, "active")],
        "success_meeting": [(30, 1, "planned"), (33, 1, "cancelled"), (34, 1, "planned")],
        "activity": [(8, 0.25, "active")],
        "customer_health": [(8, 6, "healthy")],
    },
    "abandoned": {
        "setup_progress": [(89, 0, "started")],
        "setup": [(90, 0, "abandoned")],
        "activity": [(89, 0.25, "active")],
        "customer_health": [(90, 0, "at_risk")],
    },
}
"""Of each owner with a story every state but the amounts, which are of their seed."""

AMOUNTS: Mapping[str, list[Step]] = {
    "settled": [(14, 6, 8_600.0), (44, 6, 25_800.0)],  # yen, and then for three seats
    "joined": [(19, 6, 29.0)],
    "declined": [(17, 6, 4_300.0)],
    "churned": [(15, 6, 27.0)],
    "dormant": [(16, 6, 58.0)],
}
"""What some pay, in the journey of seed 1."""

TRAITS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "settled": {
        "name": ("Niamh Lindqvist", "segment"),
        "email": ("niamh.lindqvist@harborfurniture.example", "segment"),
        "plan": ("free", "segment"),
        "response_status": ("accepted", "google_calendar"),
    },
    "churned": {
        "name": ("Priya Fontaine", "segment"),
        "email": ("priya.fontaine@indigogardens.example", "segment"),
        "plan": ("team", "segment"),
    },
}
"""The value that counts and whose word it is, in the journey of seed 1."""


# the journey, and the answer to it


def events_of(record: Record, rules: Rules) -> Decoded:
    """What the input makes of a record."""
    assert record.ingested_at_ms is not None
    message = Message("", 0, 0, 0, record.ingested_at_ms, record.value, record.key, record.headers)
    return decode(message, None, rules.identifier)


@cache
def the_rules() -> Rules:
    """The rules of the file."""
    return Rules.from_data(yaml.safe_load(FILE.read_text())["rules"])


@cache
def the_journey(seed: int) -> tuple[Record, ...]:
    """Its records."""
    return journey(seed)


def answer_to(
    records: Iterable[Record], rules: Rules | None = None, now_ms: int = START_MS + SPAN_MS
) -> Answer:
    """What the reference says of them."""
    reference = Reference(Keyring("journey"), rules or the_rules())
    for record in records:
        reference.add(events_of(record, reference.rules).events)
    return reference.answer(now_ms)


@cache
def the_answer(seed: int) -> Answer:
    """What the reference says of the whole journey."""
    return answer_to(the_journey(seed))


def answer_as_of(seed: int, day: float, hour: float) -> Answer:
    """What it said on a day, of what had come in by then."""
    now_ms = instant(day, hour)
    known = [one for one in the_journey(seed) if one.ingested_at_ms and one.ingested_at_ms <= now_ms]
    return answer_to(known, now_ms=now_ms)


def part(name: str) -> Part:
    """The part of this name."""
    return next(each for each in PARTS if each.name == name)


def ids_of(answer: Answer, customer: Customer) -> set[str]:
    """The entities that hold what a customer is known by."""
    named = (identifier("person", kind, value) for kind, value in customer.identifiers())
    return {answer.entity_of[one] for one in named if one in answer.entity_of}


def profile_of(answer: Answer, name: str, seed: int) -> Profile:
    """The profile of a customer with a part."""
    (entity_id,) = ids_of(answer, part(name).played_by(seed))
    return answer.profiles.get(entity_id, NOTHING)


def profile_at(answer: Answer, entity_type: EntityType, kind: str, value: str) -> Profile:
    """The profile of who holds an identifier."""
    return answer.profiles[answer.entity_of[identifier(entity_type, kind, value)]]


def instant(day: float, hour: float) -> int:
    """A day and an hour of the journey, in ms."""
    return START_MS + int((24 * day + hour) * HOUR_MS)


def expected(name: str, steps: Iterable[Step]) -> list[tuple[str | float | None, int]]:
    """Steps as they come out. A meeting that lies ahead counts from when it came in."""
    transit_ms = TRANSIT_MS if name == "success_meeting" else 0
    return [(value, instant(day, hour) + transit_ms) for day, hour, value in steps]


def found(timeline: Iterable[Interval]) -> list[tuple[str | float | None, int]]:
    """A timeline as steps."""
    steps: list[tuple[str | float | None, int]] = []
    left_ms = None
    for interval in timeline:
        if left_ms not in {None, interval.entered_ms}:
            steps.append((None, left_ms or 0))
        steps.append((interval.value.text or interval.value.number, interval.entered_ms))
        left_ms = interval.exited_ms
    return steps if left_ms is None else [*steps, (None, left_ms)]


def values(profile: Profile) -> dict[str, Any]:
    """Traits as values."""
    return {name: json.loads(trait.value) for name, trait in profile.traits.items()}


# what comes


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_can_be_read(seed: int) -> None:
    """No message is a dead letter or concerns nobody, and all five sources send some."""
    assert {record.format for record in the_journey(seed)} == ALL
    for record in the_journey(seed):
        decoded = events_of(record, the_rules())
        assert (decoded.problem, decoded.skipped, len(decoded.events)) == (None, None, 1)


def test_it_comes_in_order_some_of_it_late_and_some_twice() -> None:
    """The records are sorted by when they come in, and the last one comes before the end."""
    arrivals = [record.ingested_at_ms or 0 for record in the_journey(1)]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] < START_MS + SPAN_MS - HOUR_MS
    faults = [record.fault for record in the_journey(1)]
    assert faults.count("late") > 10
    assert faults.count("duplicates") > 20


def test_the_same_seed_tells_the_same_journey() -> None:
    """Byte for byte; another seed tells it of others, and another start on other days."""
    assert journey(1) == the_journey(1)
    assert not {one.value for one in the_journey(1)} & {one.value for one in the_journey(2)}
    later = journey(1, START + timedelta(days=1))
    assert [(one.ingested_at_ms or 0) - 24 * HOUR_MS for one in later] == [
        one.ingested_at_ms for one in the_journey(1)
    ]


def test_a_journey_begins_at_an_instant() -> None:
    """A start without a zone is refused."""
    with pytest.raises(SettingsError, match="zone"):
        journey(1, START.replace(tzinfo=None))


# who comes out


@pytest.mark.parametrize("seed", SEEDS)
def test_fifty_persons_and_ten_companies_come_out(seed: int) -> None:
    """Each customer is one person, no two are the same, and none of our own is among them."""
    answer = the_answer(seed)
    persons = [ids_of(answer, each) for each in people(seed)]
    assert [len(each) for each in persons] == 50 * [1]
    assert len(set.union(*persons)) == 50
    assert len([name for name in answer.entities if name.startswith("per_")]) == 50
    assert len([name for name in answer.entities if name.startswith("grp_")]) == 10
    assert (answer.quarantined, answer.suspended) == ({}, {})


@pytest.mark.parametrize("seed", SEEDS)
def test_forty_belong_to_a_company_and_ten_to_none(seed: int) -> None:
    """By their mail, and as its owner; a free-lancer's mail provider is no company."""
    answer = the_answer(seed)
    for customer in people(seed):
        (person,) = ids_of(answer, customer)
        group = answer.entity_of[identifier("group", "domain", customer.company.domain)]
        memberships = {key[1:]: one for key, one in answer.memberships.items() if key[0] == person}
        seat = customer.number % EMPLOYEES
        roles = {0: {"owner", None}, 4: set()}.get(seat, {None})
        if customer == part("abandoned").played_by(seed):
            roles = {"owner"}  # who has written to nobody yet
        assert memberships.keys() == {(group, role) for role in roles}
        assert all(one.ended_ms is None for one in memberships.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_an_owner_belongs_to_the_shop_from_its_installation_on(seed: int) -> None:
    """And as somebody who writes or meets from the first mail or meeting on."""
    answer = the_answer(seed)
    (person,) = ids_of(answer, part("settled").played_by(seed))
    mine = {key[2]: one.started_ms for key, one in answer.memberships.items() if key[0] == person}
    assert mine == {"owner": instant(0, 0), None: instant(2, 1) + TRANSIT_MS}


# what became of them


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", STATES)
def test_the_timelines_are_those_of_the_story(name: str, seed: int) -> None:
    """Every state of an owner with a story, from its first day to its last."""
    timelines = dict(profile_of(the_answer(seed), name, seed).timelines)
    timelines.pop("billing_amount", None)
    assert {state: found(line) for state, line in timelines.items()} == {
        state: expected(state, steps) for state, steps in STATES[name].items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_who_waits_for_an_answer_is_at_risk(seed: int) -> None:
    """Of a colleague only the ticket is told; what else such a one does is left to chance."""
    timelines = profile_of(the_answer(seed), "waiting", seed).timelines
    for state, value in ("support_ticket", "open"), ("customer_health", "at_risk"):
        assert found(timelines[state]) == expected(state, [(88, 2, value)])


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_are_numbers(name: str) -> None:
    """What was paid last, in the currency of the customer."""
    timeline = profile_of(the_answer(1), name, 1).timelines["billing_amount"]
    assert found(timeline) == expected("billing_amount", AMOUNTS[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_shop_is_installed_once_and_one_uninstalled(seed: int) -> None:
    """A state of the company, beside those of its people."""
    days = (0, 5, 3, 1, 10, 2, 4, 6, 8, 89)
    for number, day in enumerate(days):
        steps: list[Step] = [(day, 0, "installed")]
        if number == 3:  # the churned owner's
            steps.append((60, 4, "uninstalled"))
        domain = company(seed, number).domain
        timelines = profile_at(the_answer(seed), "group", "domain", domain).timelines
        assert {name: found(line) for name, line in timelines.items()} == {
            "shop_installation": expected("shop_installation", steps)
        }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shop_that_changes_its_plan_is_on_the_new_one(seed: int) -> None:
    """The traits of a company are what its shop last said."""
    settled, declined = (part(name).played_by(seed).company for name in ("settled", "declined"))
    traits = values(profile_at(the_answer(seed), "group", "domain", settled.domain))
    assert traits == {"name": settled.name, "plan_name": "advanced"}
    traits = values(profile_at(the_answer(seed), "group", "domain", declined.domain))
    assert traits == {"name": declined.name, "plan_name": "basic"}


@pytest.mark.parametrize("name", TRAITS)
def test_traits_come_from_the_source_that_counts_first(name: str) -> None:
    """A name in a mail that came later is as its sender likes it, and that in a shop is in capitals."""
    traits = profile_of(the_answer(1), name, 1).traits
    assert {trait: (json.loads(one.value), one.origin.source) for trait, one in traits.items()} == TRAITS[
        name
    ]


def test_without_a_priority_the_last_word_counts() -> None:
    """Then the churned owner is called as the app/uninstalled said last, which shouts."""
    answer = answer_to(the_journey(1), replace(the_rules(), trait_sources=()))
    assert values(profile_of(answer, "churned", 1))["name"] == "PRIYA FONTAINE"


# how it came


@pytest.mark.parametrize("seed", SEEDS)
def test_two_half_known_customers_become_one(seed: int) -> None:
    """A shop's owner who seemed to have given up, and a user of no shop: until they sign in."""
    joined = part("joined").played_by(seed)
    before = answer_as_of(seed, 8, 0.9)
    user = profile_at(before, "person", "user_id", joined.user_ids[0]).timelines
    owner = profile_at(before, "person", "stripe_customer_id", joined.stripe_id).timelines
    assert len(ids_of(before, joined)) == 2
    assert found(user["setup_progress"]) == expected("", [(5, 3, "reporting")])
    assert found(owner["setup_progress"]) == expected("", [(5, 0, "started")])
    assert found(owner["setup"]) == expected("", [(6, 0, "abandoned")])
    assert "setup" not in profile_of(answer_as_of(seed, 8, 1.1), "joined", seed).timelines


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_late_corrects_what_was_said(seed: int) -> None:
    """The setup was abandoned until the report came in, and the card was fine until its decline did."""

    def told(day: float, hour: float, state: str) -> list[tuple[str | float | None, int]]:
        timelines = profile_of(answer_as_of(seed, day, hour), "offline", seed).timelines
        return found(timelines.get(state, ()))

    assert told(6, 2, "setup") == expected("", [(5, 0, "abandoned")])
    assert told(6, 4, "setup") == []
    paying: list[Step] = [(4, 6, "trial"), (18, 6, "active")]
    assert told(53, 5, "billing_lifecycle") == expected("", paying)
    assert told(53, 7, "billing_lifecycle") == expected("", [*paying, (48, 6, "past_due"), (50, 6, "active")])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_setup_is_abandoned_at_the_very_end(seed: int) -> None:
    """Nothing happens then but that time passes."""
    for now_ms, states in (START_MS + SPAN_MS - 1, 0), (START_MS + SPAN_MS, 1):
        timelines = profile_of(answer_to(the_journey(seed), now_ms=now_ms), "abandoned", seed).timelines
        assert len(timelines.get("setup", ())) == states


@pytest.mark.parametrize("order", range(5))
def test_the_order_of_arrival_changes_nothing(order: int) -> None:
    """Nor does what comes twice: the answer is the same, ids, links, profiles and all."""
    shuffled = [*the_journey(1), *the_journey(1)]
    random.Random(order).shuffle(shuffled)
    assert answer_to(shuffled) == the_answer(1)


# the file beside it


def test_the_file_reads_every_source_from_a_topic() -> None:
    """What stands above the rules are settings, with a topic for each format of the journey."""
    given = yaml.safe_load(FILE.read_text())
    settings = Settings.model_validate({**given, "rules": {}})
    assert set(settings.input.topics.values()) == ALL


def test_the_story_uses_every_state_of_the_file() -> None:
    """No rule is there for nothing, and every value is taken by somebody."""
    profiles = the_answer(1).profiles.values()
    taken = {
        (name, interval.value.text)
        for profile in profiles
        for name, timeline in profile.timelines.items()
        for interval in timeline
        if interval.value.text
    }
    assert taken == {(state.state_name, value) for state in the_rules().states for value in state.values}


def test_the_page_tells_the_same_story() -> None:
    """docs/demo.md names who plays which part, how many messages each source sends, and every state."""
    page = (FILE.parents[1] / "docs" / "demo.md").read_text()
    for each in PARTS:
        somebody = each.played_by(1)
        assert f"| `{each.name}` | {somebody.name}, {somebody.company.name} | {each.told} |" in page
    counts = Counter(record.format for record in the_journey(1)).values()
    told = re.findall(r"^\| [A-Z][A-Za-z ]+ \| .* \| (\d+) \|$", page, re.MULTILINE)
    assert sorted(map(int, told)) == sorted(counts)
    assert re.findall(r"^\| `([a-z_]+)` \| (person|group) \|", page, re.MULTILINE) == [
        (name, section["of"]) for name, section in yaml.safe_load(FILE.read_text())["rules"]["states"].items()
    ]


def test_the_settings_are_written_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`--settings` writes what the journey is read with, and never over a file that is there."""
    file, settings = tmp_path / "journey.jsonl", tmp_path / "nexus.yaml"
    arguments = ["--journey", "--to", str(file), "--settings", str(settings), "--quiet"]
    assert main(arguments) == 0
    assert load({}, settings).rules == the_rules()
    assert main(arguments) == 2
    assert "name another one" in capfd.readouterr().err
    assert main(["--count", "1", "--to", "-", "--settings", str(tmp_path / "other.yaml")]) == 2
