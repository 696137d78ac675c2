"""What an event touched, and what would become of that without it."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from flows.operator import NothingToDo
from flows.wiring import Wiring
from flows.words import harmless, moment, short
from resolver.excerpt import AskedLog, Excerpt, Placed
from resolver.facts import Membership
from resolver.profiles import NOTHING, Interval, Profile, Timeline, Trait
from resolver.reference import Answer
from resolver.words import words
from schemas.errors import SettingsError
from schemas.events import Event, EventKey
from schemas.identifiers import Identifier
from schemas.instants import format_instant

_MOST_NAMED: Final = 5
_MOST_LINES: Final = 40


class Moved(NamedTuple):
    """Identifiers of an entity that would be in another one; None: in none."""

    entity_id: str | None
    becomes: str | None
    identifiers: tuple[Identifier, ...]


class Differs(NamedTuple):
    """Something that is said of an entity, as it is and as it would be; None: nothing."""

    what: str
    about: Mapping[str, Any]
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Effects:
    """All that would change."""

    moved: Sequence[Moved]
    differs: Sequence[Differs]


class Retraction:
    """The retraction of one event, before it is decided. Raises NothingToDo where there is no such event."""

    def __init__(self, parts: Wiring, log: AskedLog | None, event: EventKey) -> None:
        self._parts, self._log, self.event = parts, log, event
        handle = parts.keyring.event_handle(*event)
        if handle in parts.store.retracted():
            raise NothingToDo("this event is retracted already: `nexus reconcile` repairs what rested on it")

    def touched(self) -> Collection[bytes]:
        """The keys of the identifiers that it touched: by the event log, or as far as the store remembers."""
        if self._log is None:
            return self._remembered()
        if not self._copies:
            raise NothingToDo(
                "the event log has no event of this source and id; if it just came, try again in a moment"
            )
        erasures = words(self._parts.keyring, self._log.commands()).erasures
        named = (
            erasures.living(self._parts.keyring.key(identifier), event.position)
            for event in self._copies
            for participant in event.participants
            for identifier in participant.identifiers
        )
        return {key for key in named if key is not None}

    @cached_property
    def _copies(self) -> list[Event]:
        return [] if self._log is None else self._log.copies(self.event)

    def _remembered(self) -> Collection[bytes]:
        found = self._parts.store.remembering(self.event)
        if not found:
            raise NothingToDo(
                "the store remembers no event of this source and id, and there is no event log to look into"
            )
        return found

    def effects(self) -> Effects:
        """What would change, computed from the log for the entities concerned. Changes nothing."""
        if self._log is None:
            raise SettingsError("there is no event log to tell what would change: set warehouse.engine")
        touched, keyring = self.touched(), self._parts.keyring
        commands = self._log.commands()
        self._log.bound(None, words(keyring, commands).retracted | {self.event})
        rules = self._parts.settings_in_force().rules
        excerpt = Excerpt(self._log, keyring, rules, commands, besides=self._copies)
        excerpt.widen(touched)
        after, before = excerpt.placed()
        keys = {key for key in excerpt.read if key in touched or before.get(key) != after.get(key)}
        ids = {one[key][1] for one in (before, after) for key in keys if key in one}
        excerpt.tell(key for one in (before, after) for key, (_, name) in one.items() if name in ids)
        without, with_it = excerpt.answers(self._parts.store.clock()[0])
        return Effects(_moved(before, after), list(_differences(with_it, without, ids)))


def _moved(before: Placed, after: Placed) -> list[Moved]:
    found: dict[tuple[str | None, str | None], list[Identifier]] = defaultdict(list)
    for key in before.keys() | after.keys():
        identifier, name = before.get(key, (None, None))
        other, becomes = after.get(key, (None, None))
        one = identifier or other
        if name != becomes and one is not None:
            found[name, becomes].append(one)
    return [Moved(*ids, tuple(sorted(ones, key=str))) for ids, ones in sorted(found.items(), key=str)]


def _differences(before: Answer, after: Answer, ids: Set[str]) -> Iterator[Differs]:
    for name in sorted(ids):
        was, becomes = (one.profiles.get(name, NOTHING) for one in (before, after))
        yield from _traits(name, was, becomes)
        yield from _states(name, was, becomes)
    for key in sorted(before.memberships.keys() | after.memberships.keys(), key=str):
        terms = [_term(one.memberships.get(key)) for one in (before, after)]
        if ids & {*key[:2]} and terms[0] != terms[1]:
            about = dict(zip(("person_id", "group_id", "role"), key, strict=True))
            yield Differs("membership", about, *terms)


def _traits(name: str, before: Profile, after: Profile) -> Iterator[Differs]:
    for trait in sorted(before.traits.keys() | after.traits.keys()):
        values = [_trait(one.traits.get(trait)) for one in (before, after)]
        if values[0] != values[1]:
            yield Differs("trait", {"entity_id": name, "name": trait}, *values)


def _trait(trait: Trait | None) -> Any:
    return None if trait is None else json.loads(trait.value)


def _states(name: str, before: Profile, after: Profile) -> Iterator[Differs]:
    """Of timelines the intervals that only one of the two has."""
    for state in sorted(before.timelines.keys() | after.timelines.keys()):
        one, other = before.timelines.get(state, ()), after.timelines.get(state, ())
        if one != other:
            about = {"entity_id": name, "state_name": state}
            yield Differs("state", about, _only(one, other), _only(other, one))


def _only(these: Timeline, those: Timeline) -> list[dict[str, Any]]:
    return [_interval(one) for one in these if one not in those]


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        "state_value": interval.value.text,
        "state_numeric_value": interval.value.number,
        "state_entered_at": format_instant(interval.entered_ms),
        "state_exited_at": None if interval.exited_ms is None else format_instant(interval.exited_ms),
    }


def _term(membership: Membership | None) -> dict[str, Any] | None:
    if membership is None:
        return None
    until = membership.ended_ms
    return {
        "started_at": format_instant(membership.started_ms),
        "ended_at": None if until is None else format_instant(until),
    }


# for programs


def effects_as_json(effects: Effects) -> Iterator[dict[str, Any]]:
    """Each change as one object."""
    for one in effects.moved:
        named = [{"type": each.identifier_type, "value": each.identifier_value} for each in one.identifiers]
        yield {
            "what": "identifiers",
            "entity_id": one.entity_id,
            "becomes": one.becomes,
            "identifiers": named,
        }
    for each in effects.differs:
        yield {"what": each.what, **each.about, "before": each.before, "after": each.after}


# for people


def effects_for_people(effects: Effects) -> Iterator[str]:
    """What would change, as lines."""
    lines = [*map(_movement, effects.moved), *map(_difference, effects.differs)]
    if not lines:
        yield "Nothing would change: all that it says is said by others as well."
        return
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"and {len(lines) - _MOST_LINES:,} more (--json shows all)"
    yield "Nothing was changed: leave out --dry-run to do it. `nexus reconcile` carries it out."


def _movement(one: Moved) -> str:
    named = ", ".join(
        f"{each.identifier_type}={harmless(short(each.identifier_value))}"
        for each in one.identifiers[:_MOST_NAMED]
    )
    more = len(one.identifiers) - _MOST_NAMED
    whom = f"{named} and {more:,} more" if more > 0 else named
    if one.becomes is None:
        return f"{one.entity_id} would lose {whom}, which would be nobody's"
    if one.entity_id is None:
        return f"{one.becomes} would get {whom}, now nobody's"
    return f"{one.entity_id} would lose {whom} to {one.becomes}"


def _difference(one: Differs) -> str:
    about = " ".join(harmless(short(str(each))) for each in one.about.values() if each is not None)
    return f"{one.what} {about}: {_said(one.before)} would be {_said(one.after)}"


def _said(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, dict) and "state_entered_at" in value:
        parts = (value["state_value"], value["state_numeric_value"])
        words_of = " ".join(harmless(short(str(each))) for each in parts if each is not None)
        return words_of + _span(value["state_entered_at"], value["state_exited_at"])
    if isinstance(value, dict) and "started_at" in value:
        return "so" + _span(value["started_at"], value["ended_at"])
    return harmless(short(json.dumps(value, ensure_ascii=False)))


def _span(since: str, until: str | None) -> str:
    return f" since {moment(since)}" + ("" if until is None else f" until {moment(until)}")
