"""The rules on states and traits: what a file may say of them, what it means, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import yaml

from schemas.errors import WrongRule
from schemas.events import StateFact
from schemas.formula import parse
from schemas.identifiers import EntityType
from schemas.rules import Rules
from schemas.states import (
    Activity,
    After,
    StateRules,
    Trigger,
    Within,
    circle,
    duration_ms,
    duration_text,
    in_order,
)

FILE = """
traits: {sources: [stripe, segment]}
states:
  billing_lifecycle:
    of: group
    values: [trial, active, past_due, churned]
    events:
      - {event: invoice_paid, value: active}
      - {event: payment_failed, source: stripe, role: payer, value: past_due}
  seats: {of: group, numeric: true, events: [{event: plan_changed, measurement: seats}]}
  health:
    of: group
    values: [at_risk]
    when: [{value: at_risk, if: "billing_lifecycle = past_due and seats > 10"}]
  engagement:
    of: person
    values: [engaged, dormant]
    after: {duration: 30d, value: dormant, before: engaged, events: [], roles: []}
  setup:
    of: group
    values: [abandoned]
    within:
      {duration: 24h, value: abandoned, since: {events: [app_installed]}, until: {events: [first_report]}}
"""
SECTION: dict[str, Any] = yaml.safe_load(FILE)
RULES = Rules.from_data(SECTION)
DAY = 86_400_000


def rules(**states: dict[str, Any]) -> Rules:
    """Rules that declare these states."""
    return Rules.from_data({"states": states})


def plain(**section: Any) -> dict[str, Any]:
    """The section of a state of persons with two values."""
    return {"of": "person", "values": ["a", "b"], **section}


def derived(*formulas: str, of: str = "person") -> dict[str, Any]:
    """The section of a state that is `a` where one of the formulas holds."""
    return {"of": of, "values": ["a"], "when": [{"value": "a", "if": each} for each in formulas]}


def fact(state_name: str, value: str | None = None, number: float | None = None) -> StateFact:
    """What an event may say."""
    return StateFact("ref", state_name, value, number)


# what a file means


def test_every_kind_of_state_is_read() -> None:
    """States come by name, values and triggers in order, whatever the file's."""
    billing, engagement, health, seats, setup = RULES.states
    assert billing.values == ("active", "churned", "past_due", "trial")
    assert billing.triggers == (
        Trigger("invoice_paid", "active", None),
        Trigger("payment_failed", "past_due", None, "stripe", "payer"),
    )
    assert engagement.after == After(30 * DAY, "dormant", "engaged", Activity())
    assert health.derived == (("at_risk", parse("billing_lifecycle = past_due and seats > 10")),)
    assert seats.triggers == (Trigger("plan_changed", None, "seats"),)
    assert seats.numeric
    assert setup.within == Within(DAY, "abandoned", Activity(("app_installed",)), Activity(("first_report",)))


def test_a_trigger_is_found_by_its_event() -> None:
    """With the state that it sets."""
    (found,) = RULES.triggers("payment_failed")
    assert (found[0].state_name, found[1].value) == ("billing_lifecycle", "past_due")
    assert RULES.triggers("signed_up") == ()


def test_one_event_may_set_several_states() -> None:
    """Each is found."""
    event = [{"event": "joined", "value": "a"}]
    given = rules(one=plain(events=event), two=plain(events=event))
    assert [state.state_name for state, _ in given.triggers("joined")] == ["one", "two"]


def test_the_word_of_a_source_counts_by_its_place() -> None:
    """Unlisted sources come last and are equal, and so are all without the section."""
    assert [RULES.source_priority(each) for each in ("stripe", "segment", "app", "shop")] == [0, 1, 2, 2]
    assert Rules().source_priority("app") == Rules().source_priority("shop") == 0


def test_a_state_comes_behind_those_that_it_uses() -> None:
    """Also where derived states use derived ones, and their names say otherwise."""
    given = rules(a=derived("b = a"), b=derived("c = a or d = a"), c=derived("d = a"), d=plain())
    assert [each.state_name for each in given.states_of("person")] == ["d", "c", "b", "a"]
    assert given.states_of("group") == ()


def test_states_are_told_apart_by_their_entity_type() -> None:
    """A person has other states than a group."""
    assert [each.state_name for each in RULES.states_of("person")] == ["engagement"]
    assert [each.state_name for each in RULES.states_of("group")][-1] == "health"


@pytest.mark.parametrize(
    ("given", "entity_type", "reason"),
    [
        (fact("billing_lifecycle", "active"), "group", None),
        (fact("billing_lifecycle", "active", 3), "group", None),
        (fact("billing_lifecycle", "paid"), "group", "undeclared-value"),
        (fact("billing_lifecycle", None, 3), "group", "undeclared-value"),
        (fact("billing_lifecycle", "active"), "person", "wrong-entity-type"),
        (fact("seats", None, 3), "group", None),
        (fact("seats", "three", 3), "group", None),
        (fact("seats", "3"), "group", "not-a-number"),
        (fact("health", "at_risk"), "group", "derived-state"),
        (fact("engagement", "dormant"), "person", "timed-state"),
        (fact("setup", "abandoned"), "group", "timed-state"),
        (fact("mood", "sunny"), "person", None),
        (fact("mood", None, 1), "group", None),
    ],
)
def test_which_facts_count(given: StateFact, entity_type: EntityType, reason: str | None) -> None:
    """Those that the rules declare, and of states that they do not list all."""
    assert RULES.accepts(given, entity_type) == reason


# what the rules are kept in


def test_rules_with_states_survive_what_they_are_kept_in() -> None:
    """The store's JSON, the section for people as YAML, and a pickle give the same rules again."""
    assert Rules.from_json(RULES.to_json()) == RULES
    assert Rules.from_data(yaml.safe_load(yaml.safe_dump(RULES.as_data()))) == RULES
    assert pickle.loads(pickle.dumps(RULES)) == RULES
    assert hash(Rules.from_json(RULES.to_json())) == hash(RULES)


def test_rules_without_states_are_written_as_they_always_were() -> None:
    """Stores hold versions of rules that knew no states."""
    assert json.loads(Rules().to_json()).keys() == {"identifiers", "internal_domains", "others"}
    assert Rules.from_data({"traits": {}, "states": {}}).version == Rules().version == "9df1fa08fa2988a2"


def test_the_version_of_states_never_changes() -> None:
    """Stores hold it, and another way of writing the same would stop every stream at an upgrade."""
    assert RULES.version == "afd9d348c2a97339"


def test_what_has_no_order_counts_in_none() -> None:
    """States, values, triggers, and the events and roles of an activity."""
    one = plain(after={"duration": "2h", "value": "a", "events": ["x", "y"], "roles": ["p", "q"]})
    two = plain(events=[{"event": "x", "value": "a"}, {"event": "x", "role": "p", "value": "b"}])
    other = {"of": "person", "values": ["b", "a"]}
    after = {"duration": "120m", "value": "a", "events": ["y", "x"], "roles": ["q", "p"]}
    turned = rules(two={**other, "events": two["events"][::-1]}, one={**other, "after": after})
    assert turned == rules(one=one, two=two)
    assert turned.version == rules(one=one, two=two).version


def test_what_has_an_order_counts_in_it() -> None:
    """The formulas, of which the first that is true gives the value, and the sources."""
    cases = [{"value": "a", "if": "c = a"}, {"value": "b", "if": "c = b"}]
    assert rules(c=plain(), d=plain(when=cases)) != rules(c=plain(), d=plain(when=cases[::-1]))
    assert Rules.from_data({"traits": {"sources": ["a", "b"]}}) != Rules.from_data(
        {"traits": {"sources": ["b", "a"]}}
    )


# durations


@pytest.mark.parametrize(("text", "milliseconds"), [("1s", 1_000), ("90m", 5_400_000), ("400d", 400 * DAY)])
def test_a_duration_is_a_number_and_a_unit(text: str, milliseconds: int) -> None:
    """It is written again in the largest unit that it fills."""
    assert duration_ms(text) == milliseconds
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize("text", ["", "d", "1", "1w", "1.5h", "-1h", " 1h", "1 h", "1H", "²d", "1d12h"])
def test_what_is_no_duration(text: str) -> None:
    """Nothing is guessed."""
    assert duration_ms(text) is None


# order


def test_any_states_come_in_order_or_in_a_circle() -> None:
    """A circle is found exactly where there is no order, and each of its states asks for the next."""
    for seed in range(300):
        random = Random(seed)
        names = "abcdef"
        states = [
            StateRules(name, "person", ("a",), derived=(("a", parse(f"{other} = a")),) if other else ())
            for name, other in ((each, random.choice(["", "", *names])) for each in names)
        ]
        uses = {each.state_name: each.uses for each in states}
        if found := circle(states):
            assert found[0] == found[-1], f"seed {seed}"
            assert all(b in uses[a] for a, b in pairwise(found)), f"seed {seed}"
        else:
            placed = [each.state_name for each in in_order(states)]
            assert sorted(placed) == sorted(names)
            assert all(placed.index(b) < placed.index(a) for a in names for b in uses[a]), f"seed {seed}"


# what is refused

ONE_OF = "must be one of the values of the state: a, b"
DURATION = "must be a whole number and s, m, h or d, such as 24h, and at most 400d"
NAMES = "must have a name of letters, digits, _ and -"
AFTER: dict[str, Any] = {"duration": "1d", "value": "a"}
WITHIN: dict[str, Any] = {**AFTER, "since": {"events": ["x"]}, "until": {"roles": ["y"]}}
REFUSED: dict[str, tuple[Any, str]] = {
    "no mapping": ([], "s must be a mapping"),
    "an unknown property": (plain(on=1), "s.on is unknown: there are of, values, numeric, events, when"),
    "of nothing": ({"values": ["a"]}, "s.of must be person or group"),
    "of something else": (plain(of="shop"), "s.of must be person or group"),
    "of a list": (plain(of=["person"]), "s.of must be person or group"),
    "perhaps numeric": (plain(numeric="yes"), "s.numeric must be true or false"),
    "no values": ({"of": "person"}, "s.values must be a list"),
    "an empty list": (plain(values=[]), "s.values must name at least one value"),
    "a value that YAML read": (plain(values=[True]), "s.values value 1 must be text: put it in quotes"),
    "an empty value": (plain(values=["a", ""]), "s.values value 2 must be text of 1 to 1024 bytes"),
    "a value of two lines": (plain(values=["a\nb"]), "without control characters"),
    "half a character": (plain(values=["\ud800"]), "s.values value 1 must be text of 1 to 1024 bytes"),
    "a value twice": (plain(values=["a", "b", "a"]), "s.values value 3 is given twice"),
    "many values": (plain(values=[str(each) for each in range(1_001)]), "must be a list of at most 1000"),
    "numbers and values": (plain(numeric=True), "s.values cannot stand beside numeric: true"),
    "numbers after a time": (
        {"of": "person", "numeric": True, "after": AFTER}, "s.after cannot stand beside numeric: true"
    ),
    "two kinds": (plain(events=[], after=AFTER), "s.after cannot stand beside events: a state is"),
    "an event without a name": (plain(events=[{"value": "a"}]), "s.events value 1.event must be text"),
    "an event without a value": (plain(events=[{"event": "x"}]), f"s.events value 1.value {ONE_OF}"),
    "another value": (plain(events=[{"event": "x", "value": "c"}]), f"s.events value 1.value {ONE_OF}"),
    "a measurement of a text": (
        plain(events=[{"event": "x", "measurement": "m"}]), "measurement is unknown: there are event, source"
    ),
    "a number without a measurement": (
        {"of": "person", "numeric": True, "events": [{"event": "x"}]}, "value 1.measurement must be text"
    ),
    "an empty role": (
        plain(events=[{"event": "x", "value": "a", "role": ""}]), "value 1.role must be text of 1 to 256"
    ),
    "two values at once": (
        plain(events=[{"event": "x", "value": "a"}, {"event": "x", "value": "b"}]), "value 2 is given twice"
    ),
    "many events": (plain(events=[{}] * 101), "s.events must be a list of at most 100"),
    "no formula": (plain(when=[]), "s.when must have at least one value with its formula"),
    "a formula for nothing": (plain(when=[{"if": "t = a"}]), f"s.when value 1.value {ONE_OF}"),
    "a value without a formula": (plain(when=[{"value": "a"}]), "s.when value 1.if must be text"),
    "what is no formula": (
        derived("t = a and"), "s.when value 1.if is no formula: at character 10: expected the name of a state"
    ),
    "an unknown state": (derived("u = a"), "value 1.if asks for u, which is no state: there are g, n, s, t"),
    "a state of a group": (derived("t = a", "g = a"), "when value 2.if asks for g, a state of a group, not"),
    "a number for a text": (derived("t = 1"), "compares t with what it can never be: it has the values a, b"),
    "more than a text": (derived("t > 1"), "compares t with what it can never be"),
    "a text for a number": (derived("n = a"), "compares n with what it can never be: it is numeric"),
    "an unknown value": (derived("t in (a, c)"), "compares t with a value that it has not: a, b"),
    "itself": (derived("s = a"), "rules.states.s goes in a circle: s asks for s"),
    "no duration": (plain(after={"value": "a"}), f"s.after.duration {DURATION}"),
    "a duration in words": (plain(after={**AFTER, "duration": "a day"}), f"s.after.duration {DURATION}"),
    "a duration in numbers": (plain(after={**AFTER, "duration": 30}), f"s.after.duration {DURATION}"),
    "no time": (plain(after={**AFTER, "duration": "0d"}), f"s.after.duration {DURATION}"),
    "a long time": (plain(after={**AFTER, "duration": "401d"}), f"s.after.duration {DURATION}"),
    "another value after": (plain(after={**AFTER, "value": "c"}), f"s.after.value {ONE_OF}"),
    "another value before": (plain(after={**AFTER, "before": "c"}), f"s.after.before {ONE_OF}"),
    "the same before and after": (plain(after={**AFTER, "before": "a"}), "s.after.before must be another"),
    "an event twice": (plain(after={**AFTER, "events": ["x", "x"]}), "s.after.events value 2 is given twice"),
    "since nothing": (plain(within={**WITHIN, "since": None}), "s.within.since must be a mapping"),
    "since everything": (plain(within={**WITHIN, "since": {}}), "s.within.since must name events or roles"),
    "until everything": (plain(within={**WITHIN, "until": {}}), "s.within.until must name events or roles"),
    "since a word": (plain(within={**WITHIN, "since": {"event": "x"}}), "since.event is unknown: there are"),
}  # fmt: skip


@pytest.mark.parametrize(("section", "says"), REFUSED.values(), ids=list(REFUSED))
def test_a_wrong_state_is_refused(section: Any, says: str) -> None:
    """The message is one line that says where, and what is allowed."""
    known = {"t": plain(), "n": {"of": "person", "numeric": True}, "g": plain(of="group")}
    with pytest.raises(WrongRule, match=re.escape(says)) as refused:
        rules(s=section, **known)
    assert str(refused.value).startswith("rules.states.s")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "1a", "a b", "not", "in", "é", "a" * 257])
def test_a_name_that_no_formula_could_say_is_refused(name: str) -> None:
    """Names are words of the grammar."""
    with pytest.raises(WrongRule, match=NAMES):
        rules(**{name: plain()})


def test_a_circle_is_named() -> None:
    """From the first of its states back to it, and none that only leads there."""
    with pytest.raises(WrongRule, match="goes in a circle: ") as refused:
        rules(a=derived("b = a"), b=derived("c = a"), c=derived("a = a"), x=derived("a = a"))
    steps = str(refused.value).partition("circle: ")[2].split(" asks for ")
    assert len(steps) == 4
    assert steps[0] == steps[-1] == refused.value.path[-1]
    assert set(steps) == {"a", "b", "c"}
    assert all((one, two) in {("a", "b"), ("b", "c"), ("c", "a")} for one, two in pairwise(steps))


def test_at_most_two_hundred_states() -> None:
    """More are a mistake, and each costs something at every event."""
    rules(**{f"s{each}": plain() for each in range(200)})
    with pytest.raises(WrongRule, match="must be a mapping of at most 200"):
        rules(**{f"s{each}": plain() for each in range(201)})


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ([], "rules.traits must be a mapping"),
        ({"source": []}, "rules.traits.source is unknown: there are sources"),
        ({"sources": "stripe"}, "rules.traits.sources must be a list"),
        ({"sources": ["a", "a"]}, "rules.traits.sources value 2 is given twice"),
        ({"sources": [1]}, "rules.traits.sources value 1 must be text"),
        ({"sources": [str(each) for each in range(101)]}, "must be a list of at most 100"),
    ],
)
def test_wrong_sources_are_refused(section: Any, says: str) -> None:
    """As every other rule is."""
    with pytest.raises(WrongRule, match=re.escape(says)):
        Rules.from_data({"traits": section})
