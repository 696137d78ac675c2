"""What facts say of an entity: its traits and its timelines, and what changes from one answer to the next.

Pure functions of facts, rules and `now`, in any order of the facts. Who calls them says which facts are those
of one entity: the reference from the whole log, the store from what it keeps of the entity's links.

Facts are ordered by when they happened, then by source, event id and value, all of which are constants of the
fact itself. Instants are milliseconds since 1970 in UTC; an interval holds from its first instant on and ends
before its last.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from schemas.events import Json
from schemas.identifiers import EntityType
from schemas.rules import Rules
from schemas.states import StateRules


class Origin(NamedTuple):
    """Which event said something, and when that happened: facts are ordered by it, then by their value."""

    occurred_at_ms: int
    source: str
    event_id: str


class Value(NamedTuple):
    """What a state is: a text, a number, or both."""

    text: str | None
    number: float | None = None


class TraitFact(NamedTuple):
    """A trait, as an event said it. `value` is canonical JSON, `null` says that there is none any more."""

    name: str
    origin: Origin
    value: bytes


class StateFact(NamedTuple):
    """From this instant on a state was this, said an event."""

    state_name: str
    origin: Origin
    value: Value


class Trait(NamedTuple):
    """The value that counts, as canonical JSON, and who said it."""

    value: bytes
    origin: Origin


class Interval(NamedTuple):
    """How long a state was this; `exited_ms` None: it still is."""

    value: Value
    entered_ms: int
    exited_ms: int | None


class Run(NamedTuple):
    """Activity from the first instant to the last, without a gap longer than its rule's duration."""

    first_ms: int
    last_ms: int


class Doings(NamedTuple):
    """What a timed state looks at: the activity of its rule; of `within` what starts, and what is awaited."""

    active: Sequence[Run] = ()
    awaited: Sequence[Run] = ()


Timeline: TypeAlias = tuple[Interval, ...]
Step: TypeAlias = tuple[int, Value | None]
"""From this instant on a state is this; None: it is not there."""


class Profile(NamedTuple):
    """What is known of an entity. Traits that were unset, and states that never were, are not in it."""

    traits: Mapping[str, Trait]
    timelines: Mapping[str, Timeline]


NOTHING = Profile({}, {})


def canonical(value: Json) -> bytes:
    """The one way to write a value: what facts compare by and what is kept of them."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


_UNSET = canonical(None)


def profile(
    rules: Rules,
    entity_type: EntityType,
    traits: Iterable[TraitFact],
    states: Iterable[StateFact],
    doings: Mapping[str, Doings],
    now_ms: int,
) -> Profile:
    """The profile of an entity of which these are all facts; `doings` by the names of timed states."""
    return Profile(traits_of(rules, traits), timelines_of(rules, entity_type, states, doings, now_ms))


# traits


def traits_of(rules: Rules, facts: Iterable[TraitFact]) -> dict[str, Trait]:
    """The last fact of each trait counts, of the source that comes first in the rules."""

    def rank(fact: TraitFact) -> tuple[int, Origin, bytes]:
        return (-rules.source_priority(fact.origin.source), fact.origin, fact.value)

    last: dict[str, TraitFact] = {}
    for fact in facts:
        last[fact.name] = max(last.get(fact.name, fact), fact, key=rank)
    return {name: Trait(fact.value, fact.origin) for name, fact in last.items() if fact.value != _UNSET}


# timelines


def timelines_of(
    rules: Rules,
    entity_type: EntityType,
    facts: Iterable[StateFact],
    doings: Mapping[str, Doings],
    now_ms: int,
) -> dict[str, Timeline]:
    """The timeline of every state: base states from their facts, then those that follow from others."""
    found = base_timelines(facts)
    for state in rules.states_of(entity_type):
        if state.after is not None or state.within is not None:
            found[state.state_name] = timed(state, doings.get(state.state_name, Doings()), now_ms)
        elif state.derived:
            found[state.state_name] = derived(state, found)
    return {name: timeline for name, timeline in found.items() if timeline}


def base_timelines(facts: Iterable[StateFact]) -> dict[str, Timeline]:
    """What facts alone say. Of several at one instant the last counts."""
    ordered = sorted(facts, key=lambda fact: (fact.state_name, fact.origin, value_bytes(fact.value)))
    return {
        name: intervals((fact.origin.occurred_at_ms, fact.value) for fact in of_state)
        for name, of_state in groupby(ordered, key=lambda fact: fact.state_name)
    }


def value_bytes(value: Value) -> bytes:
    """A state's value as it compares with others of the same event."""
    return canonical([value.text, value.number])


def intervals(steps: Iterable[Step]) -> Timeline:
    """The intervals of steps that are in order; equal neighbours are one, the last of an instant counts."""
    last_at = dict(steps)
    folded: list[Step] = []
    for instant, value in last_at.items():
        if not folded or folded[-1][1] != value:
            folded.append((instant, value))
    exits = [*(instant for instant, _ in folded[1:]), None]
    return tuple(
        Interval(value, instant, exit_ms)
        for (instant, value), exit_ms in zip(folded, exits, strict=False)
        if value is not None
    )


def derived(state: StateRules, timelines: Mapping[str, Timeline]) -> Timeline:
    """What follows from other states: evaluated once per instant at which one of them changes."""
    names = {name for _, formula in state.derived for name in formula.names}
    inputs = {name: timelines[name] for name in names if timelines.get(name)}
    return intervals(_derived_steps(state, inputs))


def _derived_steps(state: StateRules, inputs: Mapping[str, Timeline]) -> Iterator[Step]:
    changes = sorted(change for name, line in inputs.items() for change in _changes_of(name, line))
    current: dict[str, tuple[str | None, float | None]] = {}
    for instant, at_once in groupby(changes, key=lambda change: change[0]):
        for _, is_entry, name, place in at_once:
            if is_entry:
                current[name] = inputs[name][place].value
            else:
                current.pop(name, None)
        yield instant, _first_that_holds(state, current)


def _changes_of(name: str, timeline: Timeline) -> Iterator[tuple[int, bool, str, int]]:
    """Instant, whether it is an entry, state, place. What ends at an instant sorts before what begins."""
    for place, interval in enumerate(timeline):
        yield interval.entered_ms, True, name, place
        if interval.exited_ms is not None:
            yield interval.exited_ms, False, name, place


def _first_that_holds(
    state: StateRules, current: Mapping[str, tuple[str | None, float | None]]
) -> Value | None:
    return next((Value(value) for value, formula in state.derived if formula.holds(current)), None)


# what changes because time passes


def runs(instants: Iterable[int], gap_ms: int) -> tuple[Run, ...]:
    """Instants as runs; the next one begins where nothing happened for longer than the gap."""
    return joined((Run(instant, instant) for instant in instants), gap_ms)


def joined(parts: Iterable[Run], gap_ms: int) -> tuple[Run, ...]:
    """Runs of several links as those of one entity."""
    found: list[Run] = []
    for run in sorted(parts):
        if found and run.first_ms <= found[-1].last_ms + gap_ms:
            found[-1] = Run(found[-1].first_ms, max(found[-1].last_ms, run.last_ms))
        else:
            found.append(run)
    return tuple(found)


def timed(state: StateRules, doings: Doings, now_ms: int) -> Timeline:
    """What is so because time passed, as of `now`. Activity at the very instant of an entry prevents it."""
    if state.after is not None:
        return intervals(_after(state, joined(doings.active, state.after.duration_ms), now_ms))
    if state.within is None:
        raise ValueError(f"{state.state_name} is no timed state")
    gap_ms = state.within.duration_ms
    steps = _within(state, joined(doings.active, gap_ms), joined(doings.awaited, gap_ms), now_ms)
    return intervals(sorted(steps, key=lambda step: step[0]))


def due(state: StateRules, doings: Doings, now_ms: int) -> int | None:
    """The next instant after `now` at which the state changes if nothing happens; None: it does not."""
    later = timed(state, doings, _FOREVER_MS)
    return next((one.entered_ms for one in later if one.entered_ms > now_ms), None)


_FOREVER_MS = 1 << 62


def _after(state: StateRules, active: Sequence[Run], now_ms: int) -> Iterator[Step]:
    """Each run ends with the silence behind it, if that was long enough by now."""
    rule = state.after
    assert rule is not None  # its caller looked
    for run in active:
        yield run.first_ms, None if rule.before is None else Value(rule.before)
        if run.last_ms + rule.duration_ms <= now_ms:
            yield run.last_ms + rule.duration_ms, Value(rule.value)


def _within(state: StateRules, started: Sequence[Run], awaited: Sequence[Run], now_ms: int) -> Iterator[Step]:
    """Each run of starts gives the awaited one time from its first instant on. What comes later ends it.

    An awaited run that reaches into that time has an event in it, for its gaps are no longer than the time.
    """
    rule = state.within
    assert rule is not None  # its caller looked
    ends, begins = [run.last_ms for run in awaited], [run.first_ms for run in awaited]
    for run in started:
        deadline = run.first_ms + rule.duration_ms
        place = bisect_left(ends, run.first_ms)
        is_reached = place < len(awaited) and begins[place] <= deadline
        if is_reached or deadline > now_ms:
            continue
        yield deadline, Value(rule.value)
        after = bisect_right(begins, deadline)
        if after < len(awaited):
            yield begins[after], None


# from one answer to the next


class TraitChange(NamedTuple):
    """A trait has this value now; None: it has none any more, said `origin`, if anybody said so."""

    name: str
    trait: Trait | None


class Entry(NamedTuple):
    """A state was entered, and is not left yet."""

    state_name: str
    interval: Interval


class Exit(NamedTuple):
    """The interval that was current has ended."""

    state_name: str
    interval: Interval


class Correction(NamedTuple):
    """What was said of an interval is not true; these stand in its place. None: they only come in."""

    state_name: str
    replaced: Interval | None
    intervals: Timeline


Change: TypeAlias = TraitChange | Entry | Exit | Correction


def changes(old: Profile, new: Profile, news: Container[int] = ()) -> Iterator[Change]:
    """What to tell those who know the old profile, so that they know the new one, in this order.

    An interval at the end of a timeline is *entered* if it began at an instant of `news`: when the event
    happened that is the cause, or when a timed state fell due. What only came to be known otherwise, by a
    merge, a split or a late event, is a correction: nobody is to be called out of bed for it.
    """
    for name in sorted(old.traits.keys() | new.traits.keys()):
        before, after = old.traits.get(name), new.traits.get(name)
        if (before and before.value) != (after and after.value):
            yield TraitChange(name, after)
    for name in sorted(old.timelines.keys() | new.timelines.keys()):
        yield from timeline_changes(name, old.timelines.get(name, ()), new.timelines.get(name, ()), news)


def timeline_changes(name: str, old: Timeline, new: Timeline, news: Container[int]) -> Iterator[Change]:
    """The changes of one timeline."""
    same = _common(old, new)
    gone, come = old[same:], new[same:]
    if _goes_on(gone, come, news):
        if gone:
            yield Exit(name, come[0])
            come = come[1:]
        for interval in come:
            yield Entry(name, interval._replace(exited_ms=None))
            if interval.exited_ms is not None:
                yield Exit(name, interval)
        return
    same = _common(gone[::-1], come[::-1])
    yield from _corrections(name, gone[: len(gone) - same], come[: len(come) - same])


def _common(one: Timeline, other: Timeline) -> int:
    """How many intervals they have in common at their beginning."""
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return place
    return min(len(one), len(other))


def _goes_on(gone: Timeline, come: Timeline, news: Container[int]) -> bool:
    """Whether all that is new is that the current interval ended, and others were entered."""
    if gone and (len(gone) > 1 or not come or gone[0] != come[0]._replace(exited_ms=None)):
        return False
    if gone and len(come) == 1:
        return come[0].exited_ms in news
    return all(interval.entered_ms in news for interval in come[len(gone) :])


def _corrections(name: str, gone: Timeline, come: Timeline) -> Iterator[Correction]:
    """Each interval that is no longer true, with those that begin before the next one that is not."""
    if not gone:
        if come:
            yield Correction(name, None, come)
        return
    begins = [interval.entered_ms for interval in come]
    start = 0
    for place, interval in enumerate(gone):
        end = bisect_left(begins, gone[place + 1].entered_ms) if place + 1 < len(gone) else len(come)
        yield Correction(name, interval, come[start:end])
        start = end
