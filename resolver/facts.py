"""What events say of their participants: the reference's memory of facts, and what they come to.

Plain and obvious on purpose, as `reference` is, which says to whom a mention belongs. Everything is kept as
it was said; what the rules make of it is decided when somebody asks.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar

from resolver.profiles import Doings, Origin, Profile, Run, StateFact, TraitFact, Value, canonical, profile
from schemas.events import Event, EventKey, Participant
from schemas.events import StateFact as Sent
from schemas.identifiers import EntityType, Identifier
from schemas.rules import Rules
from schemas.states import Activity, StateRules


class Mention(NamedTuple):
    """One participant of one event: what it names, where in the log, when (ms), and what happened there."""

    identifiers: frozenset[Identifier]
    position: bytes
    ingested_at_ms: int
    origin: Origin
    event_name: str
    entity_type: EntityType
    role: str | None

    @property
    def event(self) -> EventKey:
        """The event that it is of."""
        return EventKey(self.origin.source, self.origin.event_id)


class Affiliation(NamedTuple):
    """What an event says of a membership."""

    person: Mention
    group: Mention
    role: str | None
    ended: bool


class Membership(NamedTuple):
    """Since when (ms) a person belongs to a group in a role, and until when; None: still."""

    started_ms: int
    ended_ms: int | None


Home: TypeAlias = Callable[[Mention], str | None]
"""The id of the entity that a mention's facts belong to; None while they wait."""


@dataclass(slots=True)
class Facts:
    """Takes events in any order, any number of times; answers from the set of what they say."""

    mentions: set[Mention] = field(default_factory=set)
    traits: set[tuple[Mention, TraitFact]] = field(default_factory=set)
    states: set[tuple[Mention, Sent]] = field(default_factory=set)
    measurements: set[tuple[Mention, str, float]] = field(default_factory=set)
    affiliations: set[Affiliation] = field(default_factory=set)

    def copy(self) -> "Facts":
        """The same, to learn something else from here on."""
        return Facts(*(set(getattr(self, name)) for name in self.__slots__))

    def without(self, retracted: Set[EventKey]) -> "Facts":
        """What other events say."""
        if not retracted:
            return self
        return Facts(
            {one for one in self.mentions if one.event not in retracted},
            {one for one in self.traits if one[0].event not in retracted},
            {one for one in self.states if one[0].event not in retracted},
            {one for one in self.measurements if one[0].event not in retracted},
            {one for one in self.affiliations if one.person.event not in retracted},
        )

    def add(self, event: Event) -> None:
        """Learn what an event says."""
        origin = Origin(event.occurred_at_ms, event.source, event.event_id)
        by_ref: dict[str | None, Mention] = {}
        for participant in event.participants:
            mention = _mention(event, participant, origin)
            by_ref[participant.ref] = mention
            self.mentions.add(mention)
            for name, value in participant.traits.items():
                self.traits.add((mention, TraitFact(name, origin, canonical(value))))
            for one in event.measurements:
                self.measurements.add((mention, one.name, one.value))
        for state in event.states:
            self.states.add((by_ref[state.of], state))
        for member in event.memberships:
            self.affiliations.add(
                Affiliation(by_ref[member.person], by_ref[member.group], member.role, member.ended)
            )

    def profiles(self, rules: Rules, home: Home, now_ms: int) -> dict[str, Profile]:
        """The profile of each entity of which there is one to tell."""
        types = {name: one.entity_type for one in self.mentions if (name := home(one)) is not None}
        traits = _by_home(self.traits, home)
        states = _by_home(self._state_facts(rules), home)
        doings = self._doings(rules, home)
        found = {
            name: profile(rules, entity_type, traits[name], states[name], doings[name], now_ms)
            for name, entity_type in types.items()
        }
        return {name: one for name, one in found.items() if one.traits or one.timelines}

    def _state_facts(self, rules: Rules) -> Iterator[tuple[Mention, StateFact]]:
        """What producers sent, as far as the rules take it, and what the rules make of events."""
        for mention, sent in self.states:
            if rules.accepts(sent, mention.entity_type) is None:
                value = Value(sent.state_value, sent.state_numeric_value)
                yield mention, StateFact(sent.state_name, mention.origin, value)
        measured: dict[tuple[Mention, str], list[float]] = defaultdict(list)
        for mention, name, number in self.measurements:
            measured[mention, name].append(number)
        for mention in self.mentions:
            for state, trigger in rules.triggers(mention.event_name):
                is_meant = (
                    state.entity_type == mention.entity_type
                    and trigger.source in (None, mention.origin.source)
                    and trigger.role in (None, mention.role)
                )
                if not is_meant:
                    continue
                if trigger.measurement is None:
                    yield mention, StateFact(state.state_name, mention.origin, Value(trigger.value))
                for number in measured.get((mention, trigger.measurement or ""), ()):
                    yield mention, StateFact(state.state_name, mention.origin, Value(None, number))

    def _doings(self, rules: Rules, home: Home) -> Mapping[str, Mapping[str, Doings]]:
        """The activity of each entity, for each timed state."""
        found: dict[str, dict[str, Doings]] = defaultdict(dict)
        for entity_type in ("person", "group"):
            for state in rules.states_of(entity_type):
                for name, doings in self._doings_for(state, home).items():
                    found[name][state.state_name] = doings
        return found

    def _doings_for(self, state: StateRules, home: Home) -> Mapping[str, Doings]:
        if state.after is not None:
            active = self._runs(state, state.after.activity, home)
            return {name: Doings(runs) for name, runs in active.items()}
        if state.within is not None:
            started = self._runs(state, state.within.since, home)
            awaited = self._runs(state, state.within.until, home)
            return {name: Doings(runs, awaited.get(name, ())) for name, runs in started.items()}
        return {}

    def _runs(self, state: StateRules, activity: Activity, home: Home) -> Mapping[str, list[Run]]:
        found: dict[str, list[Run]] = defaultdict(list)
        for mention in self.mentions:
            is_meant = mention.entity_type == state.entity_type and is_active(
                activity, mention.event_name, mention.role
            )
            if is_meant and (name := home(mention)) is not None:
                found[name].append(Run(mention.origin.occurred_at_ms, mention.origin.occurred_at_ms))
        return found

    def memberships(self, home: Home) -> dict[tuple[str, str, str | None], Membership]:
        """Person, group and role, from the earliest evidence on; ended if the last fact ends it."""
        said: dict[tuple[str, str, str | None], list[tuple[Origin, bool]]] = defaultdict(list)
        for one in self.affiliations:
            person, group = home(one.person), home(one.group)
            if person is not None and group is not None:
                said[person, group, one.role].append((one.person.origin, one.ended))
        found = {}
        for key, facts in said.items():
            (first, _), (last, has_ended) = min(facts), max(facts)
            found[key] = Membership(first.occurred_at_ms, last.occurred_at_ms if has_ended else None)
        return found


def is_active(activity: Activity, event_name: str, role: str | None) -> bool:
    """Whether a timed state looks at events of this name, for participants in this role."""
    return event_name in (activity.event_names or (event_name,)) and role in (activity.roles or (role,))


def _mention(event: Event, participant: Participant, origin: Origin) -> Mention:
    return Mention(
        frozenset(participant.identifiers),
        event.position,
        event.ingested_at_ms,
        origin,
        event.event_name,
        participant.entity_type,
        participant.role,
    )


_Fact = TypeVar("_Fact")


def _by_home(said: Iterable[tuple[Mention, _Fact]], home: Home) -> Mapping[str, list[_Fact]]:
    found: dict[str, list[_Fact]] = defaultdict(list)
    for mention, fact in said:
        if (name := home(mention)) is not None:
            found[name].append(fact)
    return found
