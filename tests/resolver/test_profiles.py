"""Profiles by definition: at every instant of small histories, timelines say what a naive look says."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import pytest

from resolver.profiles import (
    Change,
    Correction,
    Doings,
    Entry,
    Exit,
    Interval,
    Origin,
    Profile,
    Run,
    StateFact,
    Timeline,
    Trait,
    TraitChange,
    TraitFact,
    Value,
    base_timelines,
    canonical,
    changes,
    due,
    runs,
    timelines_of,
    traits_of,
    value_bytes,
)
from schemas.rules import Rules
from schemas.states import StateRules
from tests.resolver.profile_histories import STATES, S

RULES = Rules.from_data({"traits": {"sources": ["stripe", "segment"]}, "states": STATES})
BY_NAME: Mapping[str, StateRules] = {state.state_name: state for state in RULES.states}


def fact(name: str, second: int, value: Value, source: str = "test", event_id: str = "e") -> StateFact:
    """A state fact at a second."""
    return StateFact(name, Origin(second * S, source, event_id), value)


def spans(timeline: Timeline) -> list[tuple[str | float | None, int, int | None]]:
    """A timeline as (value, first second, second after the last)."""
    return [
        (
            interval.value.text or interval.value.number,
            interval.entered_ms // S,
            interval.exited_ms and interval.exited_ms // S,
        )
        for interval in timeline
    ]


# by hand


def test_equal_neighbours_are_one_interval_until_something_comes_between() -> None:
    """Said twice is said once; a late fact between the two makes three intervals of one."""
    said = [fact("paying", 1, Value("yes")), fact("paying", 9, Value("yes"))]
    assert spans(base_timelines(said)["paying"]) == [("yes", 1, None)]
    late = [*said, fact("paying", 5, Value("no"))]
    assert spans(base_timelines(late)["paying"]) == [("yes", 1, 5), ("no", 5, 9), ("yes", 9, None)]


def test_of_several_at_one_instant_the_last_counts() -> None:
    """By source, event id and value, whatever the order of arrival; no interval is empty."""
    said = [
        fact("paying", 3, Value("no"), "b", "e1"),
        fact("paying", 3, Value("yes"), "a", "e9"),
        fact("paying", 3, Value("late"), "b", "e1"),
    ]
    assert spans(base_timelines(said)["paying"]) == [("no", 3, None)]
    assert base_timelines(said) == base_timelines(reversed(said))


def test_a_trait_is_the_last_word_of_the_first_source() -> None:
    """Source priority comes first, time second; an unset trait is none."""
    said = [
        TraitFact("name", Origin(9, "crm", "e1"), canonical("Crm")),
        TraitFact("name", Origin(2, "segment", "e2"), canonical("Old")),
        TraitFact("name", Origin(3, "segment", "e3"), canonical("New")),
        TraitFact("plan", Origin(1, "crm", "e1"), canonical("pro")),
        TraitFact("plan", Origin(2, "crm", "e4"), canonical(None)),
    ]
    assert traits_of(RULES, said) == {"name": Trait(b'"New"', Origin(3, "segment", "e3"))}


def test_silence_is_dormancy_and_ends_with_the_next_activity() -> None:
    """Entry is last activity and duration; an event at that very instant prevents it."""
    active = runs([0, 3 * S, 10 * S], 3 * S)
    assert active == (Run(0, 3 * S), Run(10 * S, 10 * S))
    mood = BY_NAME["mood"]
    found = timelines_of(RULES, "person", (), {"mood": Doings(active)}, 12 * S)["mood"]
    assert spans(found) == [("awake", 0, 6), ("dormant", 6, 10), ("awake", 10, None)]
    assert due(mood, Doings(active), 12 * S) == 13 * S
    assert due(mood, Doings(active), 13 * S) is None


def test_what_did_not_happen_in_time_is_a_state_until_it_happens() -> None:
    """A report at the last instant is in time; a later one ends the state."""
    in_time = {"setup": Doings(runs([0], 4 * S), runs([4 * S], 4 * S))}
    assert timelines_of(RULES, "person", (), in_time, 99 * S) == {}
    too_late = {"setup": Doings(runs([0], 4 * S), runs([5 * S], 4 * S))}
    assert spans(timelines_of(RULES, "person", (), too_late, 99 * S)["setup"]) == [("abandoned", 4, 5)]
    assert timelines_of(RULES, "person", (), too_late, 3 * S) == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([], [(5, None)], [("entry", 5)]),
        ([], [(1, None)], [("correction", None, [(1, None)])]),
        ([(1, None)], [(1, 5), (5, None)], [("exit", 1, 5), ("entry", 5)]),
        ([(1, None)], [(1, 5)], [("exit", 1, 5)]),
        ([(1, None)], [(1, 3)], [("correction", (1, None), [(1, 3)])]),
        ([(5, None)], [(3, 5), (5, None)], [("correction", None, [(3, 5)])]),
        ([(1, 9), (9, None)], [(1, 4), (4, 6), (6, 9), (9, None)], [
            ("correction", (1, 9), [(1, 4), (4, 6), (6, 9)]),
        ]),
        ([(1, 4), (4, 6), (6, None)], [(1, None)], [
            ("correction", (1, 4), [(1, None)]), ("correction", (4, 6), []), ("correction", (6, None), []),
        ]),
    ],
)  # fmt: skip
def test_what_is_told_of_a_change(
    old: Sequence[tuple[int, int | None]], new: Sequence[tuple[int, int | None]], told: list[tuple[object]]
) -> None:
    """At instant 5 something happened: what begins there is entered, all else is a correction."""

    def timeline(pairs: Sequence[tuple[int, int | None]]) -> Timeline:
        return tuple(Interval(Value(str(start)), start, end) for start, end in pairs)

    before, after = Profile({}, {"x": timeline(old)}), Profile({}, {"x": timeline(new)})
    assert [_short(change) for change in changes(before, after, {5})] == told


def _short(change: Change) -> tuple[object, ...]:
    def span(interval: Interval) -> tuple[int, int | None]:
        return interval.entered_ms, interval.exited_ms

    match change:
        case Entry(_, interval):
            return ("entry", interval.entered_ms)
        case Exit(_, interval):
            return ("exit", *span(interval))
        case Correction(_, replaced, intervals):
            return ("correction", replaced and span(replaced), [span(one) for one in intervals])
    return ("trait", change.name)


# by definition


def now_at(states: Sequence[StateFact], second: int) -> Value | None:
    """The value that counts at a second: the last fact's by then."""
    past = [one for one in states if one.origin.occurred_at_ms <= second * S]
    return max(past, key=lambda one: (one.origin, value_bytes(one.value))).value if past else None


def mood_at(active: Sequence[int], second: int, now: int) -> str | None:
    """Dormant from three seconds behind the last activity, if that was by now; awake else."""
    past = [one for one in active if one <= second]
    if not past:
        return None
    return "dormant" if max(past) + 3 <= min(second, now) else "awake"


def is_abandoned(installed: Sequence[int], reported: Sequence[int], second: int, now: int) -> bool:
    """Whether an install that began a run of them has waited in vain, and nothing was reported since."""
    for start in installed:
        is_first = not any(start - 4 <= other < start for other in installed)
        deadline = start + 4
        was_in_vain = not any(start <= one <= deadline for one in reported)
        is_over = any(deadline < one <= second for one in reported)
        if is_first and was_in_vain and deadline <= min(second, now) and not is_over:
            return True
    return False


def value_at(timeline: Timeline, second: int) -> Value | None:
    """What a timeline says of a second."""
    for interval in timeline:
        if interval.entered_ms <= second * S and (
            interval.exited_ms is None or second * S < interval.exited_ms
        ):
            return interval.value
    return None


class World:
    """Random facts about one person within twenty seconds, and what follows by definition."""

    def __init__(self, chance: random.Random) -> None:
        def times(most: int) -> list[int]:
            return [chance.randrange(20) for _ in range(chance.randrange(most))]

        self.facts = [
            fact("paying", second, Value(chance.choice(["yes", "no", "late"])), chance.choice("ab"))
            for second in times(8)
        ]
        self.facts += [fact("seats", second, Value(None, chance.randrange(4))) for second in times(5)]
        self.active, self.installed, self.reported = times(6), times(5), times(4)
        self.now = chance.randrange(26)

    @property
    def doings(self) -> Mapping[str, Doings]:
        """The activity as links keep it: each its own runs."""

        def kept(seconds: Sequence[int], gap: int) -> list[Run]:
            return [*runs((s * S for s in seconds[::2]), gap), *runs((s * S for s in seconds[1::2]), gap)]

        return {
            "mood": Doings(kept(self.active, 3 * S)),
            "setup": Doings(kept(self.installed, 4 * S), kept(self.reported, 4 * S)),
        }

    @property
    def timelines(self) -> Mapping[str, Timeline]:
        """What `profiles` makes of it."""
        return timelines_of(RULES, "person", self.facts, self.doings, self.now * S)

    def at(self, second: int) -> Iterator[tuple[str, Value | None]]:
        """What is so at a second, by definition."""
        by_name = {
            name: [one for one in self.facts if one.state_name == name] for name in ("paying", "seats")
        }
        paying, seats = (now_at(by_name[name], second) for name in ("paying", "seats"))
        mood = mood_at(self.active, second, self.now)
        abandoned = is_abandoned(self.installed, self.reported, second, self.now)
        is_few = seats is not None and seats.number is not None and seats.number < 2
        said = paying.text if paying else None
        worry = None
        if said == "late" and not is_few:
            worry = "high"
        elif said in ("late", "no") or mood == "dormant":
            worry = "some"
        yield "paying", paying
        yield "seats", seats
        yield "mood", Value(mood) if mood else None
        yield "setup", Value("abandoned") if abandoned else None
        yield "worry", Value(worry) if worry else None
        yield "alarm", Value("on") if worry == "high" else None


@pytest.fixture
def seed() -> int:
    """Give a seed that is printed where the test fails."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return seed


def test_timelines_say_what_is_so_at_every_instant(seed: int) -> None:
    """Two thousand random worlds; no interval is empty, no two that touch say the same."""
    for number in range(2_000):
        world = World(random.Random(seed + number))
        found = world.timelines
        for second in range(27):
            for name, value in world.at(second):
                assert value_at(found.get(name, ()), second) == value, (seed + number, name, second)
        for timeline in found.values():
            for interval, following in pairwise(timeline):
                assert interval.exited_ms is not None
                assert interval.entered_ms < interval.exited_ms <= following.entered_ms
                assert interval.exited_ms < following.entered_ms or interval.value != following.value


def test_who_hears_the_changes_knows_the_new_timelines(seed: int) -> None:
    """From one random world to another, whatever is news: what is told leads there, from what was told."""
    for number in range(1_000):
        chance = random.Random(seed + number)
        old, new = World(chance), World(chance)
        news = {chance.randrange(20) * S for _ in range(3)}
        known: dict[str, list[Interval]] = {name: list(line) for name, line in old.timelines.items()}
        for change in changes(Profile({}, old.timelines), Profile({}, new.timelines), news):
            assert not isinstance(change, TraitChange)
            hear(known.setdefault(change.state_name, []), change)
        heard = {name: tuple(line) for name, line in known.items() if line}
        assert heard == new.timelines, seed + number


def hear(known: list[Interval], change: Change) -> None:
    """What a consumer does with a change, who refuses what cannot be."""
    match change:
        case Entry(_, interval):
            assert not known or known[-1].exited_ms is not None
            known.append(interval)
        case Exit(_, interval):
            assert known[-1] == interval._replace(exited_ms=None)
            known[-1] = interval
        case Correction(_, replaced, intervals):
            if replaced is not None:
                known.remove(replaced)
            known += intervals
            known.sort(key=lambda one: one.entered_ms)
